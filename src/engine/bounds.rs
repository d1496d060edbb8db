//! The bound on undecided attempts, kept by all shards together.

use std::sync::{Barrier, Mutex, PoisonError};

use crate::handshake::Tracker;

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
    oldest: Vec<u64>,
}

impl Bounds {
    pub(super) fn new(shards: usize, max_attempts: usize) -> Self {
        Self {
            barrier: Barrier::new(shards),
            max_attempts,
            shards: Mutex::new(vec![Standing::default(); shards]),
        }
    }

    /// Evicts so that all shards together stay within the bound. Every shard must call it at the same batch.
    ///
    /// Gives how many packets may follow before the bound can be exceeded again, the same for every shard: a packet
    /// opens one attempt at most. So the shards wait for one another near the bound, not at every batch.
    pub(super) fn keep(&self, shard: usize, tracker: &mut Tracker) -> u64 {
        self.publish(shard, |standing| standing.undecided = tracker.undecided());
        let undecided = self.read(|all| all.iter().map(|standing| standing.undecided).sum::<usize>());
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
        // Nobody may publish the next standing before everybody has read this one.
        self.barrier.wait();
        self.max_attempts.saturating_sub(undecided) as u64
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
