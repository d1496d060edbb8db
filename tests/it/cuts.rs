//! Every bundled capture, cut after each of its packets: a verdict that the rest would change is marked as one that
//! may.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use hsanalyze::capture::{CaptureInfo, CaptureOptions, Captures, Source, SourceStatus};
use hsanalyze::engine::{self, AnalysisOptions};
use hsanalyze::handshake::{Attempt, ConnectOutcome, Reason, Verdict};
use hsanalyze::packet::{Flags, Frame, FrameRef, Frames, LinkType, Packet as Decoded, Span, Timestamp};

/// A packet, as it was captured.
struct Packet {
    at: Timestamp,
    link: LinkType,
    wire_len: u32,
    data: Vec<u8>,
}

fn packets(path: &Path) -> Vec<Packet> {
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
            let frame = FrameRef::new(0, self.next as u64);
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
fn is_open(attempt: &Attempt, cut: &[Packet], end: Timestamp) -> bool {
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
fn stage_begin(attempt: &Attempt, cut: &[Packet]) -> Timestamp {
    let answers = |packet: &&Packet| {
        let Packet { at, link, wire_len, ref data } = **packet;
        let frame = Frame { at, frame: FrameRef::new(0, 1), link, wire_len, data };
        let Ok(Decoded::Segment(segment)) = hsanalyze::packet::decode(&frame) else { return false };
        segment.flags.contains(Flags::SYN.union(Flags::ACK))
            && segment.flow.destination(segment.direction) == attempt.client
            && segment.flow.source(segment.direction) == attempt.server
            && segment.ack.after(attempt.client_isn)
            && at >= attempt.start
    };
    cut.iter().find(answers).map_or(attempt.start, |packet| packet.at)
}

/// The captures that are bundled, of every kind.
fn bundled() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let entries = ["captures", "field", "lab"].map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let paths = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "pcap" || e == "pcapng")).collect();
    paths.sort();
    paths
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
    let paths = bundled();
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
