//! Every bundled capture, and random ones, cut after each of their packets: a verdict that the rest would change is marked as one that
//! may.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use hsanalyze::capture::{CaptureInfo, Source, SourceStatus};
use hsanalyze::engine::{self, AnalysisOptions};
use hsanalyze::handshake::{Attempt, ConnectOutcome, Reason, Verdict};
use hsanalyze::packet::{Flags, Frames, Packet, Span, Timestamp};

use etherparse::PacketBuilder;
use proptest::prelude::*;

use crate::bundled::{RawPacket, bundled, packets};
use crate::points::pcap;
use crate::properties::{random, random_inputs};
use crate::util::{hsanalyze, list};

/// The first packets of a capture.
struct Cut<'a> {
    packets: &'a [RawPacket],
    next: usize,
}

impl Source for Cut<'_> {
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus {
        for packet in self.packets.iter().skip(self.next).take(max) {
            self.next += 1;
            sink(Frames::new(&[packet.frame(self.next as u64)]));
        }
        if self.next == self.packets.len() { SourceStatus::End } else { SourceStatus::More }
    }

    fn captures(&self) -> Vec<CaptureInfo> {
        Vec::new()
    }
}

fn analyse(packets: &[RawPacket]) -> Vec<Attempt> {
    let mut kept = Vec::new();
    let options = AnalysisOptions::default().with_threads(1);
    engine::analyse(&mut Cut { packets, next: 0 }, &options, &mut kept).unwrap();
    kept
}

/// True if a cut capture may give this verdict to an attempt that has another in the whole one (DOMAIN §4).
fn is_open(attempt: &Attempt, cut: &[RawPacket], end: Timestamp) -> bool {
    match attempt.verdict {
        Verdict::Undetermined => match attempt.reason {
            Some(Reason::CaptureCut) => end.since(stage_begin(attempt, cut)) < Span::from_secs(1),
            Some(Reason::OneSided | Reason::NoBareAcks) => true,
            Some(Reason::Evicted) | None => false,
        },
        Verdict::Completed | Verdict::CompletedLate => attempt.unproven.is_some(),
        // Clients of some systems retry although they were refused, so the verdict may change.
        Verdict::Refused | Verdict::Unreachable => end.since(attempt.end) < Span::from_millis(1_500),
        _ => attempt.connect.outcome == ConnectOutcome::Pending,
    }
}

/// The first packet of the stage that is unfinished: the first SYN-ACK of the attempt, else its first SYN.
fn stage_begin(attempt: &Attempt, cut: &[RawPacket]) -> Timestamp {
    let answers = |packet: &&RawPacket| {
        let Ok(Packet::Segment(segment)) = hsanalyze::packet::decode(&packet.frame(1)) else { return false };
        segment.flags.contains(Flags::SYN.union(Flags::ACK))
            && segment.flow.destination(segment.direction) == attempt.client
            && segment.flow.source(segment.direction) == attempt.server
            && segment.ack.after(attempt.client_isn)
            && packet.at >= attempt.start
    };
    cut.iter().find(answers).map_or(attempt.start, |packet| packet.at)
}

/// Most packets that are analysed of all cuts of one capture: of a longer one fewer cuts are tried, evenly spread.
const BUDGET: usize = 4_000;

/// Claims about cuts of a capture that the rest contradicts.
fn contradicted(name: &str, packets: &[RawPacket]) -> Vec<String> {
    let known = |attempt: &Attempt| (attempt.ordinal, (attempt.verdict, attempt.reason));
    let whole: HashMap<u64, (Verdict, Option<Reason>)> = analyse(packets).iter().map(known).collect();
    let step = (packets.len() * packets.len() / 2).div_ceil(BUDGET).max(1);
    let mut wrong = Vec::new();
    for length in (1..packets.len()).step_by(step) {
        let cut = packets.get(..length).unwrap();
        let end = cut.iter().map(|packet| packet.at).max().unwrap();
        for attempt in analyse(cut) {
            let (last, reason) = whole.get(&attempt.ordinal).copied().unzip();
            // A verdict that the whole capture cannot support is no other verdict.
            let unsupported = reason == Some(Some(Reason::NoBareAcks));
            if last != Some(attempt.verdict) && !unsupported && !is_open(&attempt, cut, end) {
                let Attempt { verdict, history, connect, .. } = &attempt;
                wrong.push(format!(
                    "{name} after {length}: {} {verdict} {history} {:?}, finally {last:?}; {} after its end",
                    attempt.client,
                    connect.outcome,
                    end.since(attempt.end),
                ));
            }
        }
    }
    wrong
}

#[test]
fn no_cut_of_a_capture_gives_a_verdict_that_the_rest_contradicts() {
    let paths = bundled(&["captures", "field", "lab"]);
    let next = AtomicUsize::new(0);
    let check = || {
        let mut wrong = Vec::new();
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = path.file_name().unwrap().to_string_lossy();
            wrong.extend(contradicted(&name, &packets(path)));
        }
        wrong
    };
    let wrong: Vec<String> = thread::scope(|scope| {
        let threads = [scope.spawn(check), scope.spawn(check)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let first: Vec<&str> = wrong.iter().map(String::as_str).take(40).collect();
    assert!(wrong.is_empty(), "{} cuts, such as:\n{}", wrong.len(), first.join("\n"));
}

proptest! {
    #![proptest_config(random_inputs(200))]

    #[test]
    fn no_cut_of_random_packets_gives_a_verdict_that_the_rest_contradicts(
        // A host that is silent for longer than any timer, and then goes on, is none.
        flows in prop::collection::vec(random::single_attempt().prop_map(random::Flow::without_silence), 1..4),
    ) {
        let wrong = contradicted("random", &random::frames(&flows));
        prop_assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn a_scan_whose_latest_probes_the_capture_cuts_is_one() {
    // Each port is tried again, by another port of the client's, 1.1 s later.
    let probes = (1..=60_u16).flat_map(|port| [(port, 40_000, 0), (port, 40_001, 1_100_000)]);
    let syns = probes.map(|(port, from, later)| {
        let ip = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 1, 1], 64);
        let mut bytes = Vec::new();
        ip.tcp(from, port, 12_345, 1_024).syn().write(&mut bytes, &[]).unwrap();
        (u64::from(port) * 3_000 + later, bytes)
    });
    let report = hsanalyze(["--format", "json", "-"]).stdin(pcap(syns.collect())).succeed().json();
    assert!(report["verdicts"]["undetermined"].as_u64() > Some(0), "{report}");
    let listeners = list(&report, "listeners");
    assert_eq!(listeners.len(), 1, "{report}");
    assert_eq!(listeners[0]["scan"]["servers"], 60);
}
