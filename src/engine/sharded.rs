//! The analysis on several threads. One reads, looks at the packets and divides them among the shards by flow; all of
//! them, the reading one as far as it has time left, track what is queued. The caller's thread merges the findings.
//!
//! Every batch ends at the same packet whatever the number of threads; the findings of a batch are ordered by time and
//! position; and bounds are kept over all shards together. So the result does not depend on the number of threads.

use std::collections::VecDeque;
use std::io;
use std::thread;

use super::batch::{BATCH, BatchEnd, read_batch};
use super::intake::{Intake, PacketReceiver};
use super::limits::known_limits;
use super::options::AnalysisOptions;
use super::packet_counts::PacketCounts;
use super::pool::{Pool, Reading, SHARDS, TOGETHER, shard_of};
use super::sink::{Sink, deliver, deliver_held};
use super::summary::Summary;
use super::survey::Survey;
use crate::capture::{Source, SourceStatus};
use crate::handshake::{Batch, Finding, Order, OwnFlow, Tracker, TrackerCounts};
use crate::listener::Listeners;
use crate::packet::{Frame, Frames, Glimpse, Packet, Span};

/// Most threads that are used: one that reads, and one for every shard. It could not feed more.
const MAX_THREADS: usize = SHARDS + 1;

/// Analyses a source to its end; `None`, and nothing was read, where the system gives no second thread.
pub(super) fn analyse<S: Source + Send>(
    source: &mut S,
    options: &AnalysisOptions,
    threads: usize,
    sink: &mut dyn Sink,
) -> Option<io::Result<(Summary, Listeners)>> {
    let threads = threads.min(MAX_THREADS);
    let pool = &Pool::new(options);
    let mut listeners = Listeners::new(options.max_listeners);
    listeners.set_counted(options.counted);
    let reading = &mut *source;
    let (tracked, read) = thread::scope(|scope| {
        // The other threads wait for this one.
        let _guard = StopOnPanic(pool);
        let reader = thread::Builder::new().spawn_scoped(scope, move || {
            let _guard = StopOnPanic(pool);
            read(reading, pool)
        });
        let reader = reader.ok()?;
        for thread in 1..threads - 1 {
            // Each prefers another shard.
            let first = thread * SHARDS / (threads - 1);
            // Any number of them will do: a thread that the system refuses is not needed.
            let _ = thread::Builder::new().spawn_scoped(scope, move || {
                let _guard = StopOnPanic(pool);
                track(pool, |shard| (shard + SHARDS - first) % SHARDS);
            });
        }
        let tracked = collect(pool, &mut listeners, sink);
        if tracked.is_err() {
            pool.stop();
        }
        Some((tracked, reader.join()))
    })?;
    Some(tracked.map(|tracked| {
        let counts = read.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).with(tracked);
        let captures = source.captures();
        (Summary::of_end(captures, counts, &mut listeners, None), listeners)
    }))
}

/// Stops the other threads when this one panics, since they would wait for ever. A thread that waits for input stops
/// when some comes.
struct StopOnPanic<'p>(&'p Pool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

/// A batch while it is filled, divided among the shards.
struct DividedBatch {
    shares: [Batch; SHARDS],
}

impl PacketReceiver for DividedBatch {
    fn expect(&mut self, frames: &Frames<'_>, ordinal: u64) {
        // All shares are ready for the same frames.
        let ready = frames.shared().is_some_and(|shared| self.shares[0].is_ready_for(shared));
        if !ready {
            self.shares.iter_mut().for_each(|share| share.expect(frames.shared(), ordinal));
        }
    }

    fn set_lag(&mut self, ordinal: u64, lag: Span) {
        self.shares.iter_mut().for_each(|share| share.lag(ordinal, lag));
    }

    fn doubt(&mut self, ordinal: u64) {
        self.shares.iter_mut().for_each(|share| share.doubt(ordinal));
    }

