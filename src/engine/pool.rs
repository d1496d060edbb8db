//! The shards of an analysis, and what is to be done for them: any thread may do it.
//!
//! Owns who works on what, and how threads wait for one another. A shard's batches are tracked in order, by one thread
//! at a time, and mostly by the same; but whoever has time takes the part that is most behind. So threads that have
//! other work besides, or slower processors, take fewer. Does not own what is read nor what is told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::bounds::{Bounds, Eviction, Stillness};
use super::steps::Steps;
use super::{AnalysisOptions, BATCH};
use crate::capture::SourceStatus;
use crate::handshake::{Batch, Finding, Tracker};
use crate::packet::Timestamp;

/// Shards of the flows, each with a tracker of its own. More than threads, so that work can be dealt evenly; few enough
/// that a shard's part of a batch is worth a group of lookups.
pub(super) const SHARDS: usize = 4;

/// Batches that are handed over together, and that a thread tracks of one shard before it looks for the next.
pub(super) const TOGETHER: usize = 4;

/// Batches that are read and not yet told, from which on no more are read.
const AHEAD: usize = 3 * TOGETHER;

/// Findings whose buffer is used again at most: more than nearly all batches have.
const SPARE_CAPACITY: usize = BATCH / 4;

/// How often others are given way to before a thread sleeps: some tenths of a millisecond, about as long as a parcel of
/// batches takes. Who sleeps has to be woken, and the kernel likes to wake a thread on the processor of the one that
/// wakes it, where they then take turns until the kernel notices.
const SPINS: u32 = 1_000;

/// The shard that tracks flows with this hash: by its upper bits, the others choose the place in the index.
#[inline(always)]
pub(super) const fn shard_of(hash: u64) -> usize {
    (hash >> (u64::BITS - SHARDS.trailing_zeros())) as usize
}

/// One shard's part of a batch.
struct ShardBatch {
    packets: Batch,
    end: End,
}

/// What is known at the end of a batch: the same for all shards.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// The latest steady time of the whole input so far.
    pub(super) now: Option<Timestamp>,
    /// Packets of the whole input so far.
    pub(super) total: u64,
    /// What comes after it.
    pub(super) status: SourceStatus,
}

impl End {
    /// Whether bounds are kept here.
    const fn is_bounded(&self) -> bool {
        self.total.is_multiple_of(BATCH as u64) || matches!(self.status, SourceStatus::End)
    }
}

/// A shard's tracker, and what only whoever works on it needs.
#[derive(Default)]
struct Shard {
    tracker: Tracker,
    stillness: Stillness,
    /// The latest steady time of the batches that it has taken.
    then: Option<Timestamp>,
}

/// How far a shard is with the end of a batch.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// It is done with it.
    Going,
    /// Time goes on to this end in steps, of which these are left.
    Stepping(End, Steps),
    /// It waits until all are at the end of this batch.
    Waiting(End),
    /// They all were, and this was ruled.
    Evicting(End, Eviction),
}

/// What a shard found in a batch, or in a step of time after its packets.
struct Findings {
    found: Vec<Finding>,
    /// Nothing more of this batch follows.
    is_last: bool,
}

/// What lies ready of a shard.
struct ShardQueue {
    /// Not there while a thread works on it.
    shard: Option<Box<Shard>>,
    stage: Stage,
    shard_batches: VecDeque<ShardBatch>,
    /// In order; all shards have the same all_findings.
    found: VecDeque<Findings>,
    /// Pieces that are done.
    done: u64,
}

impl ShardQueue {
    fn new() -> Self {
        Self {
            shard: Some(Box::default()),
            stage: Stage::Going,
            shard_batches: VecDeque::new(),
            found: VecDeque::new(),
            done: 0,
        }
    }

    fn has_work(&self) -> bool {
        self.shard.is_some()
            && match self.stage {
                Stage::Going => !self.shard_batches.is_empty(),
                // Steps may find much: what was found in some is told before there are more.
                Stage::Stepping(..) => self.found.len() < TOGETHER,
                Stage::Waiting(_) => false,
                Stage::Evicting(..) => true,
            }
    }

    /// Whether it has nothing to do, and will not have unless more is read.
    fn is_at_rest(&self) -> bool {
        self.shard.is_some() && self.shard_batches.is_empty() && matches!(self.stage, Stage::Going)
    }
}

/// A shard that a thread has taken to work on, with what is to be done, and then with what came of it.
struct Task {
    place: usize,
    shard: Box<Shard>,
    stage: Stage,
    /// Parts to be tracked; afterwards those that something has to be waited for before.
    shard_batches: VecDeque<ShardBatch>,
    /// As they are until the next eviction.
    bounds: Bounds,
    /// Room for what is found, to be used again.
    spare_buffers: Vec<Vec<Finding>>,
    found: Vec<Findings>,
    /// Batches that were tracked, emptied.
    empty: Vec<Batch>,
}

