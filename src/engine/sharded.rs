//! The analysis on several threads: one reads and decodes, the others track a shard of the flows
//! each, the caller's collects what they find.
//!
//! Every batch ends at the same packet whatever the number of shards; what is found in a batch is
//! ordered by time and position; and bounds are kept over all shards together. So the result does
//! not depend on the number of threads.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;

use super::intake::{Destination, Intake};
use super::single::{enter, summary};
use super::{BATCH, Options, PacketCounts, Sink, Summary};
use crate::capture::{Source, Status};
use crate::handshake::{Batch, Counts, Found, Order, Tracker};
use crate::listener::Book;
use crate::packet::{Packet, Timestamp};

/// Batches on their way to a shard at most.
const IN_FLIGHT: usize = 4;

/// Tracking threads at most: reading and decoding is one thread's work and feeds no more.
const MOST_SHARDS: usize = 4;

/// One shard's part of a batch.
struct Part {
    packets: Batch,
    /// The latest packet time of the whole input so far.
    now: Option<Timestamp>,
    /// The whole batch was full: bounds are kept now.
    full: bool,
    /// Packets of the whole input up to here.
    total: u64,
    /// What comes after it.
    status: Status,
}

/// What a shard found in one batch.
struct Findings {
    found: Vec<Found>,
    counts: Counts,
    /// What comes after the batch.
    status: Status,
}

pub(super) fn analyse<S: Source + Send>(
    source: &mut S,
    options: &Options,
    sink: &mut dyn Sink,
) -> io::Result<(Summary, Book)> {
    // One thread reads; two threads leave one to track, on which findings are collected as well.
    let shards = (options.threads - 1).clamp(1, MOST_SHARDS);
    let bounds = Bounds::new(shards, options.max_attempts);
    let mut book = Book::new(options.max_listeners);
    let (batch_senders, batch_receivers): (Vec<_>, Vec<_>) =
        (0..shards).map(|_| sync_channel(IN_FLIGHT)).unzip();
    let (spare_senders, spare_receivers): (Vec<_>, Vec<_>) =
        (0..shards).map(|_| sync_channel(IN_FLIGHT + 2)).unzip();
    let (result, intake_counts, tracked) = thread::scope(|scope| {
        let reader = scope.spawn(|| read(source, batch_senders, spare_receivers));
        let (result, tracked) = if shards == 1 {
            track_here(batch_receivers, &spare_senders, &bounds, &mut book, sink)
        } else {
            let mut finding_receivers = Vec::new();
            for (shard, (batches, spare)) in batch_receivers.into_iter().zip(spare_senders).enumerate() {
                let (findings, receiver) = sync_channel(IN_FLIGHT);
                finding_receivers.push(receiver);
                let bounds = &bounds;
                scope.spawn(move || {
                    // All at once in the end, so that the shards' can be put in order.
                    track(shard, &batches, &spare, bounds, usize::MAX, |tracker, status| {
                        let (found, counts) = (tracker.hand_over(), tracker.counts());
                        findings.send(Findings { found, counts, status }).is_ok()
                    });
                });
            }
            collect(&finding_receivers, &mut book, sink)
        };
        (result, reader.join(), tracked)
    });
    result?;
    let counts = intake_counts.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let counts = counts.with(tracked);
    Ok((summary(source.captures(), counts, &book), book))
}

/// A batch while it is filled, dealt out to the shards.
struct Parts(Vec<Batch>);

impl Destination for Parts {
    #[inline(always)]
    fn take(&mut self, hash: u64, packet: Packet, ordinal: u64) {
        // The low bits choose the bucket in the shard's table; take others.
        let shard = ((hash >> 32) * self.0.len() as u64) >> 32;
        if let Some(part) = self.0.get_mut(shard as usize) {
            part.push(hash, packet, ordinal);
        }
    }
}

/// Reads to the end and deals the packets out by flow.
fn read<S: Source>(
    source: &mut S,
    senders: Vec<SyncSender<Part>>,
    spares: Vec<Receiver<Batch>>,
) -> PacketCounts {
    let mut intake = Intake::default();
    loop {
        let spare =
            |spare: &Receiver<Batch>| spare.try_recv().unwrap_or_else(|_| Batch::with_capacity(BATCH));
        let mut parts = Parts(spares.iter().map(spare).collect());
        let wanted = BATCH - (intake.total() % BATCH as u64) as usize;
        let status = source.read(wanted, &mut |frame| intake.take(frame, &mut parts));
        let (now, last) = (intake.now().max(source.now()), status == Status::End);
        let full = intake.total().is_multiple_of(BATCH as u64);
        for (sender, packets) in senders.iter().zip(parts.0) {
            if sender.send(Part { packets, now, full, total: intake.total(), status }).is_err() {
                // The collector gave up: the sink failed.
                return intake.counts();
            }
        }
        if last {
            return intake.counts();
        }
    }
}

/// The one shard, on the caller's thread.
fn track_here(
    batches: Vec<Receiver<Part>>,
    spares: &[SyncSender<Batch>],
    bounds: &Bounds,
    book: &mut Book,
    sink: &mut dyn Sink,
) -> (io::Result<()>, Counts) {
    let mut result = Ok(());
    let mut counts = Counts::default();
    if let (Some(batches), Some(spare)) = (batches.into_iter().next(), spares.first()) {
        track(0, &batches, spare, bounds, BATCH, |tracker, status| {
            counts = tracker.counts();
            result = tracker.drain(|found| enter(book, found, sink)).and_then(|()| pause(status, sink));
            result.is_ok()
        });
    }
    (result, counts)
}

