//! The shards of an analysis on several threads, and the work to be done on them: any thread may do it.
//!
//! Owns which thread works on which shard, and how threads wait for one another. The batches of a shard are tracked in
//! order, by one thread at a time and mostly by the same; but a thread without work takes the shard that is most
//! behind. So threads that have other work besides, or slower processors, do less of it. Does not own what is read, nor
//! where findings go.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::batch::{BATCH, BatchEnd};
use super::bounds::Bounds;
use super::options::AnalysisOptions;
use super::shard::{EndStep, Shard};
use crate::capture::SourceStatus;
use crate::handshake::{Batch, Finding, Tracker};
use crate::packet::Timestamp;

/// Shards of the flows, each with a tracker of its own. More than threads, so that work can be divided evenly; few
/// enough that a shard's share of a batch is worth a group of lookups.
pub(super) const SHARDS: usize = 4;

/// Batches that are queued together, and that a thread tracks of one shard before it looks for the next.
pub(super) const TOGETHER: usize = 4;

/// Most batches that are read and not yet delivered: 12, about 2 ms of work. More would only need more memory.
const AHEAD: usize = 3 * TOGETHER;

/// Largest capacity with which a buffer of findings is kept for the next batch: more than nearly all batches need.
const SPARE_CAPACITY: usize = BATCH / 32;

/// Number of times that a thread yields its processor before it blocks: some tenths of a millisecond, about as long as
/// four batches take. Linux tends to wake a blocked thread on the processor of the thread that wakes it, where both
/// then take turns until the scheduler moves one of them.
const YIELDS: u32 = 1_000;

/// The shard that tracks flows with this hash: by its upper bits, since the others choose the place in the index.
#[inline(always)]
pub(super) const fn shard_of(hash: u64) -> usize {
    (hash >> (u64::BITS - SHARDS.trailing_zeros())) as usize
}

/// A shard's share of a batch.
struct ShardBatch {
    packets: Batch,
    end: BatchEnd,
}

/// Findings of one shard, of a batch or of a step of time at its end.
struct ShardFindings {
    findings: Vec<Finding>,
    /// No more findings of this batch follow.
    is_last: bool,
}

/// A shard, its batches to be tracked, and its findings to be delivered.
struct ShardQueue {
    /// `None` while a thread works on it.
    shard: Option<Box<Shard>>,
    batches: VecDeque<ShardBatch>,
    /// In order. All shards end their batches in the same steps, so their queues of findings correspond.
    findings: VecDeque<ShardFindings>,
    /// Entries of `findings` there ever were: how far the shard is.
    progress: u64,
}

impl ShardQueue {
    fn new(options: &AnalysisOptions) -> Self {
        let shard = Some(Box::new(Shard::new(options)));
        Self { shard, batches: VecDeque::new(), findings: VecDeque::new(), progress: 0 }
    }

    fn has_work(&self) -> bool {
        self.shard.as_ref().is_some_and(|shard| {
            if shard.is_ready() {
                !self.batches.is_empty()
            } else if shard.is_advancing() {
                // Steps of time may find much: some of it is delivered before more steps are taken.
                self.findings.len() < TOGETHER
            } else {
                shard.needs_eviction().is_none()
            }
        })
    }

    /// True if there is no work until more is read.
    fn is_idle(&self) -> bool {
        self.batches.is_empty() && self.shard.as_ref().is_some_and(|shard| shard.is_ready())
    }
}

/// A shard that a thread works on.
struct Task {
    /// The index of the shard.
    index: usize,
    shard: Box<Shard>,
    /// Batches to be tracked; afterwards those before which the shard has to wait for something.
    batches: VecDeque<ShardBatch>,
    /// The bounds as they are until the next eviction, for which all shards wait.
    bounds: Bounds,
    spare_buffers: Vec<Vec<Finding>>,
    findings: Vec<ShardFindings>,
    /// Batches that were tracked, emptied.
    spare_batches: Vec<Batch>,
}

struct State {
    queues: [ShardQueue; SHARDS],
    bounds: Bounds,
    /// The ends of the batches that were read and not yet delivered.
    ends: VecDeque<BatchEnd>,
    /// The source has ended.
    ended: bool,
    /// All threads are to stop.
    stopped: bool,
    sleepers: usize,
    spare_batches: Vec<Batch>,
    spare_buffers: Vec<Vec<Finding>>,
}

/// All shards.
pub(super) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
    /// Counts the changes of the state.
    version: AtomicU64,
}

/// Next step of the reading thread.
pub(super) enum Reading {
    /// Read more batches.
    Read,
    /// Help the other threads, or wait for them.
    Wait,
    /// Stop reading.
    Stop,
}

