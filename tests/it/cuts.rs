//! Every bundled capture, cut after each of its packets: a verdict that the rest would change is marked as one that
//! may.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use hsanalyze::capture::{CaptureInfo, Source, SourceStatus};
use hsanalyze::engine::{self, AnalysisOptions};
use hsanalyze::handshake::{Attempt, ConnectOutcome, Reason, Verdict};
use hsanalyze::packet::{Flags, Frames, Packet, Span, Timestamp};

use crate::bundled::{RawPacket, bundled, packets};

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
fn contradicted(path: &Path) -> Vec<String> {
    let packets = packets(path);
    let whole: HashMap<u64, Verdict> =
        analyse(&packets).iter().map(|attempt| (attempt.ordinal, attempt.verdict)).collect();
    let step = (packets.len() * packets.len() / 2).div_ceil(BUDGET).max(1);
    let mut wrong = Vec::new();
    for length in (1..packets.len()).step_by(step) {
        let cut = packets.get(..length).unwrap();
        let end = cut.iter().map(|packet| packet.at).max().unwrap();
        for attempt in analyse(cut) {
            let last = whole.get(&attempt.ordinal).copied();
            if last != Some(attempt.verdict) && !is_open(&attempt, cut, end) {
                let name = path.file_name().unwrap().to_string_lossy();
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
            wrong.extend(contradicted(path));
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