/// Tracks one shard's batches until the last, or until `pass_on`, after each, says that nobody listens. What the
/// end decides is passed on by `last` at a time: it may be as much as all batches before together.
fn track(
    shard: usize,
    batches: &Receiver<Part>,
    spare: &SyncSender<Batch>,
    bounds: &Bounds,
    last: usize,
    mut pass_on: impl FnMut(&mut Tracker, Status) -> bool,
) {
    let mut tracker = Tracker::new();
    let mut heard = true;
    // Up to so many packets no bound can be exceeded.
    let mut safe = 0;
    for mut batch in batches {
        tracker.take(&batch.packets);
        if batch.full && batch.total > safe {
            safe = batch.total + bounds.keep(shard, &mut tracker);
        }
        if let Some(now) = batch.now {
            tracker.advance(now);
        }
        if batch.status == Status::End {
            if batch.total > safe {
                bounds.keep(shard, &mut tracker);
            }
            heard = heard && pass_on(&mut tracker, Status::More);
            while tracker.finish(last) {
                heard = heard && pass_on(&mut tracker, Status::More);
            }
        }
        // The other shards wait for this one at the bounds: go on even if nobody listens.
        heard = heard && pass_on(&mut tracker, batch.status);
        if !heard && bounds.shards() == 1 {
            return;
        }
        batch.packets.clear();
        // A full recycling channel only means that the reader needs no more.
        let _ = spare.try_send(batch.packets);
    }
}

/// Merges the shards' findings batch by batch.
fn collect(
    receivers: &[Receiver<Findings>],
    book: &mut Book,
    sink: &mut dyn Sink,
) -> (io::Result<()>, Counts) {
    let mut counts = vec![Counts::default(); receivers.len()];
    let mut order = Order::default();
    let mut result = Ok(());
    loop {
        let mut batch = Vec::new();
        let mut status = Status::More;
        for (receiver, counts) in receivers.iter().zip(&mut counts) {
            if let Ok(findings) = receiver.recv() {
                *counts = findings.counts;
                status = findings.status;
                batch.push(findings.found);
            }
        }
        if batch.is_empty() {
            return (result, sum(&counts));
        }
        if result.is_ok() {
            result = order.tell(&mut batch, |found| enter(book, found, sink));
            result = result.and_then(|()| pause(status, sink));
        }
    }
}

/// Tells the sink when more may be long in coming.
fn pause(status: Status, sink: &mut dyn Sink) -> io::Result<()> {
    if status == Status::Drained { sink.drained() } else { Ok(()) }
}

fn sum(counts: &[Counts]) -> Counts {
    counts.iter().fold(Counts::default(), |sum, counts| Counts {
        copies: sum.copies + counts.copies,
        midstream: sum.midstream + counts.midstream,
        stray_errors: sum.stray_errors + counts.stray_errors,
    })
}

/// The bounds of all shards together.
struct Bounds {
    barrier: Barrier,
    max_attempts: usize,
    shards: Mutex<Vec<Standing>>,
}

/// What a shard holds, and its oldest attempts when there are too many.
#[derive(Debug, Clone, Default)]
struct Standing {
    undecided: usize,
    held: usize,
    remembered: usize,
    oldest: Vec<u64>,
}

impl Bounds {
    fn new(shards: usize, max_attempts: usize) -> Self {
        Self {
            barrier: Barrier::new(shards),
            max_attempts,
            shards: Mutex::new(vec![Standing::default(); shards]),
        }
    }

    fn shards(&self) -> usize {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Evicts and forgets so that all shards together stay within the bounds. Every shard must call it
    /// at the same batch.
    ///
    /// Gives how many packets may follow before any bound can be exceeded again, the same for every
    /// shard: a packet opens one attempt, or recalls one decided flow, at most. So the shards wait for one another near a bound, not at every batch.
    fn keep(&self, shard: usize, tracker: &mut Tracker) -> u64 {
        self.publish(shard, |standing| {
            standing.undecided = tracker.undecided();
            standing.held = tracker.held();
            standing.remembered = tracker.remembered();
        });
        let sum = |what: fn(&Standing) -> usize| self.read(|all| all.iter().map(what).sum::<usize>());
        let undecided = sum(|standing| standing.undecided);
        let held = sum(|standing| standing.held);
        let remembered = sum(|standing| standing.remembered);
        let excess = undecided.saturating_sub(self.max_attempts);
        if excess > 0 {
            self.publish(shard, |standing| standing.oldest = tracker.oldest(excess).collect());
            let last = self.read(|all| {
                let mut oldest: Vec<u64> =
                    all.iter().flat_map(|standing| &standing.oldest).copied().collect();
                oldest.sort_unstable();
                oldest.get(excess - 1).copied()
            });
            if let Some(last) = last {
                tracker.evict_up_to(last);
            }
        }
        if remembered >= Tracker::REMEMBERED {
            tracker.forget();
        }
        // Nobody may publish the next standing before everybody has read this one.
        self.barrier.wait();
        let attempts = self.max_attempts.saturating_sub(undecided);
        // One less: flows are forgotten when the memory is full, not when it is more than full. And every
        // attempt that is held now may leave, and be remembered, without a packet of its own.
        let flows = (Tracker::REMEMBERED - 1).saturating_sub(remembered).saturating_sub(held);
        attempts.min(flows) as u64
    }

    fn publish(&self, shard: usize, say: impl FnOnce(&mut Standing)) {
        let mut all = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(standing) = all.get_mut(shard) {
            say(standing);
        }
        drop(all);
        self.barrier.wait();
    }

    fn read<T>(&self, look: impl FnOnce(&[Standing]) -> T) -> T {
        look(&self.shards.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
