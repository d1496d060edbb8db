//! The cost per packet of each stage of the pipeline: `cargo bench`.
//!
//! Each line measures one stage more than the line before; `tracking` alone starts from decoded packets. Divan's
//! throughput column gives packets a second. Times depend on the machine; `benches/instructions.sh` counts
//! instructions, which do not.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use divan::Bencher;
use divan::counter::ItemsCount;
use hsanalyze::capture::{CaptureOptions, Captures, Source, SourceStatus};
use hsanalyze::engine::{self, AnalysisOptions, Sink};
use hsanalyze::handshake::{Attempt, Batch, Finding, Tracker};
use hsanalyze::packet::{FlowHasher, Frame, Packet, Timestamp, decode};
use tempfile::TempDir;
use traffic::{Mix, Plan, Records};

#[expect(dead_code, reason = "what the generator says of verdicts is for tests")]
#[path = "../examples/generate/traffic/mod.rs"]
mod traffic;

fn main() {
    divan::main();
}

/// The kind of a capture: like those of benches/compare.sh, and smaller.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Headers only.
    Thin,
    /// Mostly data, of 1514 bytes.
    Full,
    /// Headers only, all IPv6.
    Ipv6,
}

const KINDS: [Kind; 3] = [Kind::Thin, Kind::Full, Kind::Ipv6];

/// A capture in a file, so that it is read through a memory map.
struct Sample {
    _directory: TempDir,
    path: PathBuf,
    packets: u64,
}

impl Sample {
    fn new(kind: Kind) -> Self {
        let (packets, attempts) = match kind {
            Kind::Thin | Kind::Ipv6 => (500_000, 28_000),
            Kind::Full => (200_000, 2_400),
        };
        let plan = Plan {
            attempts,
            packets: Some(packets),
            mix: Mix::FIVE_KINDS.parse().unwrap_or_else(|error| panic!("{error}")),
            records: if matches!(kind, Kind::Full) { Records::Full } else { Records::Thin },
            ipv6_percent: if matches!(kind, Kind::Ipv6) { 100 } else { 0 },
            flood: 0,
            listeners: 8,
            host: 1,
            pace: 50_000,
            seed: 1,
        };
        let write = || -> io::Result<Self> {
            let directory = tempfile::tempdir()?;
            let path = directory.path().join("sample.pcap");
            let mut out = BufWriter::new(File::create(&path)?);
            let made = traffic::write(&plan, &mut out)?;
            out.flush()?;
            Ok(Self { _directory: directory, path, packets: made.packets })
        };
        write().unwrap_or_else(|error| panic!("cannot write a sample: {error}"))
    }

    fn open(&self) -> Captures {
        match Captures::open(std::slice::from_ref(&self.path), &CaptureOptions::default()) {
            Ok((captures, _)) => captures,
            Err(error) => panic!("cannot open the sample: {error}"),
        }
    }

    /// Reads all of it.
    fn read(&self, mut each: impl FnMut(&Frame<'_>)) {
        let mut captures = self.open();
        while captures.read(2048, &mut |frames| frames.iter().for_each(&mut each)) != SourceStatus::End {}
    }

    fn bench(self, bencher: Bencher<'_, '_>, work: impl Fn(&Self) + Sync) {
        bencher.counter(ItemsCount::new(self.packets)).bench(|| work(&self));
    }
}

/// The records, one after the other.
#[divan::bench(args = KINDS)]
fn reading(bencher: Bencher<'_, '_>, kind: Kind) {
    Sample::new(kind).bench(bencher, |sample| {
        sample.read(|frame| {
            black_box(frame.data.len());
        });
    });
}

/// Reading, and decoding each frame.
#[divan::bench(args = KINDS)]
fn decoding(bencher: Bencher<'_, '_>, kind: Kind) {
    Sample::new(kind).bench(bencher, |sample| {
        sample.read(|frame| {
            let _ = black_box(decode(frame));
        });
    });
}

/// Tracking, from decoded packets on: lookups, transitions, decisions.
#[divan::bench(args = KINDS)]
fn tracking(bencher: Bencher<'_, '_>, kind: Kind) {
    let sample = Sample::new(kind);
    let hasher = FlowHasher::default();
    let mut batches: Vec<(Batch, Timestamp)> = Vec::new();
    let mut ordinal = 0;
    sample.read(|frame| {
        if let Ok(packet) = decode(frame) {
            let flow = match &packet {
                Packet::Segment(segment) => &segment.flow,
                Packet::Unreachable(error) => &error.flow,
            };
            if batches.last().is_none_or(|(batch, _)| batch.len() == 2048) {
                batches.push((Batch::with_capacity(2048), frame.at));
            }
            if let Some((batch, now)) = batches.last_mut() {
                batch.push_decoded(hasher.hash(flow), packet, ordinal);
                *now = frame.at.max(*now);
            }
        }
        ordinal += 1;
    });
    sample.bench(bencher, |_| {
        let mut tracker = Tracker::new();
        for (batch, now) in &batches {
            tracker.take(batch);
            tracker.advance(*now);
            let Ok(()) = tracker.drain(None, |found: &mut Finding, _| {
                black_box(found);
                Ok::<_, std::convert::Infallible>(())
            });
        }
    });
}

/// Takes attempts and drops them.
struct Nowhere;

impl Sink for Nowhere {
    fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
        black_box(attempt);
        Ok(())
    }
}

fn analyse(sample: &Sample, threads: usize) {
    let options = AnalysisOptions::default().with_threads(threads);
    let mut captures = sample.open();
    if let Err(error) = engine::analyse(&mut captures, &options, &mut Nowhere) {
        panic!("the sink never fails: {error}");
    }
}

/// Everything but the report, on one thread.
#[divan::bench(args = KINDS)]
fn whole_on_one_thread(bencher: Bencher<'_, '_>, kind: Kind) {
    Sample::new(kind).bench(bencher, |sample| analyse(sample, 1));
}

/// Everything but the report, reading beside tracking.
#[divan::bench(args = KINDS)]
fn whole_on_two_threads(bencher: Bencher<'_, '_>, kind: Kind) {
    Sample::new(kind).bench(bencher, |sample| analyse(sample, 2));
}
