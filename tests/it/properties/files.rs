//! The same packets in several files, in any order, on any number of threads.

use std::fs;

use hsanalyze::capture::{CaptureOptions, Captures};
use hsanalyze::engine::{self, AnalysisOptions};
use hsanalyze::handshake::{Attempt, Cause, Confidence, Verdict};
use hsanalyze::packet::{Endpoint, Flags, Packet, Segment, Seq, Span, Timestamp};
use proptest::prelude::*;

use super::{random, random_inputs};
use crate::bundled::{RawPacket, bundled, packets};

/// A capture file with nanoseconds.
pub(crate) fn file(packets: &[RawPacket]) -> Vec<u8> {
    let link = packets.first().map_or(1, |packet| u32::from(packet.link.0));
    let header = [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, link];
    let mut bytes: Vec<u8> = header.iter().flat_map(|field| field.to_le_bytes()).collect();
    for packet in packets {
        let (seconds, nanos) = (packet.at.second(), packet.at.as_nanos().rem_euclid(1_000_000_000));
        let fields = [seconds as u32, nanos as u32, packet.data.len() as u32, packet.wire_len];
        bytes.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
        bytes.extend(&packet.data);
    }
    bytes
}

/// An attempt, wherever its packets were.
type Known = (u64, Endpoint, Endpoint, Verdict, String, Option<Cause>, Option<Confidence>);

/// The attempts of files, and the sums of their packets.
fn analyse(files: &[Vec<u8>], threads: usize) -> (Vec<Known>, [u64; 4]) {
    let directory = tempfile::tempdir().unwrap();
    let name = |(bytes, number): (&Vec<u8>, usize)| {
        let path = directory.path().join(format!("{number}.pcap"));
        fs::write(&path, bytes).unwrap();
        path
    };
    let paths: Vec<_> = files.iter().zip(0..).map(name).collect();
    let (mut captures, failed) = Captures::open(&paths, &CaptureOptions::default()).unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    let mut kept: Vec<Attempt> = Vec::new();
    let options = AnalysisOptions::default().with_threads(threads);
    let (summary, listeners) = engine::analyse(&mut captures, &options, &mut kept).unwrap();
    let packets = &summary.packets;
    assert_eq!(packets.total, packets.tcp + packets.skipped.iter().sum::<u64>() + packets.icmp_errors());
    assert_eq!(summary.verdicts.total(), kept.len() as u64);
    kept.sort_by_key(|attempt| attempt.ordinal);
    let known = kept.iter().map(|attempt| {
        let inference = listeners.infer(attempt);
        let Attempt { ordinal, client, server, verdict, ref history, .. } = *attempt;
        (ordinal, client, server, verdict, history.to_string(), inference.cause, inference.confidence)
    });
    (known.collect(), [packets.total, packets.tcp, packets.copies, packets.midstream])
}

#[test]
fn a_series_of_files_in_any_order_is_one_capture() {
    let mut tried = 0;
    for path in bundled(&["captures", "field"]) {
        let packets = packets(&path);
        let even = packets.windows(2).all(|two| two[0].at < two[1].at && two[0].link == two[1].link);
        // Files are merged by time: where times are equal or go back the order is another one.
        // No file of less than 5 s is judged to lack bare ACKs by itself, where there are several.
        let lacks_acks = path.ends_with("flags-filter.pcap");
        if !even || packets.len() < 4 || lacks_acks {
            continue;
        }
        tried += 1;
        let whole = analyse(&[file(&packets)], 1);
        for (parts, threads) in [(2, 1), (3, 3)] {
            let mut files: Vec<Vec<u8>> = packets.chunks(packets.len().div_ceil(parts)).map(file).collect();
            files.rotate_left(1);
            files.swap(0, 1);
            let name = path.display();
            assert_eq!(analyse(&files, threads), whole, "{name} in {parts} files, {threads} threads");
        }
    }
    assert!(tried > 40, "only {tried} captures are in order of time");
}

fn is_bare_ack(frame: &RawPacket) -> bool {
    match hsanalyze::packet::decode(&frame.frame(1)) {
        Ok(Packet::Segment(segment)) => segment.flags == Flags::ACK && segment.payload == 0,
        _ => false,
    }
}

/// SYNs without timestamps that nothing answers, and their retries: those of an outage.
fn outage(has_ip_ids: bool) -> Vec<RawPacket> {
    let server = Endpoint::v4([10, 250, 0, 1], 443);
    let mut syns = Vec::new();
    for client in 0..20_u16 {
        for (retry, after) in [0, 1_000, 3_000, 7_000, 15_000].into_iter().enumerate() {
            let at = Timestamp::from_nanos(1_700_000_000_000_000_000);
            let at = at.plus(Span::from_millis(after + i64::from(client) * 50));
            let from = Endpoint::v4([10, 0, 0, client as u8], 40_000 + client);
            let mut syn = Segment::new(at, from, server, Flags::SYN, Seq(u32::from(client) * 7_919), Seq(0));
            syn.ip_id = if has_ip_ids { 100 + client * 16 + retry as u16 } else { 0 };
            syns.push(random::frame(&syn));
        }
    }
    syns.sort_by_key(|syn| syn.at);
    syns
}

/// Retries in the next file are none of the same SYNs, captured elsewhere by another clock.
#[test]
fn a_series_of_files_of_an_outage_is_one_capture() {
    for has_ip_ids in [false, true] {
        let syns = outage(has_ip_ids);
        let whole = analyse(&[file(&syns)], 1);
        let (begin, rest) = syns.split_at(40);
        assert_eq!(analyse(&[file(begin), file(rest)], 1), whole, "IP IDs: {has_ip_ids}");
        assert_eq!(analyse(&[file(rest), file(begin)], 1), whole, "IP IDs: {has_ip_ids}");
    }
}

proptest! {
    #![proptest_config(random_inputs(100))]

    #[test]
    fn random_packets_in_files_in_any_order_are_one_capture(
        flows in prop::collection::vec(random::flow(), 3..8),
        (parts, first, threads) in (2..4_usize, any::<prop::sample::Index>(), 1..4_usize),
    ) {
        let frames = random::frames(&flows);
        // At the same time the order of files decides.
        prop_assume!(frames.windows(2).all(|two| two[0].at < two[1].at));
        // A file without bare ACKs is judged by itself, too: it may have been captured with a filter of flags.
        let parts = frames.chunks(frames.len().div_ceil(parts));
        prop_assume!(parts.clone().all(|part| part.iter().any(is_bare_ack)));
        let mut files: Vec<Vec<u8>> = parts.map(file).collect();
        let first = first.index(files.len());
        files.rotate_left(first);
        files.reverse();
        // Not the causes: what a file cannot support is found for each, and weakens the causes of its attempts.
        let verdicts = |files: &[Vec<u8>], threads| {
            let (known, sums) = analyse(files, threads);
            let verdict = |(place, client, server, verdict, history, ..): Known| {
                (place, client, server, verdict, history)
            };
            (known.into_iter().map(verdict).collect::<Vec<_>>(), sums)
        };
        prop_assert_eq!(verdicts(&files, threads), verdicts(&[file(&frames)], 1));
    }
}