struct State {
    queues: [ShardQueue; SHARDS],
    bounds: Bounds,
    /// The ends of the batches that were read and not yet told.
    ends: VecDeque<End>,
    /// Nothing more will be read.
    ended: bool,
    /// Nothing more is to be done.
    stopped: bool,
    sleepers: usize,
    batches: Vec<Batch>,
    spare_buffers: Vec<Vec<Finding>>,
}

/// All shards.
pub(super) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
    /// Goes on with every change of the state.
    version: AtomicU64,
}

/// What whoever reads has to do next.
pub(super) enum Reading {
    /// There is buffer for more batches.
    Read,
    /// Others have to be waited for, or helped.
    Wait,
    /// Nothing more is wanted.
    Stop,
}

impl Pool {
    pub(super) fn new(options: &AnalysisOptions) -> Self {
        let state = State {
            queues: std::array::from_fn(|_| ShardQueue::new()),
            bounds: Bounds::new(options.max_attempts),
            ends: VecDeque::new(),
            ended: false,
            stopped: false,
            sleepers: 0,
            batches: Vec::new(),
            spare_buffers: Vec::new(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), version: AtomicU64::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets others know of a change.
    fn notify(&self, state: MutexGuard<'_, State>) {
        self.version.fetch_add(1, Ordering::Release);
        if state.sleepers > 0 {
            self.changed.notify_all();
        }
    }

    /// What [`Self::wait`] waits for a change of; to be asked before looking for work.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Waits for a change since `version`.
    pub(super) fn wait(&self, version: u64) {
        for _ in 0..SPINS {
            if self.version() != version {
                return;
            }
            thread::yield_now();
        }
        let mut state = self.state();
        state.sleepers += 1;
        while self.version() == version {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.sleepers -= 1;
    }

    /// Has everybody stop.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        self.notify(state);
    }

    /// What whoever reads has to do next.
    pub(super) fn reading(&self) -> Reading {
        let state = self.state();
        if state.stopped || state.ended {
            Reading::Stop
        } else if state.ends.len() < AHEAD {
            Reading::Read
        } else {
            Reading::Wait
        }
    }

    /// Empty batches for the shard_batches of one, with buffer that was used before where there is any.
    pub(super) fn batches(&self) -> [Batch; SHARDS] {
        let mut spares = {
            let mut state = self.state();
            let from = state.batches.len().saturating_sub(SHARDS);
            state.batches.split_off(from)
        };
        std::array::from_fn(|_| spares.pop().unwrap_or_else(|| Batch::with_capacity(BATCH / SHARDS)))
    }

    /// Adds the shard_batches of batches that were read, each with its end.
    pub(super) fn add(&self, batches: Vec<([Batch; SHARDS], End)>) {
        let mut state = self.state();
        for (shard_batches, end) in batches {
            for (queue, packets) in state.queues.iter_mut().zip(shard_batches) {
                queue.shard_batches.push_back(ShardBatch { packets, end });
            }
            state.ended |= end.status == SourceStatus::End;
            state.ends.push_back(end);
        }
        self.notify(state);
    }

    /// Does some work for the shard that is most behind, of these the first by `order`; says whether there was any.
    pub(super) fn work(&self, order: impl Fn(usize) -> usize) -> bool {
        let Some(mut task) = self.take(order) else { return false };
        task.run();
        self.give_back(task);
        true
    }

    fn take(&self, order: impl Fn(usize) -> usize) -> Option<Task> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.stopped {
            return None;
        }
        let ready = state.queues.iter_mut().enumerate().filter(|(_, queue)| queue.has_work());
        let (place, queue) = ready.min_by_key(|&(place, ref queue)| (queue.done, order(place)))?;
        let shard = queue.shard.take()?;
        let shard_batches: VecDeque<ShardBatch> =
            queue.shard_batches.drain(..queue.shard_batches.len().min(TOGETHER)).collect();
        let stage = queue.stage;
        let from = state.spare_buffers.len().saturating_sub(shard_batches.len() + 1);
        let spare_buffers = state.spare_buffers.split_off(from);
        let (bounds, found, empty) = (state.bounds, Vec::new(), Vec::new());
        Some(Task { place, shard, stage, shard_batches, bounds, spare_buffers, found, empty })
    }

    fn give_back(&self, task: Task) {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(queue) = state.queues.get_mut(task.place) else { return };
        queue.shard = Some(task.shard);
        queue.stage = task.stage;
        queue.done += task.found.len() as u64;
        queue.found.extend(task.found);
        task.shard_batches.into_iter().rev().for_each(|part| queue.shard_batches.push_front(part));
        state.batches.extend(task.empty);
        state.spare_buffers.extend(task.spare_buffers);
        if let Stage::Waiting(end) = task.stage {
            state.evict(end);
        }
        self.notify(guard);
    }

    /// The next findings of what all shards found, once all are done with it, and the end of its batch if it is the last.
    pub(super) fn found(&self) -> Option<(Vec<Vec<Finding>>, Option<End>)> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.queues.iter().any(|queue| queue.found.is_empty()) {
            return None;
        }
        let all_findings: Vec<Findings> =
            state.queues.iter_mut().filter_map(|queue| queue.found.pop_front()).collect();
        let is_last = all_findings.iter().all(|findings| findings.is_last);
        let end = if is_last { state.ends.pop_front() } else { None };
        let found = all_findings.into_iter().map(|findings| findings.found).collect();
        self.notify(guard);
        Some((found, end))
    }

