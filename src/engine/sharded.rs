//! The analysis on several threads. One reads, looks at the packets and deals them out by flow; all of them, the
//! reading one as far as it has time left, track what lies ready. The caller's puts together what is found.
//!
//! Every batch ends at the same packet whatever the number of threads; what is found in a batch is ordered by time and
//! position; and bounds are kept over all shards together. So the result does not depend on the number of threads.

use std::collections::VecDeque;
use std::io;
use std::thread;

use super::intake::{Destination, Intake};
use super::placement::{Apart, Plan};
use super::pool::{End, Pool, Reading, SHARDS, TOGETHER, shard_of};
use super::single::{enter, summary, told};
use super::{AnalysisOptions, BATCH, PacketCounts, Sink, Summary, alone};
use crate::capture::{Source, SourceStatus};
use crate::handshake::{Batch, Counts, Finding, Order, Tracker};
use crate::listener::Listeners;
use crate::packet::{Frame, Frames, Glimpse, Packet, Span};

/// Threads at most: one that reads, and one for every shard. It could not feed more.
const MOST_THREADS: usize = SHARDS + 1;

pub(super) fn analyse<S: Source + Send>(
    source: &mut S,
    options: &AnalysisOptions,
    sink: &mut dyn Sink,
) -> io::Result<(Summary, Listeners)> {
    let threads = options.threads.min(MOST_THREADS);
    let pool = &Pool::new(options);
    let mut listeners = Listeners::new(options.max_listeners);
    // Decided before any thread is spawned: it would inherit what is decided for this one.
    let plan = Plan::new(threads);
    let reading = &mut *source;
    let Some((result, counts)) = thread::scope(|scope| {
        // Before the others are there, which wait for this one.
        let _alarm = Alarm(pool);
        let reader = thread::Builder::new().spawn_scoped(scope, move || {
            let _alarm = Alarm(pool);
            read(reading, pool, plan.and_then(Plan::go))
        });
        let Ok(reader) = reader else { return None };
        for thread in 1..threads - 1 {
            // Each begins with another shard.
            let first = thread * SHARDS / (threads - 1);
            // Any number of them will do: one that the system refuses is not missed.
            let _ = thread::Builder::new().spawn_scoped(scope, move || {
                let _alarm = Alarm(pool);
                track(pool, plan.and_then(Plan::go), |shard| (shard + SHARDS - first) % SHARDS);
            });
        }
        let result = collect(pool, plan.and_then(Plan::stay), &mut listeners, sink);
        if result.is_err() {
            pool.stop();
        }
        Some((result, reader.join()))
    })
    // The system gives no second thread.
    else {
        return alone(source, options, sink);
    };
    let tracked = result?;
    let counts = counts.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).with(tracked);
    Ok((summary(source.captures(), counts, &listeners), listeners))
}

/// Has the other threads stop when this one panics: they would wait for ever. One that waits for input stops when some
/// comes.
struct Alarm<'p>(&'p Pool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

/// A batch while it is filled, dealt out to the shards.
struct Parts {
    batches: [Batch; SHARDS],
}

impl Destination for Parts {
    fn expect(&mut self, frames: &Frames<'_>, ordinal: u64) {
        // What one part is ready for, all of them are.
        let ready = frames.shared().is_some_and(|shared| self.batches[0].is_ready_for(shared));
        if !ready {
            self.batches.iter_mut().for_each(|part| part.expect(frames.shared(), ordinal));
        }
    }

    fn lag(&mut self, ordinal: u64, lag: Span) {
        self.batches.iter_mut().for_each(|part| part.lag(ordinal, lag));
    }

    #[inline(always)]
    fn take(&mut self, hash: u64, glimpse: &Glimpse, frame: &Frame<'_>, ordinal: u64) {
        self.batches[shard_of(hash)].push(hash, glimpse, frame, ordinal);
    }

    fn take_decoded(&mut self, hash: u64, packet: Packet, ordinal: u64) {
        self.batches[shard_of(hash)].push_decoded(hash, packet, ordinal);
    }
}

/// Reads and deals out to the end, or until nothing more is wanted, and tracks meanwhile what there is time for.
fn read<S: Source>(source: &mut S, pool: &Pool, mut place: Option<Apart>) -> PacketCounts {
    let mut intake = Intake::default();
    // From the other side: where the others are last.
    let order = |shard| SHARDS - shard;
    loop {
        let version = pool.version();
        place.take_if(|place| !place.goes_on());
        match pool.reading() {
            Reading::Stop => break,
            Reading::Read => {
                let mut batches = Vec::with_capacity(TOGETHER);
                let mut status = SourceStatus::More;
                while status == SourceStatus::More && batches.len() < TOGETHER {
                    let (parts, end) = read_batch(source, &mut intake, pool.batches());
                    status = end.status;
                    batches.push((parts, end));
                }
                pool.add(batches);
            }
            Reading::Wait => {
                if !pool.work(order) {
                    pool.wait(version);
                }
            }
        }
    }
    track(pool, place, order);
    intake.counts()
}