    #[inline(always)]
    fn push(&mut self, hash: u64, glimpse: &Glimpse, frame: &Frame<'_>, ordinal: u64) {
        self.shares[shard_of(hash)].push(hash, glimpse, frame, ordinal);
    }

    fn push_decoded(&mut self, hash: u64, packet: Packet, ordinal: u64) {
        self.shares[shard_of(hash)].push_decoded(hash, packet, ordinal);
    }

    fn push_joined(&mut self, hash: u64, packet: Packet, own: OwnFlow, ordinal: u64) {
        self.shares[shard_of(hash)].push_joined(hash, packet, own, ordinal);
    }
}

/// The reading thread: reads to the end, or until it is to stop, and tracks whenever enough is read.
fn read<S: Source>(source: &mut S, pool: &Pool) -> PacketCounts {
    let mut intake = Intake::default();
    // The shards that the other threads take last come first.
    let order = |shard| SHARDS - shard;
    loop {
        let version = pool.version();
        match pool.reading() {
            Reading::Stop => break,
            Reading::Read => pool.push(read_batches(source, &mut intake, pool)),
            Reading::Wait => {
                if !pool.work(order) {
                    pool.wait(version);
                }
            }
        }
    }
    track(pool, order);
    intake.counts()
}

/// Reads some batches, or as much as the source has ready.
fn read_batches<S: Source>(
    source: &mut S,
    intake: &mut Intake,
    pool: &Pool,
) -> Vec<([Batch; SHARDS], BatchEnd)> {
    let mut batches = Vec::with_capacity(TOGETHER);
    let mut status = SourceStatus::More;
    while status == SourceStatus::More && batches.len() < TOGETHER {
        let mut batch = DividedBatch { shares: pool.empty_batches() };
        let end = read_batch(source, intake, &mut batch);
        status = end.status;
        batches.push((batch.shares, end));
    }
    batches
}

/// Tracks queued batches until the queue is closed and empty.
fn track(pool: &Pool, order: impl Fn(usize) -> usize) {
    loop {
        let version = pool.version();
        if !pool.work(&order) {
            if pool.is_done() {
                return;
            }
            pool.wait(version);
        }
    }
}

/// The caller's thread: delivers all findings, those of the batches and then those of the end, and tracks meanwhile.
fn collect(pool: &Pool, listeners: &mut Listeners, sink: &mut dyn Sink) -> io::Result<TrackerCounts> {
    let mut order = Order::default();
    let mut survey = Survey::default();
    loop {
        let version = pool.version();
        if let Some((mut findings, end)) = pool.findings() {
            order.deliver(&mut findings, |finding, soon| deliver(finding, soon, listeners, sink))?;
            pool.recycle(findings.into_iter());
            if let Some(end) = end.filter(BatchEnd::is_bounded) {
                listeners.set_limits(known_limits(&end.survey, &listeners.coverage()));
                survey = end.survey;
            }
            match end.map(|end| end.status) {
                Some(SourceStatus::End) => break,
                Some(SourceStatus::Drained) => sink.drained()?,
                Some(SourceStatus::More) | None => {}
            }
        } else if !pool.work(|shard| shard) {
            if pool.is_stopped() {
                return Ok(TrackerCounts::default());
            }
            pool.wait(version);
        }
    }
    let mut trackers = pool.take_trackers();
    let counts = trackers.iter().map(Tracker::counts).fold(TrackerCounts::default(), TrackerCounts::plus);
    survey.offsets = counts.offsets;
    listeners.set_limits(known_limits(&survey, &listeners.coverage()));
    listeners.sightings().end();
    finish(&mut trackers, |finding| deliver(finding, None, listeners, sink))?;
    deliver_held(listeners, sink)?;
    // Segments that went with the end of a file are counted until then.
    Ok(trackers.iter().map(Tracker::counts).fold(TrackerCounts::default(), TrackerCounts::plus))
}

