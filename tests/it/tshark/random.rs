//! tshark as a second opinion on random captures: 2,000, in one file with an hour between them, so that both programs run
//! once.
//!
//! Compared are packets, attempts, and SYNs of each. Not SYN-ACKs, where the two mean different things by design: in random order
//! some come sooner than any timer, after the server's data, or after an RST, which settles the attempt (DOMAIN §4); tshark
//! shows segments like any others. Those of real kernels are compared in the bundled captures.

use std::collections::BTreeMap;
use std::fs;

use etherparse::{PacketBuilder, TcpOptionElement};
use hsanalyze::packet::{Flags, LinkType, Packet, Segment, Span};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::Value;

use super::{check_begin, check_syns, originals};
use crate::bundled::RawPacket;
use crate::properties::files::file;
use crate::properties::{changes, random};
use crate::util::{count, list, report, require_tools, string};

/// Captures, and seconds from the begin of one to that of the next: longer than any attempt is undecided.
const CAPTURES: u32 = 2_000;
const APART: i64 = 3_600;

/// The begin of the first.
const BEGIN: i64 = 1_700_000_000;

/// The packets of all captures, each with addresses of its own: the bits between network and host.
fn captures() -> Vec<Segment> {
    let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(24), ..Config::default() });
    let flows = prop::collection::vec(random::single_attempt(), 1..4);
    let mut segments = Vec::new();
    for capture in 0..CAPTURES {
        let flows = flows.new_tree(&mut runner).unwrap().current();
        let packets = changes::rename(&random::packets(&flows, 10), (capture << 8, 0));
        let packets = changes::shift_time(&packets, Span::from_secs(i64::from(capture) * APART));
        segments.extend(packets.into_iter().filter_map(|packet| match packet {
            Packet::Segment(segment) => Some(segment),
            Packet::Unreachable(_) => None,
        }));
    }
    segments
}

/// The segment as a frame of Ethernet.
fn frame(segment: &Segment) -> RawPacket {
    let (from, to) = (segment.flow.source(segment.direction), segment.flow.destination(segment.direction));
    let (std::net::IpAddr::V4(source), std::net::IpAddr::V4(destination)) = (from.ip(), to.ip()) else {
        panic!("random attempts have IPv4 addresses");
    };
    let mut packet = PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(source.octets(), destination.octets(), segment.ttl)
        .tcp(from.port(), to.port(), segment.seq.0, segment.window);
    let has = |flag: Flags| segment.flags.contains(flag);
    if has(Flags::SYN) {
        packet = packet.syn();
    }
    if has(Flags::ACK) {
        packet = packet.ack(segment.ack.0);
    }
    if has(Flags::FIN) {
        packet = packet.fin();
    }
    if has(Flags::RST) {
        packet = packet.rst();
    }
    if let Some((value, echo)) = segment.options.timestamps() {
        packet = packet.options(&[TcpOptionElement::Timestamp(value, echo)]).unwrap();
    }
    let payload = vec![0; segment.payload as usize];
    let mut data = Vec::new();
    packet.write(&mut data, &payload).unwrap();
    // The builder has none: bytes 18 and 19, and the checksum before the addresses.
    data[18..20].copy_from_slice(&segment.ip_id.to_be_bytes());
    RawPacket { at: segment.at, link: LinkType::ETHERNET, wire_len: data.len() as u32, data }
}

/// The number of the capture that has this time, in nanoseconds.
fn capture_at(nanos: i128) -> i64 {
    (nanos / 1_000_000_000 - i128::from(BEGIN)) as i64 / APART
}

#[test]
fn two_thousand_random_captures_hold_the_same_attempts() {
    if !require_tools(&["tshark"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("random.pcap");
    let frames: Vec<RawPacket> = captures().iter().map(frame).collect();
    fs::write(&path, file(&frames)).unwrap();

    let mut theirs: BTreeMap<i64, Vec<super::Packet>> = BTreeMap::new();
    for packet in super::packets(&path) {
        theirs.entry(capture_at(packet.at)).or_default().push(packet);
    }
    let report = report([&path]);
    assert_eq!(count(&report, "/packets/tcp"), frames.len() as u64);
    let mut ours: BTreeMap<i64, Vec<&Value>> = BTreeMap::new();
    for attempt in list(&report, "attempts") {
        let start: jiff::Timestamp = string(attempt, "start").parse().unwrap();
        ours.entry(capture_at(start.as_nanosecond())).or_default().push(attempt);
    }

    assert_eq!(theirs.len(), CAPTURES as usize);
    let mut compared = 0;
    for (capture, packets) in &theirs {
        let name = format!("random capture {capture}");
        let originals = originals(packets);
        let attempts = super::attempts(&originals);
        let ours = ours.get(capture).map_or(&[][..], Vec::as_slice);
        assert_eq!(attempts.len(), ours.len(), "{name}: attempts by tshark and by us");
        for (theirs, ours) in attempts.iter().zip(ours) {
            check_begin(&name, theirs, ours);
            check_syns(&name, theirs, ours);
            compared += 1;
        }
    }
    assert!(compared > 3_000, "only {compared} attempts");
}