/// Reads one batch, and deals it out.
fn read_batch<S: Source>(
    source: &mut S,
    intake: &mut Intake,
    batches: [Batch; SHARDS],
) -> ([Batch; SHARDS], End) {
    let mut parts = Parts { batches };
    let wanted = BATCH - (intake.total() % BATCH as u64) as usize;
    let status = source.read(wanted, &mut |frames| intake.take(frames, &mut parts));
    let now = told(intake.clock(), source, status);
    (parts.batches, End { now, total: intake.total(), status })
}

/// Tracks what lies ready until nothing more will.
fn track(pool: &Pool, mut place: Option<Apart>, order: impl Fn(usize) -> usize) {
    loop {
        let version = pool.version();
        if pool.work(&order) {
            place.take_if(|place| !place.goes_on());
        } else if pool.is_done() {
            return;
        } else {
            pool.wait(version);
        }
    }
}

/// Tells what is found, piece by piece and then what the end decides, and tracks meanwhile.
fn collect(
    pool: &Pool,
    mut place: Option<Apart>,
    listeners: &mut Listeners,
    sink: &mut dyn Sink,
) -> io::Result<Counts> {
    let mut order = Order::default();
    loop {
        let version = pool.version();
        if let Some((mut piece, end)) = pool.found() {
            order.tell(&mut piece, |found| enter(listeners, found, sink))?;
            pool.take_back(piece.into_iter());
            match end.map(|end| end.status) {
                Some(SourceStatus::End) => break,
                Some(SourceStatus::Drained) => sink.drained()?,
                Some(SourceStatus::More) | None => {}
            }
        } else if pool.work(|shard| shard) {
            place.take_if(|place| !place.goes_on());
        } else if pool.is_stopped() {
            return Ok(Counts::default());
        } else {
            pool.wait(version);
        }
    }
    let mut trackers = pool.trackers();
    tell_rest(&mut trackers, |found| enter(listeners, found, sink))?;
    Ok(trackers.iter().map(Tracker::counts).fold(Counts::default(), Counts::plus))
}

/// Tells what the end decides, in order of position: each tracker's is in order.
fn tell_rest(
    trackers: &mut [Tracker],
    mut take: impl FnMut(&mut Finding) -> io::Result<()>,
) -> io::Result<()> {
    let mut queues = vec![VecDeque::new(); trackers.len()];
    loop {
        for (queue, tracker) in queues.iter_mut().zip(&mut *trackers).filter(|(queue, _)| queue.is_empty()) {
            tracker.finish(BATCH);
            queue.extend(tracker.hand_over(None, Vec::new()));
        }
        let next = queues.iter_mut().filter(|queue| !queue.is_empty());
        let next = next.min_by_key(|queue| queue.front().map(|found| (found.at, found.attempt.ordinal)));
        let Some(mut found) = next.and_then(VecDeque::pop_front) else { return Ok(()) };
        take(&mut found)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::CaptureInfo;
    use crate::handshake::Attempt;
    use crate::packet::{FrameRef, LinkType, Timestamp};

    /// So many SYNs, from a port each, at most 65,535; then it panics.
    struct Syns(u16);

    impl Source for Syns {
        fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> SourceStatus {
            assert_ne!(self.0, 0, "nobody wants more");
            for _ in 0..max.min(usize::from(self.0)) {
                let mut data = vec![0; 12];
                data.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
                data.extend(self.0.to_be_bytes());
                data.extend([0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2, 0, 9, 0, 0, 0, 0]);
                // A minute from one to the next, so that each is decided soon.
                let at = Timestamp::from_nanos(-i64::from(self.0) * 60_000_000_000);
                let frame = FrameRef::new(0, u64::from(u16::MAX - self.0) + 1);
                let frame = Frame { at, frame, link: LinkType::ETHERNET, wire_len: 54, data: &data };
                sink(Frames::within(None, &[frame]));
                self.0 -= 1;
            }
            SourceStatus::More
        }

        fn captures(&self) -> Vec<CaptureInfo> {
            Vec::new()
        }
    }

    /// Fails after so many attempts.
    struct Full(usize);

    impl Sink for Full {
        fn attempt(&mut self, _: &Attempt) -> io::Result<()> {
            self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
            Ok(())
        }
    }

    fn run(threads: usize, syns: u16, room: usize) -> io::Result<()> {
        let options = AnalysisOptions { threads, ..AnalysisOptions::default() };
        analyse(&mut Syns(syns), &options, &mut Full(room)).map(|_| ())
    }

    #[test]
    fn an_output_that_fails_ends_the_reading() {
        for threads in [2, 3, 9] {
            let error = run(threads, u16::MAX, 1_000).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{threads} threads");
        }
    }

    #[test]
    fn a_thread_that_panics_is_waited_for_by_none() {
        for threads in [2, 3, 9] {
            let result = std::panic::catch_unwind(|| run(threads, 20_000, usize::MAX));
            assert!(result.is_err(), "{threads} threads");
        }
    }
}