impl Pool {
    pub(super) fn new(options: &AnalysisOptions) -> Self {
        let state = State {
            queues: std::array::from_fn(|_| ShardQueue::new(options)),
            bounds: Bounds::new(options.max_attempts),
            ends: VecDeque::new(),
            ended: false,
            stopped: false,
            sleepers: 0,
            spare_batches: Vec::new(),
            spare_buffers: Vec::new(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), version: AtomicU64::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notifies waiting threads of a change.
    fn notify(&self, state: MutexGuard<'_, State>) {
        self.version.fetch_add(1, Ordering::Release);
        if state.sleepers > 0 {
            self.changed.notify_all();
        }
    }

    /// The version to pass to [`Self::wait`]; read before looking for work.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Waits for a change since `version`.
    pub(super) fn wait(&self, version: u64) {
        for _ in 0..YIELDS {
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

    /// Has all threads stop.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        self.notify(state);
    }

    /// Decides the next step of the reading thread.
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

    /// An empty batch for every shard, with a buffer that was used before where there is one.
    pub(super) fn empty_batches(&self) -> [Batch; SHARDS] {
        let mut spares = {
            let mut state = self.state();
            let from = state.spare_batches.len().saturating_sub(SHARDS);
            state.spare_batches.split_off(from)
        };
        std::array::from_fn(|_| spares.pop().unwrap_or_else(|| Batch::with_capacity(BATCH / SHARDS)))
    }

    /// Queues batches that were read, each divided among the shards.
    pub(super) fn push(&self, batches: Vec<([Batch; SHARDS], BatchEnd)>) {
        let mut state = self.state();
        for (shares, end) in batches {
            for (queue, packets) in state.queues.iter_mut().zip(shares) {
                queue.batches.push_back(ShardBatch { packets, end });
            }
            state.ended |= end.status == SourceStatus::End;
            state.ends.push_back(end);
        }
        self.notify(state);
    }

    /// Works on the shard that is most behind, of several the first by `order`. Returns whether there was work.
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
        let (index, queue) = ready.min_by_key(|&(index, ref queue)| (queue.progress, order(index)))?;
        let shard = queue.shard.take()?;
        let batches: VecDeque<ShardBatch> =
            queue.batches.drain(..queue.batches.len().min(TOGETHER)).collect();
        let from = state.spare_buffers.len().saturating_sub(batches.len() + 1);
        let spare_buffers = state.spare_buffers.split_off(from);
        let (bounds, findings, spare_batches) = (state.bounds, Vec::new(), Vec::new());
        Some(Task { index, shard, batches, bounds, spare_buffers, findings, spare_batches })
    }

    fn give_back(&self, task: Task) {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(queue) = state.queues.get_mut(task.index) else { return };
        let needs_eviction = task.shard.needs_eviction();
        queue.shard = Some(task.shard);
        queue.progress += task.findings.len() as u64;
        queue.findings.extend(task.findings);
        task.batches.into_iter().rev().for_each(|batch| queue.batches.push_front(batch));
        state.spare_batches.extend(task.spare_batches);
        state.spare_buffers.extend(task.spare_buffers);
        if let Some(total) = needs_eviction {
            state.evict(total);
        }
        self.notify(guard);
    }

    /// The next findings of all shards, once all of them have theirs; and the end of the batch, if they are its last.
    pub(super) fn findings(&self) -> Option<(Vec<Vec<Finding>>, Option<BatchEnd>)> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.queues.iter().any(|queue| queue.findings.is_empty()) {
            return None;
        }
        let next: Vec<ShardFindings> =
            state.queues.iter_mut().filter_map(|queue| queue.findings.pop_front()).collect();
        let is_last = next.iter().all(|of_shard| of_shard.is_last);
        let end = if is_last { state.ends.pop_front() } else { None };
        let findings = next.into_iter().map(|of_shard| of_shard.findings).collect();
        self.notify(guard);
        Some((findings, end))
    }

    /// Takes back the buffers of findings that were delivered.
    pub(super) fn recycle(&self, buffers: impl Iterator<Item = Vec<Finding>>) {
        // Emptied before the state is locked: dropping findings takes time.
        let small = buffers.filter(|buffer| buffer.capacity() <= SPARE_CAPACITY);
        let emptied: Vec<_> = small
            .map(|mut buffer| {
                buffer.clear();
                buffer
            })
            .collect();
        self.state().spare_buffers.extend(emptied);
    }

    /// True if the pool was stopped, or everything is read and tracked.
    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        state.stopped || state.ended && state.queues.iter().all(ShardQueue::is_idle)
    }

    /// True if all threads are to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// The trackers, once all is done; the other threads stop.
    pub(super) fn take_trackers(&self) -> Vec<Tracker> {
        let mut state = self.state();
        let shards: Vec<_> = state.queues.iter_mut().filter_map(|queue| queue.shard.take()).collect();
        state.stopped = true;
        self.notify(state);
        shards.into_iter().map(|shard| shard.into_tracker()).collect()
    }
}

impl State {
    /// Decides an eviction, once all shards wait for it.
    fn evict(&mut self, total: u64) {
        let mut shards: Vec<&mut Shard> =
            self.queues.iter_mut().filter_map(|queue| queue.shard.as_deref_mut()).collect();
        let waiting = shards.iter().filter(|shard| shard.needs_eviction().is_some()).count();
        if waiting < SHARDS {
            return;
        }
        let eviction = self.bounds.evictions(total, shards.iter().map(|shard| shard.tracker()));
        shards.iter_mut().for_each(|shard| shard.evict(eviction));
    }
}

impl Task {
    /// Tracks all batches, or as many as can be tracked without waiting.
    fn run(&mut self) {
        loop {
            match self.shard.step(&self.bounds) {
                Some(EndStep::Until(time)) => {
                    self.take_findings(Some(time));
                    if self.findings.len() >= TOGETHER {
                        return;
                    }
                }
                Some(EndStep::NeedsEviction(_)) => return,
                Some(EndStep::Ended) => self.take_findings(None),
                None => {
                    let Some(ShardBatch { mut packets, end }) = self.batches.pop_front() else { return };
                    self.shard.take(&packets);
                    packets.clear();
                    self.spare_batches.push(packets);
                    self.shard.end_batch(end, &self.bounds);
                }
            }
        }
    }

    /// Takes findings: all that are left of a batch, or those before some time.
    fn take_findings(&mut self, before: Option<Timestamp>) {
        let buffer = self.spare_buffers.pop().unwrap_or_default();
        let findings = self.shard.findings(before, buffer);
        self.findings.push(ShardFindings { findings, is_last: before.is_none() });
    }
}
