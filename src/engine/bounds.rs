//! The bounds on what is undecided, remembered and lingering, over all shards together.

use super::BATCH;
use super::steps::Steps;
use crate::handshake::Tracker;
use crate::packet::{Span, Timestamp};

/// Packets after which it is looked at anew at the latest how many flows are remembered: a packet may add one.
const INTERVAL: u64 = 128 * BATCH as u64;

/// Undecided attempts from which on time goes in steps: what fewer of them find does not take much room.
const CROWD: usize = 131_072;

/// Packets within which a decided attempt stops to linger in any capture of a real network.
const LONG: u64 = 64 * BATCH as u64;

/// In less packet time than this, [`LONG`] packets are from no real network.
const MOMENT: Span = Span::from_millis(100);

/// What all shards together may hold, and when it is to be looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    max_attempts: usize,
    /// Up to so many packets of the whole input nothing can be exceeded.
    safe: u64,
    /// Many attempts were undecided when it was last looked at.
    crowded: bool,
}

/// What every shard has to give up so that all together stay within the bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Eviction {
    /// The position of the last attempt to be evicted.
    last_evicted: Option<u64>,
    forget_silent: bool,
}

impl Bounds {
    pub(super) const fn new(max_attempts: usize) -> Self {
        Self { max_attempts, safe: 0, crowded: false }
    }

    /// Up to so many packets of the whole input there is nothing to rule.
    pub(super) const fn safe(&self) -> u64 {
        self.safe
    }

    /// In which steps time goes from `then` to `now`, if it does not at once.
    pub(super) fn steps(self, then: Option<Timestamp>, now: Option<Timestamp>) -> Steps {
        if self.crowded { Steps::between(then, now) } else { Steps::default() }
    }

    /// Rules what trackers do that have all taken so many packets of the whole input.
    ///
    /// A packet opens one attempt at most; so this is seldom asked, but near the bound.
    pub(super) fn evictions<'t>(
        &mut self,
        total: u64,
        trackers: impl Iterator<Item = &'t Tracker> + Clone,
    ) -> Eviction {
        let undecided: usize = trackers.clone().map(Tracker::undecided).sum();
        let heard_of: usize = trackers.clone().map(Tracker::heard_of).sum();
        self.crowded = undecided >= CROWD;
        // A crowd is looked at after every batch: it may be gone at once.
        let free = if self.crowded { 0 } else { self.max_attempts.saturating_sub(undecided) };
        self.safe = total + (free as u64).min(INTERVAL);
        let excess = undecided.saturating_sub(self.max_attempts);
        let last_evicted = excess.checked_sub(1).and_then(|last| {
            let mut oldest: Vec<u64> = trackers.flat_map(|tracker| tracker.oldest(excess)).collect();
            (last < oldest.len()).then(|| *oldest.select_nth_unstable(last).1)
        });
        Eviction { last_evicted, forget_silent: heard_of >= Tracker::REMEMBERED }
    }
}

impl Eviction {
    /// Does what was ruled.
    pub(super) fn apply(self, tracker: &mut Tracker) {
        if let Some(last) = self.last_evicted {
            tracker.evict_up_to(last);
        }
        if self.forget_silent {
            tracker.forget_silent();
        }
    }
}

/// Watches whether packet time stands still, where attempts would linger for ever.
#[derive(Debug, Default)]
pub(super) struct Stillness {
    /// From so many packets on it is looked at, and the time when that was last done.
    next: u64,
    then: Option<Timestamp>,
}

impl Stillness {
    /// Lets go what lingers if time stands still, after so many packets of the whole input up to this steady time.
    pub(super) fn end(&mut self, tracker: &mut Tracker, total: u64, now: Option<Timestamp>) {
        if total < self.next {
            return;
        }
        if now.zip(self.then).is_some_and(|(now, then)| now.since(then) < MOMENT) {
            tracker.let_go();
        }
        (self.next, self.then) = (total + LONG, now);
    }
}