    /// Takes back buffer that findings took.
    pub(super) fn take_back(&self, spare_buffers: impl Iterator<Item = Vec<Finding>>) {
        // What was found is dropped before the others are kept waiting.
        let emptied = spare_buffers.filter(|buffer| buffer.capacity() <= SPARE_CAPACITY).map(|mut buffer| {
            buffer.clear();
            buffer
        });
        let emptied: Vec<_> = emptied.collect();
        self.state().spare_buffers.extend(emptied);
    }

    /// Whether there is nothing left to be done before the end is decided.
    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        state.stopped || state.ended && state.queues.iter().all(ShardQueue::is_at_rest)
    }

    /// Whether everybody was told to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// The trackers, when all is done.
    pub(super) fn trackers(&self) -> Vec<Tracker> {
        let mut state = self.state();
        let shards: Vec<_> = state.queues.iter_mut().filter_map(|queue| queue.shard.take()).collect();
        state.stopped = true;
        self.notify(state);
        shards.into_iter().map(|shard| shard.tracker).collect()
    }
}

impl State {
    /// Rules what is to be given up, when all shards wait for it.
    fn evict(&mut self, end: End) {
        let waits = |queue: &ShardQueue| matches!(queue.stage, Stage::Waiting(_));
        if !self.queues.iter().all(waits) {
            return;
        }
        let trackers = self.queues.iter().filter_map(|queue| queue.shard.as_ref());
        let eviction = self.bounds.evictions(end.total, trackers.map(|shard| &shard.tracker));
        self.queues.iter_mut().for_each(|queue| queue.stage = Stage::Evicting(end, eviction));
    }
}

impl Task {
    /// Tracks all shard_batches, or as far as it can be done without waiting.
    fn run(&mut self) {
        self.stage = match self.stage {
            Stage::Evicting(end, eviction) => {
                eviction.apply(&mut self.shard.tracker);
                self.conclude(&end)
            }
            Stage::Stepping(end, steps) => self.go_on(end, steps),
            stage @ (Stage::Going | Stage::Waiting(_)) => stage,
        };
        while matches!(self.stage, Stage::Going)
            && let Some(ShardBatch { mut packets, end }) = self.shard_batches.pop_front()
        {
            let Shard { tracker, then, .. } = &mut *self.shard;
            tracker.take(&packets);
            packets.clear();
            self.empty.push(packets);
            let steps = self.bounds.steps(*then, end.now);
            *then = (*then).max(end.now);
            self.stage = self.go_on(end, steps);
        }
    }

    /// Lets time go on to the end of a batch, or as far as it can be done without waiting.
    fn go_on(&mut self, end: End, mut steps: Steps) -> Stage {
        while let Some(time) = steps.next() {
            self.shard.tracker.advance(time);
            self.hand_over(Some(time));
            if self.found.len() >= TOGETHER {
                return Stage::Stepping(end, steps);
            }
        }
        if let Some(now) = end.now {
            self.shard.tracker.advance(now);
        }
        if end.is_bounded() && end.total > self.bounds.safe() {
            return Stage::Waiting(end);
        }
        self.conclude(&end)
    }

    /// What comes after a batch, when bounds were kept.
    fn conclude(&mut self, end: &End) -> Stage {
        let Shard { tracker, stillness, .. } = &mut *self.shard;
        if end.is_bounded() {
            stillness.end(tracker, end.total, end.now);
        }
        self.hand_over(None);
        Stage::Going
    }

    /// Hands over what was found, all that is left of a batch or what was before some time.
    fn hand_over(&mut self, before: Option<Timestamp>) {
        let buffer = self.spare_buffers.pop().unwrap_or_default();
        let found = self.shard.tracker.hand_over(before, buffer);
        self.found.push(Findings { found, is_last: before.is_none() });
    }
}
