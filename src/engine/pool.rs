//! The shards of an analysis, and what is to be done for them: any thread may do it.
//!
//! Owns who works on what, and how threads wait for one another. A shard's parts are tracked in order, by one thread
//! at a time, and mostly by the same; but whoever has time takes the part that is most behind. So threads that have
//! other work besides, or slower processors, take fewer. Does not own what is read nor what is told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::bounds::{Bounds, Ruling, Stillness};
use super::steps::Steps;
use super::{BATCH, Options};
use crate::capture::Status;
use crate::handshake::{Batch, Found, Tracker};
use crate::packet::Timestamp;

/// Shards of the flows, each with a tracker of its own. More than threads, so that work can be dealt evenly; few enough
/// that a shard's part of a batch is worth a group of lookups.
pub(super) const SHARDS: usize = 4;

/// Batches that are handed over together, and that a thread tracks of one shard before it looks for the next.
pub(super) const TOGETHER: usize = 4;

/// Batches that are read and not yet told, from which on no more are read.
const AHEAD: usize = 3 * TOGETHER;

/// Findings whose room is used again at most: more than nearly all batches have.
const ROOM: usize = BATCH / 4;

/// How often others are given way to before a thread sleeps: some tenths of a millisecond, about as long as a parcel of
/// batches takes. Who sleeps has to be woken, and the kernel likes to wake a thread on the processor of the one that
/// wakes it, where they then take turns until the kernel notices.
const PATIENCE: u32 = 1_000;

/// The shard that tracks flows with this hash: by its upper bits, the others choose the place in the index.
#[inline(always)]
pub(super) const fn shard_of(hash: u64) -> usize {
    (hash >> (u64::BITS - SHARDS.trailing_zeros())) as usize
}

/// One shard's part of a batch.
struct Part {
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
    pub(super) status: Status,
}

impl End {
    /// Whether bounds are kept here.
    const fn is_bounded(&self) -> bool {
        self.total.is_multiple_of(BATCH as u64) || matches!(self.status, Status::End)
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
    Ruled(End, Ruling),
}

/// What a shard found in a batch, or in a step of time after its packets.
struct Piece {
    found: Vec<Found>,
    /// Nothing more of this batch follows.
    is_last: bool,
}

/// What lies ready of a shard.
struct Desk {
    /// Not there while a thread works on it.
    shard: Option<Box<Shard>>,
    stage: Stage,
    parts: VecDeque<Part>,
    /// In order; all shards have the same pieces.
    found: VecDeque<Piece>,
    /// Pieces that are done.
    done: u64,
}

impl Desk {
    fn new() -> Self {
        Self {
            shard: Some(Box::default()),
            stage: Stage::Going,
            parts: VecDeque::new(),
            found: VecDeque::new(),
            done: 0,
        }
    }

    fn has_work(&self) -> bool {
        self.shard.is_some()
            && match self.stage {
                Stage::Going => !self.parts.is_empty(),
                // Steps may find much: what was found in some is told before there are more.
                Stage::Stepping(..) => self.found.len() < TOGETHER,
                Stage::Waiting(_) => false,
                Stage::Ruled(..) => true,
            }
    }

