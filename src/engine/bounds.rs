//! The bounds on undecided, remembered and lingering attempts, over all shards together.

use super::batch::BATCH;
use super::steps::Steps;
use crate::handshake::{EvictionOrder, Tracker};
use crate::packet::{Span, Timestamp};

/// Most packets between two checks: each packet may add one flow that is remembered, and all that is evicted at a check is in
/// memory at once.
const CHECK_INTERVAL: u64 = 8 * BATCH as u64;

/// Most attempts that wait for a retransmission which is overdue already, some 4 MiB: it may come for two minutes, and
/// hardly ever does. Past that the one that is overdue for the longest is taken for silent.
const MAX_OVERDUE: usize = 8192;

/// Undecided attempts from which on time advances in steps: the findings of fewer take little memory.
const CROWD: usize = 131_072;

/// Packets between two checks for a standstill: within so many a settled attempt stops lingering in any capture of a
/// real network.
const STANDSTILL_INTERVAL: u64 = 64 * BATCH as u64;

/// Packet time within which no real network sends [`STANDSTILL_INTERVAL`] packets.
const STANDSTILL: Span = Span::from_millis(100);

/// The bounds, and when they have to be checked next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    max_attempts: usize,
    /// See [`Self::safe`].
    safe: u64,
    /// Many attempts were undecided at the last check.
    is_crowded: bool,
}

/// Eviction over all shards: how far each of them evicts in the common order, so that all together stay within the
/// bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Eviction {
    /// Number of attempts to evict, of all shards together, and the place of the last one in the order of eviction.
    evicted: Option<(usize, EvictionOrder)>,
    forget_inactive: bool,
}

impl Bounds {
    pub(super) const fn new(max_attempts: usize) -> Self {
        Self { max_attempts, safe: 0, is_crowded: false }
    }

    /// Packets of the whole input up to which no bound can be exceeded.
    pub(super) const fn safe(&self) -> u64 {
        self.safe
    }

    /// Many attempts were undecided at the last check.
    pub(super) const fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// The steps in which time advances from `before` to `now`; none where it does so at once.
    pub(super) fn steps(&self, before: Option<Timestamp>, now: Option<Timestamp>) -> Steps {
        if self.is_crowded { Steps::between(before, now) } else { Steps::default() }
    }

    /// Decides what the trackers evict. All of them have taken this many packets of the whole input.
    ///
    /// A packet opens one attempt at most, so this is seldom needed except near the bound.
    pub(super) fn evictions<'t>(
        &mut self,
        total: u64,
        trackers: impl Iterator<Item = &'t Tracker> + Clone,
    ) -> Eviction {
        let undecided: usize = trackers.clone().map(Tracker::undecided).sum();
        let overdue: usize = trackers.clone().map(Tracker::overdue).sum();
        let active_flows: usize = trackers.clone().map(Tracker::active_flows).sum();
        self.is_crowded = undecided >= CROWD;
        // A crowd is checked after every batch, since it may be gone at once.
        let free = if self.is_crowded { 0 } else { self.max_attempts.saturating_sub(undecided) };
        self.safe = total + (free as u64).min(CHECK_INTERVAL);
        // Overdue attempts are the first to be evicted.
        let excess = undecided.saturating_sub(self.max_attempts).max(overdue.saturating_sub(MAX_OVERDUE));
        let evicted = excess.checked_sub(1).and_then(|last| {
            let mut first: Vec<EvictionOrder> = Vec::new();
            trackers.for_each(|tracker| tracker.first_to_evict(excess, &mut first));
            (last < first.len()).then(|| (excess, *first.select_nth_unstable(last).1))
        });
        Eviction { evicted, forget_inactive: active_flows >= Tracker::REMEMBERED }
    }
}

impl Eviction {
    pub(super) fn apply(self, tracker: &mut Tracker) {
        if let Some((count, last)) = self.evicted {
            tracker.evict(count, last);
        }
        if self.forget_inactive {
            tracker.forget_inactive();
        }
    }
}

/// Detects that packet time stands still, where settled attempts would linger for ever.
#[derive(Debug, Default)]
pub(super) struct Standstill {
    /// Packets of the whole input from which on the next check is due.
    next: u64,
    /// The packet clock at the last check.
    last: Option<Timestamp>,
}

impl Standstill {
    /// Removes lingering attempts if packet time stands still. Called after this many packets of the whole input, with
    /// the time of the latest.
    pub(super) fn check(&mut self, tracker: &mut Tracker, total: u64, now: Option<Timestamp>) {
        if total < self.next {
            return;
        }
        if now.zip(self.last).is_some_and(|(now, last)| now.since(last) < STANDSTILL) {
            tracker.remove_settled();
        }
        (self.next, self.last) = (total + STANDSTILL_INTERVAL, now);
    }
}