/// Settles what is left at the end, and delivers it in order of position: the findings of each tracker are in order.
fn finish(
    trackers: &mut [Tracker],
    mut deliver: impl FnMut(&mut Finding) -> io::Result<()>,
) -> io::Result<()> {
    let mut queues = vec![VecDeque::new(); trackers.len()];
    loop {
        for (queue, tracker) in queues.iter_mut().zip(&mut *trackers).filter(|(queue, _)| queue.is_empty()) {
            // The findings of all shards together are about a batch.
            tracker.finish(BATCH / SHARDS);
            *queue = tracker.hand_over(None, Vec::new()).into();
        }
        let next = queues.iter_mut().filter(|queue| !queue.is_empty());
        let next =
            next.min_by_key(|queue| queue.front().map(|finding| (finding.at, finding.attempt.ordinal)));
        let Some(mut finding) = next.and_then(VecDeque::pop_front) else { return Ok(()) };
        deliver(&mut finding)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::CaptureInfo;
    use crate::handshake::Attempt;
    use crate::packet::{FrameRef, LinkType, Shared, Timestamp};

    /// A source of this many SYNs, at most 65,535, each from a port of its own. Reading on after the last one panics.
    struct Syns(u16);

    /// The SYNs of another source, called part of bytes that they do not lie in.
    struct Misplaced(Syns);

    impl Source for Misplaced {
        fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus {
            let elsewhere = Shared::new(vec![0; 100]);
            self.0.read(max.min(usize::from(self.0.0)), &mut |frames| {
                sink(Frames::within(&elsewhere, &frames))
            });
            if self.0.0 == 0 { SourceStatus::End } else { SourceStatus::More }
        }

        fn captures(&self) -> Vec<CaptureInfo> {
            Vec::new()
        }
    }

    impl Source for Syns {
        fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus {
            assert_ne!(self.0, 0, "read after the output failed");
            for _ in 0..max.min(usize::from(self.0)) {
                let mut data = vec![0; 12];
                data.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
                data.extend(self.0.to_be_bytes());
                data.extend([0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2, 0, 9, 0, 0, 0, 0]);
                // A minute between two of them, so that each is settled soon.
                let at = Timestamp::from_nanos(-i64::from(self.0) * 60_000_000_000);
                let frame = FrameRef::new(0, u64::from(u16::MAX - self.0) + 1);
                let frame = Frame { at, frame, link: LinkType::ETHERNET, wire_len: 54, data: &data };
                sink(Frames::new(&[frame]));
                self.0 -= 1;
            }
            SourceStatus::More
        }

        fn captures(&self) -> Vec<CaptureInfo> {
            Vec::new()
        }
    }

    /// Fails after this many attempts.
    struct Full(usize);

    impl Sink for Full {
        fn attempt(&mut self, _: &Attempt) -> io::Result<()> {
            self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
            Ok(())
        }
    }

    fn run(threads: usize, syns: u16, capacity: usize) -> io::Result<()> {
        let result = analyse(&mut Syns(syns), &AnalysisOptions::default(), threads, &mut Full(capacity));
        result.unwrap().map(|_| ())
    }

    #[test]
    fn frames_outside_their_declared_bytes_are_not_lost() {
        for threads in [2, 5] {
            let mut source = Misplaced(Syns(5_000));
            let options = AnalysisOptions::default();
            let result = analyse(&mut source, &options, threads, &mut Full(usize::MAX));
            let (summary, _) = result.unwrap().unwrap();
            assert_eq!((summary.packets.total, summary.packets.tcp), (5_000, 5_000));
            assert_eq!(summary.verdicts.total(), 5_000);
        }
    }

    #[test]
    fn an_output_that_fails_ends_the_reading() {
        for threads in [2, 3, 9] {
            let error = run(threads, u16::MAX, 1_000).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{threads} threads");
        }
    }

    #[test]
    fn no_thread_waits_for_one_that_panicked() {
        for threads in [2, 3, 9] {
            let result = std::panic::catch_unwind(|| run(threads, 20_000, usize::MAX));
            assert!(result.is_err(), "{threads} threads");
        }
    }
}