    /// Whether it has nothing to do, and will not have unless more is read.
    fn is_at_rest(&self) -> bool {
        self.shard.is_some() && self.parts.is_empty() && matches!(self.stage, Stage::Going)
    }
}

/// A shard that a thread has taken to work on, with what is to be done, and then with what came of it.
struct Task {
    place: usize,
    shard: Box<Shard>,
    stage: Stage,
    /// Parts to be tracked; afterwards those that something has to be waited for before.
    parts: VecDeque<Part>,
    /// As they are until the next ruling.
    bounds: Bounds,
    /// Room for what is found, to be used again.
    rooms: Vec<Vec<Found>>,
    found: Vec<Piece>,
    /// Batches that were tracked, emptied.
    empty: Vec<Batch>,
}

struct State {
    desks: [Desk; SHARDS],
    bounds: Bounds,
    /// The ends of the batches that were read and not yet told.
    ends: VecDeque<End>,
    /// Nothing more will be read.
    ended: bool,
    /// Nothing more is to be done.
    stopped: bool,
    sleepers: usize,
    batches: Vec<Batch>,
    rooms: Vec<Vec<Found>>,
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
    /// There is room for more batches.
    Read,
    /// Others have to be waited for, or helped.
    Wait,
    /// Nothing more is wanted.
    Stop,
}

impl Pool {
    pub(super) fn new(options: &Options) -> Self {
        let state = State {
            desks: std::array::from_fn(|_| Desk::new()),
            bounds: Bounds::new(options.max_attempts),
            ends: VecDeque::new(),
            ended: false,
            stopped: false,
            sleepers: 0,
            batches: Vec::new(),
            rooms: Vec::new(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), version: AtomicU64::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets others know of a change.
    fn tell(&self, state: MutexGuard<'_, State>) {
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
        for _ in 0..PATIENCE {
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
        self.tell(state);
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

    /// Empty batches for the parts of one, with room that was used before where there is any.
    pub(super) fn batches(&self) -> [Batch; SHARDS] {
        let mut spares = {
            let mut state = self.state();
            let from = state.batches.len().saturating_sub(SHARDS);
            state.batches.split_off(from)
        };
        std::array::from_fn(|_| spares.pop().unwrap_or_else(|| Batch::with_capacity(BATCH / SHARDS)))
    }

    /// Adds the parts of batches that were read, each with its end.
    pub(super) fn add(&self, batches: Vec<([Batch; SHARDS], End)>) {
        let mut state = self.state();
        for (parts, end) in batches {
            for (desk, packets) in state.desks.iter_mut().zip(parts) {
                desk.parts.push_back(Part { packets, end });
            }
            state.ended |= end.status == Status::End;
            state.ends.push_back(end);
        }
        self.tell(state);
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
        let ready = state.desks.iter_mut().enumerate().filter(|(_, desk)| desk.has_work());
        let (place, desk) = ready.min_by_key(|&(place, ref desk)| (desk.done, order(place)))?;
        let shard = desk.shard.take()?;
        let parts: VecDeque<Part> = desk.parts.drain(..desk.parts.len().min(TOGETHER)).collect();
        let stage = desk.stage;
        let from = state.rooms.len().saturating_sub(parts.len() + 1);
        let rooms = state.rooms.split_off(from);
        let (bounds, found, empty) = (state.bounds, Vec::new(), Vec::new());
        Some(Task { place, shard, stage, parts, bounds, rooms, found, empty })
    }

    fn give_back(&self, task: Task) {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(desk) = state.desks.get_mut(task.place) else { return };
        desk.shard = Some(task.shard);
        desk.stage = task.stage;
        desk.done += task.found.len() as u64;
        desk.found.extend(task.found);
        task.parts.into_iter().rev().for_each(|part| desk.parts.push_front(part));
        state.batches.extend(task.empty);
        state.rooms.extend(task.rooms);
        if let Stage::Waiting(end) = task.stage {
            state.rule(end);
        }
        self.tell(guard);
    }

    /// The next piece of what all shards found, once all are done with it, and the end of its batch if it is the last.
    pub(super) fn found(&self) -> Option<(Vec<Vec<Found>>, Option<End>)> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.desks.iter().any(|desk| desk.found.is_empty()) {
            return None;
        }
        let pieces: Vec<Piece> = state.desks.iter_mut().filter_map(|desk| desk.found.pop_front()).collect();
        let is_last = pieces.iter().all(|piece| piece.is_last);
        let end = if is_last { state.ends.pop_front() } else { None };
        let found = pieces.into_iter().map(|piece| piece.found).collect();
        self.tell(guard);
        Some((found, end))
    }

    /// Takes back room that findings took.
    pub(super) fn take_back(&self, rooms: impl Iterator<Item = Vec<Found>>) {
        // What was found is dropped before the others are kept waiting.
        let emptied = rooms.filter(|room| room.capacity() <= ROOM).map(|mut room| {
            room.clear();
            room
        });
        let emptied: Vec<_> = emptied.collect();
        self.state().rooms.extend(emptied);
    }

    /// Whether there is nothing left to be done before the end is decided.
    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        state.stopped || state.ended && state.desks.iter().all(Desk::is_at_rest)
    }

    /// Whether everybody was told to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// The trackers, when all is done.
    pub(super) fn trackers(&self) -> Vec<Tracker> {
        let mut state = self.state();
        let shards: Vec<_> = state.desks.iter_mut().filter_map(|desk| desk.shard.take()).collect();
        state.stopped = true;
        self.tell(state);
        shards.into_iter().map(|shard| shard.tracker).collect()
    }
}

impl State {
    /// Rules what is to be given up, when all shards wait for it.
    fn rule(&mut self, end: End) {
        let waits = |desk: &Desk| matches!(desk.stage, Stage::Waiting(_));
        if !self.desks.iter().all(waits) {
            return;
        }
        let trackers = self.desks.iter().filter_map(|desk| desk.shard.as_ref());
        let ruling = self.bounds.rule(end.total, trackers.map(|shard| &shard.tracker));
        self.desks.iter_mut().for_each(|desk| desk.stage = Stage::Ruled(end, ruling));
    }
}

impl Task {
    /// Tracks all parts, or as far as it can be done without waiting.
    fn run(&mut self) {
        self.stage = match self.stage {
            Stage::Ruled(end, ruling) => {
                ruling.apply(&mut self.shard.tracker);
                self.conclude(&end)
            }
            Stage::Stepping(end, steps) => self.go_on(end, steps),
            stage @ (Stage::Going | Stage::Waiting(_)) => stage,
        };
        while matches!(self.stage, Stage::Going)
            && let Some(Part { mut packets, end }) = self.parts.pop_front()
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
        let room = self.rooms.pop().unwrap_or_default();
        let found = self.shard.tracker.hand_over(before, room);
        self.found.push(Piece { found, is_last: before.is_none() });
    }
}
