//! The bounds on what is undecided, remembered and lingering, kept by all shards together.

use std::sync::{Barrier, Mutex, PoisonError};

use super::BATCH;
use crate::handshake::Tracker;
use crate::packet::{Span, Timestamp};

/// Packets after which it is looked at anew at the latest how many flows are remembered: a packet may add one.
const INTERVAL: u64 = 128 * BATCH as u64;

/// Packets within which a decided attempt stops to linger in any capture of a real network.
const LONG: u64 = 64 * BATCH as u64;

/// In less packet time than this, [`LONG`] packets are from no real network.
const MOMENT: Span = Span::from_millis(100);

/// What all shards hold, and where they wait for one another.
pub(super) struct Bounds {
    barrier: Barrier,
    max_attempts: usize,
    shards: Mutex<Vec<Standing>>,
}

/// What a shard holds, and its oldest attempts when there are too many.
#[derive(Debug, Clone, Default)]
struct Standing {
    undecided: usize,
    heard_of: usize,
    oldest: Vec<u64>,
}

/// What one shard knows of when to look again: the same in every shard.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// Up to so many packets of the whole input nothing can be exceeded.
    safe: u64,
    /// From so many on it is looked at whether time stands still, and when that was last done.
    next: u64,
    then: Option<Timestamp>,
}

impl Keeper {
    /// Keeps the bounds after the packets of a whole batch, so many of the whole input up to this steady time. Every
    /// shard must call it at the same batches.
    pub(super) fn keep(
        &mut self,
        bounds: &Bounds,
        shard: usize,
        tracker: &mut Tracker,
        (total, now): (u64, Option<Timestamp>),
    ) {
        if total > self.safe {
            self.safe = total + bounds.keep(shard, tracker);
        }
        if total >= self.next {
            let still = now.zip(self.then).is_some_and(|(now, then)| now.since(then) < MOMENT);
            if still {
                tracker.let_go();
            }
            (self.next, self.then) = (total + LONG, now);
        }
    }
}

impl Bounds {
    pub(super) fn new(shards: usize, max_attempts: usize) -> Self {
        Self {
            barrier: Barrier::new(shards),
            max_attempts,
            shards: Mutex::new(vec![Standing::default(); shards]),
        }
    }

    /// Evicts and forgets so that all shards together stay within the bounds. Every shard must call it at the same batch.
    ///
    /// Gives how many packets may follow before it is to be called again, the same for every shard: a packet opens one
    /// attempt at most. So the shards wait for one another near the bound, not at every batch.
    fn keep(&self, shard: usize, tracker: &mut Tracker) -> u64 {
        self.publish(shard, |standing| {
            (standing.undecided, standing.heard_of) = (tracker.undecided(), tracker.heard_of());
        });
        let (undecided, heard_of) = self.read(|all| {
            all.iter().fold((0, 0), |(undecided, heard_of), standing| {
                (undecided + standing.undecided, heard_of + standing.heard_of)
            })
        });
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
        if heard_of >= Tracker::REMEMBERED {
            tracker.forget_silent();
        }
        // Nobody may publish the next standing before everybody has read this one.
        self.barrier.wait();
        (self.max_attempts.saturating_sub(undecided) as u64).min(INTERVAL)
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
