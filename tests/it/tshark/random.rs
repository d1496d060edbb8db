//! tshark as a second opinion on random captures: 2,000, in one file with an hour between them, so that both programs run
//! once.
//!
//! Compared is all that a record says of its segments (`disagreements`): which they are, from whom and when, how often SYN and
//! SYN-ACK were repeated, who reset what, and whether the server proved that it has the connection. In random order some segments
//! mean nothing that a host would send: each reason why the two then differ is named there, and counted here.

use std::collections::BTreeMap;
use std::fs;

use hsanalyze::packet::{Packet, Segment, Span};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::Value;
use strum::IntoEnumIterator;

use super::disagreements::{Disagreements, Reason, compare};
use super::{check_begin, check_syns, originals};
use crate::bundled::RawPacket;
use crate::properties::files::file;
use crate::properties::{changes, random};
use crate::util::{count, list, report, require_tools, string};

/// Captures, unless `HSANALYZE_RANDOM_CAPTURES` says how many.
const CAPTURES: u32 = 2_000;

/// Seconds from the begin of one to that of the next: longer than any attempt is undecided.
const APART: i64 = 3_600;

/// The begin of the first.
const BEGIN: i64 = 1_700_000_000;

/// The packets of all captures, each with addresses of its own: the bits between network and host.
fn segments(captures: u32) -> Vec<Segment> {
    let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(24), ..Config::default() });
    let flows = prop::collection::vec(random::single_attempt(), 1..4);
    let mut segments = Vec::new();
    for capture in 0..captures {
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

/// The number of the capture that has this time, in nanoseconds.
fn capture_at(nanos: i128) -> i64 {
    (nanos / 1_000_000_000 - i128::from(BEGIN)) as i64 / APART
}

#[test]
fn two_thousand_random_captures_hold_the_same_attempts() {
    if !require_tools(&["tshark"]) {
        return;
    }
    let captures = std::env::var("HSANALYZE_RANDOM_CAPTURES").map_or(CAPTURES, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("random.pcap");
    let frames: Vec<RawPacket> = segments(captures).iter().map(random::frame).collect();
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

    assert_eq!(theirs.len(), captures as usize);
    let mut compared = 0;
    let mut found = Disagreements::new();
    for (capture, packets) in &theirs {
        let name = format!("random capture {capture}");
        let originals = originals(packets);
        let attempts = super::attempts(&originals);
        let ours = ours.get(capture).map_or(&[][..], Vec::as_slice);
        assert_eq!(attempts.len(), ours.len(), "{name}: attempts by tshark and by us");
        for (theirs, ours) in attempts.iter().zip(ours) {
            check_begin(&name, theirs, ours);
            check_syns(&name, theirs, ours);
            compare(&name, theirs, ours, &mut found);
            compared += 1;
        }
    }
    println!("{captures} captures, {compared} attempts, {} packets: {found:#?}", frames.len());
    assert!(compared > captures * 3 / 2, "only {compared} attempts");
    // A reason that never holds explains nothing.
    let unused: Vec<Reason> = Reason::iter().filter(|reason| !found.contains_key(reason)).collect();
    assert!(captures < CAPTURES || unused.is_empty(), "{unused:?}");
}
