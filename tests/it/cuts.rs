//! Every bundled capture, cut after each of its packets: a verdict that the rest would change is marked as one that may.

use std::collections::HashMap;

use hsanalyze::capture::{CaptureInfo, CaptureOptions, Captures, Source, SourceStatus};
use hsanalyze::engine::{self, AnalysisOptions};
use hsanalyze::handshake::{Attempt, Outcome, Reason, Verdict};
use hsanalyze::packet::{Frame, Frames, LinkType, Span, Timestamp};

use crate::util::captures;

/// A packet, as it was captured.
struct Packet {
    at: Timestamp,
    link: LinkType,
    wire_len: u32,
    data: Vec<u8>,
}

fn packets(path: &std::path::Path) -> Vec<Packet> {
    let (mut source, failed) = Captures::open(&[path], &CaptureOptions::default()).unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    let mut packets = Vec::new();
    let mut keep = |frames: Frames<'_>| {
        packets.extend(frames.iter().map(|frame| Packet {
            at: frame.at,
            link: frame.link,
            wire_len: frame.wire_len,
            data: frame.data.to_vec(),
        }));
    };
    while source.read(usize::MAX, &mut keep) != SourceStatus::End {}
    packets
}

/// The first packets of a capture.
struct Cut<'a> {
    packets: &'a [Packet],
    next: usize,
}

impl Source for Cut<'_> {
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus {
        for packet in self.packets.iter().skip(self.next).take(max) {
            self.next += 1;
            let Packet { at, link, wire_len, ref data } = *packet;
            let frame = hsanalyze::packet::FrameRef::new(0, self.next as u64);
            sink(Frames::new(&[Frame { at, frame, link, wire_len, data }]));
        }
        if self.next == self.packets.len() { SourceStatus::End } else { SourceStatus::More }
    }

    fn captures(&self) -> Vec<CaptureInfo> {
        Vec::new()
    }
}

fn analyse(packets: &[Packet]) -> Vec<Attempt> {
    let mut kept = Vec::new();
    let options = AnalysisOptions::default().with_threads(1);
    engine::analyse(&mut Cut { packets, next: 0 }, &options, &mut kept).unwrap();
    kept
}

/// True if a cut capture may give this verdict to an attempt that has another in the whole one (DOMAIN §4).
fn is_open(attempt: &Attempt, end: Timestamp) -> bool {
    let soon = |since: Timestamp, within: Span| end.since(since) < within;
    match attempt.verdict {
        Verdict::Undetermined => match attempt.reason {
            // The stage began with one of its packets.
            Some(Reason::CaptureCut) => soon(attempt.end, Span::from_secs(1)),
            Some(Reason::OneSided | Reason::NoBareAcks) => true,
            Some(Reason::Evicted) | None => false,
        },
        Verdict::Completed | Verdict::CompletedLate => attempt.unproven.is_some(),
        // Clients of some systems retry although they were refused, so the verdict may change.
        Verdict::Refused | Verdict::Unreachable => soon(attempt.end, Span::from_millis(1_500)),
        _ => attempt.connect.outcome == Outcome::Pending,
    }
}

#[test]
fn no_cut_of_a_capture_says_what_the_rest_contradicts() {
    let mut wrong = Vec::new();
    for path in captures() {
        let packets = packets(&path);
        let whole: HashMap<u64, Verdict> =
            analyse(&packets).iter().map(|attempt| (attempt.ordinal, attempt.verdict)).collect();
        for length in 1..packets.len() {
            let cut = packets.get(..length).unwrap();
            let end = cut.iter().map(|packet| packet.at).max().unwrap();
            for attempt in analyse(cut) {
                let last = whole.get(&attempt.ordinal).copied();
                if last != Some(attempt.verdict) && !is_open(&attempt, end) {
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
    }
    let first: Vec<&str> = wrong.iter().map(String::as_str).take(40).collect();
    assert!(wrong.is_empty(), "{} cuts, such as:\n{}", wrong.len(), first.join("\n"));
}
