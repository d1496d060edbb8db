//! The attempts that a tracker gives up to bound memory, and those left when the capture ends.
//!
//! Owns the order of eviction: by class, the oldest first within it. Does not own how many are evicted (`engine`).

use super::{AHEAD, Tracked, Tracker};
use crate::handshake::decide::Ending;
use crate::handshake::pending::{Pending, Phase};
use crate::handshake::table::Position;
use crate::packet::{Span, Timestamp};

/// Class of the attempts with one SYN and nothing else.
pub(super) const LONE_SYN: usize = 0;
/// Class of the attempts with SYN-ACK, and no ACK.
const HALF_OPEN: usize = 1;
/// Class of all others.
const OTHERS: usize = 2;
/// Class of the attempts whose next retransmission is overdue.
pub(super) const OVERDUE: usize = 3;

/// Silence after which half-open attempts are evicted before others.
const SILENT_TIME: Span = Span::from_secs(3);

/// The class of an attempt in the table.
#[inline(always)]
pub(super) fn class_of(attempt: &Pending) -> usize {
    if attempt.is_overdue {
        return OVERDUE;
    }
    match attempt.phase {
        Phase::SynSent if attempt.cold.is_none() => LONE_SYN,
        Phase::SynReceived => HALF_OPEN,
        Phase::SynSent
        | Phase::Refused
        | Phase::Unreachable
        | Phase::AnswerUnseen
        | Phase::ClientReset
        | Phase::Acked
        | Phase::Ignored
        | Phase::Reset
        | Phase::Established => OTHERS,
    }
}

/// The order of attempts whose next retransmission becomes overdue at this time.
pub(super) const fn overdue_order(now: Timestamp) -> u64 {
    // Ascends with signed times.
    now.as_nanos().cast_unsigned() ^ 1 << 63
}

/// The place of an attempt in the order of eviction. It does not depend on the shard that tracks the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvictionOrder {
    rank: EvictionRank,
    order: u64,
    ordinal: u64,
}

/// Classes, the first to be evicted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum EvictionRank {
    /// An overdue retransmission is all that they wait for: nothing but that is lost with them.
    Overdue,
    LoneSyn,
    SilentHalfOpen,
    Other,
    HalfOpen,
}

/// An attempt that is left at the end, with the position of its first packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    ordinal: u64,
    at: Position,
}

impl Tracker {
    /// Adds the first `count` attempts in the order of eviction to those of other shards.
    pub fn first_to_evict(&self, count: usize, first: &mut Vec<EvictionOrder>) {
        self.to_evict().take(count).for_each(|(order, _)| first.push(order));
    }

    /// The attempts in the order of eviction.
    fn to_evict(&self) -> impl Iterator<Item = (EvictionOrder, Position)> {
        let began = |tracked: &Tracked| self.now.since(self.steady(tracked.attempt.start)) >= SILENT_TIME;
        let is_silent = |tracked: &Tracked| self.now.since(self.steady(tracked.attempt.last)) >= SILENT_TIME;
        let of_class = |class: usize| {
            self.table.by_age(class).filter_map(|(order, at)| Some((order, at, self.table.get(at)?)))
        };
        let ranked = |rank: EvictionRank| {
            move |(order, at, tracked): (u64, Position, &Tracked)| {
                (EvictionOrder { rank, order, ordinal: tracked.attempt.ordinal }, at)
            }
        };
        // Attempts that began later cannot have been silent for so long.
        let silent = of_class(HALF_OPEN)
            .take_while(move |&(_, _, tracked)| began(tracked))
            .filter(move |&(_, _, tracked)| is_silent(tracked));
        let others = of_class(HALF_OPEN).filter(move |&(_, _, tracked)| !is_silent(tracked));
        of_class(OVERDUE)
            .map(ranked(EvictionRank::Overdue))
            .chain(of_class(LONE_SYN).map(ranked(EvictionRank::LoneSyn)))
            .chain(silent.map(ranked(EvictionRank::SilentHalfOpen)))
            .chain(of_class(OTHERS).map(ranked(EvictionRank::Other)))
            .chain(others.map(ranked(EvictionRank::HalfOpen)))
    }

    /// Evicts up to `count` attempts up to and including this place in the order of eviction.
    pub fn evict(&mut self, count: usize, last: EvictionOrder) {
        // Not collected, which would ask each stage of the order for every attempt.
        let mut evicted: Vec<(EvictionOrder, Position)> = Vec::new();
        self.to_evict()
            .take(count)
            .filter(|&(order, _)| order <= last)
            .for_each(|attempt| evicted.push(attempt));
        for (place, &(order, at)) in evicted.iter().enumerate() {
            let ahead = |by| evicted.get(place + by).map(|&(_, later)| later);
            self.prefetch_leaving(ahead(AHEAD), ahead(2 * AHEAD));
            // A retransmission that is overdue is taken for one that does not come.
            let ending = if order.rank == EvictionRank::Overdue { Ending::Expired } else { Ending::Evicted };
            self.settle_and_remove(at, self.now, ending);
        }
        self.table.trim_ages();
    }

    /// Prefetches attempts that are settled and removed soon, and later.
    #[inline(always)]
    fn prefetch_leaving(&self, soon: Option<Position>, later: Option<Position>) {
        later.into_iter().for_each(|at| self.table.prefetch(at));
        soon.into_iter().for_each(|at| self.table.prefetch_removal(at));
    }

    /// Settles up to `most` of the attempts that are left, oldest first: the capture has ended with its last packet
    /// at the time that the tracker was advanced to. Gives whether there are more.
    pub fn finish(&mut self, most: usize) -> bool {
        let mut left = self.left.take().unwrap_or_else(|| self.left_by_age());
        let end = self.now.minus(self.lag);
        let mut ended = left.split_off(left.len().saturating_sub(most));
        ended.reverse();
        for (place, &Left { at, .. }) in ended.iter().enumerate() {
            let ahead = |by| ended.get(place + by).map(|later: &Left| later.at);
            self.prefetch_leaving(ahead(AHEAD), ahead(2 * AHEAD));
            self.settle_and_remove(at, self.now, Ending::CaptureEnd(end));
        }
        let more = !left.is_empty();
        self.left = more.then_some(left);
        more
    }

    /// All attempts, the oldest last.
    fn left_by_age(&self) -> Vec<Left> {
        let ordinal = |at: Position| Some(self.table.get(at)?.attempt.ordinal);
        let aged = self.table.all_aged();
        let mut left: Vec<Left> = aged.filter_map(|at| Some(Left { ordinal: ordinal(at)?, at })).collect();
        left.sort_unstable_by_key(|left| std::cmp::Reverse(left.ordinal));
        left
    }
}
