//! Both ways give the same packets, within their bounds.

use std::path::PathBuf;

use super::*;
use crate::capture::{CaptureOptions, Captures};
use crate::engine::{self, AnalysisOptions, Sink};
use crate::handshake::{Attempt, Verdict};

/// Lists attempts of one verdict, and keeps their packets.
struct Listing {
    access: PacketAccess,
    listed: Vec<Attempt>,
    all: bool,
}

impl Sink for Listing {
    fn attempt(&mut self, attempt: &Attempt) -> std::io::Result<()> {
        let listed = self.all || attempt.verdict.is_problem();
        self.access.settle(attempt, listed);
        self.listed.extend(listed.then(|| attempt.clone()));
        Ok(())
    }
}

fn files(directory: &str) -> Vec<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(directory);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "pcap"));
    files.sort();
    files
}

fn list(path: &PathBuf, access: PacketAccess, all: bool) -> Listing {
    let (captures, errors) = Captures::open(std::slice::from_ref(path), &CaptureOptions::default()).unwrap();
    assert!(errors.is_empty());
    let recorder = match &access {
        PacketAccess::Recorder(recorder) => Some(recorder.clone()),
        PacketAccess::Files { .. } => None,
    };
    let mut listing = Listing { access, listed: Vec::new(), all };
    let mut source = Recorded::new(captures, recorder);
    engine::analyse(&mut source, &AnalysisOptions::default().with_threads(1), &mut listing).unwrap();
    listing
}

fn by_second_pass(path: &PathBuf) -> (Vec<Attempt>, PacketStore) {
    let access = PacketAccess::Files { paths: vec![path.clone()], filter: None, points: Vec::new() };
    let listing = list(path, access, true);
    let attempts: Vec<&Attempt> = listing.listed.iter().collect();
    let store = listing.access.collect(&attempts, &PacketLimits::DIAGRAMS).unwrap();
    (listing.listed, store)
}

#[test]
fn a_second_pass_finds_every_packet_that_the_attempt_counts() {
    for path in files("captures") {
        let (attempts, store) = by_second_pass(&path);
        assert!(!attempts.is_empty());
        for attempt in &attempts {
            let kept = store.of(attempt).unwrap_or_else(|| panic!("{}: {attempt:?}", path.display()));
            let total = kept.packets.len() as u64 + kept.left_out;
            assert!(total >= u64::from(attempt.packets), "{}: {attempt:?}", path.display());
            assert!(kept.packets.iter().all(|packet| packet.decode().is_some()));
        }
    }
}

#[test]
fn a_recorder_keeps_the_same_packets_of_listed_attempts() {
    for path in files("captures").iter().chain(&files("field")) {
        let (_, expected) = by_second_pass(path);
        let recorder = SharedRecorder::new(PacketLimits::DIAGRAMS);
        let listing = list(path, PacketAccess::Recorder(recorder.clone()), false);
        let store = listing.access.collect(&[], &PacketLimits::DIAGRAMS).unwrap();
        for attempt in &listing.listed {
            // A refusal captured before its SYN opens no record.
            if matches!(attempt.verdict, Verdict::Refused | Verdict::Unreachable) {
                continue;
            }
            assert_eq!(store.of(attempt), expected.of(attempt), "{}: {}", path.display(), attempt.client);
        }
    }
}

#[test]
fn what_is_not_listed_takes_no_memory() {
    let path = files("captures").into_iter().find(|path| path.ends_with("completed_echo-server.pcap"));
    let recorder = SharedRecorder::new(PacketLimits::DIAGRAMS);
    let listing = list(&path.unwrap(), PacketAccess::Recorder(recorder.clone()), false);
    assert!(listing.listed.is_empty());
    assert_eq!(recorder.lock().bytes(), 0);
}

#[test]
fn a_recorder_stays_within_its_bound() {
    let limits = PacketLimits { total: 20_000, per_attempt: 8, snap: 96 };
    for path in files("captures") {
        let recorder = SharedRecorder::new(limits);
        let listing = list(&path, PacketAccess::Recorder(recorder.clone()), false);
        assert!(recorder.lock().bytes() <= limits.total);
        let store = listing.access.collect(&[], &limits).unwrap();
        for attempt in &listing.listed {
            let Some(kept) = store.of(attempt) else { continue };
            assert!(kept.packets.len() <= limits.per_attempt);
            assert!(kept.packets.iter().all(|packet| packet.data.len() <= limits.snap));
            assert!(kept.gap_at <= kept.packets.len());
        }
    }
}
