//! The attempts that a tracker gives up to bound memory, and those left when the capture ends.
//!
//! Owns the order of eviction: by class, the oldest first within it. Does not own how many are evicted (`engine`).

use super::{Tracked, Tracker};
use crate::handshake::decide::Ending;
use crate::handshake::dormant::Dormant;
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

/// An undecided attempt: its place in either table.
#[derive(Debug, Clone, Copy)]
enum Undecided {
    Hot(Position),
    Dormant(Position),
}

/// An attempt that is left at the end, with the position of its first packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    ordinal: u64,
    attempt: Undecided,
}

impl Tracker {
    /// The first `count` attempts in the order of eviction.
    pub fn first_to_evict(&self, count: usize) -> impl Iterator<Item = EvictionOrder> {
        self.to_evict().take(count).map(|(order, _)| order)
    }

    /// The attempts in the order of eviction.
    fn to_evict(&self) -> impl Iterator<Item = (EvictionOrder, Undecided)> {
        let began = |tracked: &Tracked| self.now.since(self.steady(tracked.attempt.start)) >= SILENT_TIME;
        let is_silent = |tracked: &Tracked| self.now.since(self.steady(tracked.attempt.last)) >= SILENT_TIME;
        let hot = |class: usize| {
            self.table.by_age(class).filter_map(|(order, at)| Some((order, at, self.table.get(at)?)))
        };
        let ranked = |rank: EvictionRank| {
            move |(order, at, tracked): (u64, Position, &Tracked)| {
                (EvictionOrder { rank, order, ordinal: tracked.attempt.ordinal }, Undecided::Hot(at))
            }
        };
        // Attempts that began later cannot have been silent for so long.
        let silent = hot(HALF_OPEN)
            .take_while(move |&(_, _, tracked)| began(tracked))
            .filter(move |&(_, _, tracked)| is_silent(tracked));
        let others = hot(HALF_OPEN).filter(move |&(_, _, tracked)| !is_silent(tracked));
        let dormant = self.dormant.by_age(0).filter_map(|(order, at)| {
            let ordinal = self.dormant.get(at)?.ordinal;
            Some((EvictionOrder { rank: EvictionRank::Overdue, order, ordinal }, Undecided::Dormant(at)))
        });
        merged(dormant, hot(OVERDUE).map(ranked(EvictionRank::Overdue)))
            .chain(hot(LONE_SYN).map(ranked(EvictionRank::LoneSyn)))
            .chain(silent.map(ranked(EvictionRank::SilentHalfOpen)))
            .chain(hot(OTHERS).map(ranked(EvictionRank::Other)))
            .chain(others.map(ranked(EvictionRank::HalfOpen)))
    }

    /// Evicts up to `count` attempts up to and including this place in the order of eviction.
    pub fn evict(&mut self, count: usize, last: EvictionOrder) {
        let evicted: Vec<(EvictionOrder, Undecided)> =
            self.to_evict().take(count).filter(|&(order, _)| order <= last).collect();
        for (order, attempt) in evicted {
            // A retransmission that is overdue is taken for one that does not come.
            let ending = if order.rank == EvictionRank::Overdue { Ending::Expired } else { Ending::Evicted };
            self.settle_undecided(attempt, ending);
        }
        self.table.trim_ages();
        self.dormant.trim_ages();
    }

    /// Settles an attempt of either table, which then remembers its flow and nothing else.
    fn settle_undecided(&mut self, attempt: Undecided, ending: Ending) {
        match attempt {
            Undecided::Hot(at) => {
                self.settle(at, self.now, ending);
                self.table.remove(at);
            }
            Undecided::Dormant(at) => {
                let key = self.dormant.key(at);
                if let Some(attempt) = self.dormant.take(at).map(Dormant::revive) {
                    self.report_untracked(&attempt, key, self.now, ending);
                }
            }
        }
    }

    /// Settles up to `most` of the attempts that are left, oldest first: the capture has ended with its last packet
    /// at the time that the tracker was advanced to. Gives whether there are more.
    pub fn finish(&mut self, most: usize) -> bool {
        let mut left = self.left.take().unwrap_or_else(|| self.left_by_age());
        let end = self.now.minus(self.lag);
        for Left { attempt, .. } in left.split_off(left.len().saturating_sub(most)).into_iter().rev() {
            self.settle_undecided(attempt, Ending::CaptureEnd(end));
        }
        let more = !left.is_empty();
        self.left = more.then_some(left);
        more
    }

    /// All attempts, the oldest last.
    fn left_by_age(&self) -> Vec<Left> {
        let hot = self.table.all_aged().filter_map(|at| {
            Some(Left { ordinal: self.table.get(at)?.attempt.ordinal, attempt: Undecided::Hot(at) })
        });
        let dormant = self.dormant.all_aged().filter_map(|at| {
            Some(Left { ordinal: self.dormant.get(at)?.ordinal, attempt: Undecided::Dormant(at) })
        });
        let mut left: Vec<Left> = hot.chain(dormant).collect();
        left.sort_unstable_by_key(|left| std::cmp::Reverse(left.ordinal));
        left
    }
}

/// Attempts of two lists that are in the order of eviction, in that order.
fn merged(
    one: impl Iterator<Item = (EvictionOrder, Undecided)>,
    other: impl Iterator<Item = (EvictionOrder, Undecided)>,
) -> impl Iterator<Item = (EvictionOrder, Undecided)> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some((first, _)), Some((second, _))) if second < first => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}
