//! The worst attempts, kept in constant memory however many there are.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::handshake::{Attempt, Verdict};
use crate::packet::{Endpoint, Timestamp};

/// Orders attempts from worst to mildest; the same for every order of arrival.
type AttemptRank = (u8, Reverse<u32>, Timestamp, u64);

/// Clients that believe they are connected come before clients whose `connect()` failed: those have an
/// error to go by. Then the most retries after the ACK, then the earliest.
fn rank(attempt: &Attempt) -> AttemptRank {
    let class = match attempt.verdict {
        Verdict::SynackRetransmitted | Verdict::ResetAfterAck | Verdict::AckIgnored => 0,
        Verdict::Refused
        | Verdict::Unreachable
        | Verdict::Unanswered
        | Verdict::HalfOpen
        | Verdict::ClientReset
        | Verdict::CompletedLate => 1,
        Verdict::Undetermined => 2,
        Verdict::Completed => 3,
    };
    (class, Reverse(attempt.retries.after_ack), attempt.start, attempt.ordinal)
}

/// Result of offering an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// True if the attempt is listed.
    pub kept: bool,
    /// The position of the attempt that is listed no more.
    pub left: Option<u64>,
}

/// The attempts a report lists: the worst `limit`, or all.
#[derive(Debug, Clone)]
pub(in crate::report) struct ListedAttempts {
    /// `None` keeps all.
    limit: Option<usize>,
    /// With a limit: from worst to mildest.
    kept: Vec<Attempt>,
    offered: u64,
}

impl ListedAttempts {
    pub(in crate::report) fn new(limit: Option<usize>) -> Self {
        Self { limit, kept: Vec::new(), offered: 0 }
    }

    /// Takes a copy of `attempt` if it is among the worst so far.
    pub(in crate::report) fn offer(&mut self, attempt: &Attempt) -> Offer {
        self.offered += 1;
        let Some(limit) = self.limit else {
            self.kept.push(attempt.clone());
            return Offer { kept: true, left: None };
        };
        let full = self.kept.len() >= limit;
        if full && self.kept.last().is_none_or(|mildest| rank(mildest) <= rank(attempt)) {
            return Offer { kept: false, left: None };
        }
        let place = self.kept.partition_point(|kept| rank(kept) <= rank(attempt));
        self.kept.insert(place, attempt.clone());
        let left = self.kept.get(limit).map(|mildest| mildest.ordinal);
        self.kept.truncate(limit);
        Offer { kept: true, left }
    }

    /// The attempts kept so far; with a limit from worst to mildest.
    pub(in crate::report) fn kept(&self) -> &[Attempt] {
        &self.kept
    }

    /// The attempts to show, server by server and then in order of first packet, and how many were
    /// offered but not kept. The server of the earliest attempt comes first.
    pub(super) fn into_reading_order(mut self) -> (Vec<Attempt>, u64) {
        self.kept.sort_by_key(|attempt| attempt.ordinal);
        let mut places: HashMap<Endpoint, usize> = HashMap::new();
        for attempt in &self.kept {
            let next = places.len();
            places.entry(attempt.server).or_insert(next);
        }
        self.kept.sort_by_key(|attempt| places.get(&attempt.server).copied());
        let dropped = self.offered - self.kept.len() as u64;
        (self.kept, dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn keeps_the_same_worst_whatever_the_order_of_arrival() {
        let attempts = samples::overflow_mixed().1;
        let listed = |attempts: &mut dyn Iterator<Item = &Attempt>| {
            let mut listed = ListedAttempts::new(Some(4));
            attempts.for_each(|attempt| _ = listed.offer(attempt));
            listed.into_reading_order()
        };
        let (forward, left_out) = listed(&mut attempts.iter());
        let (backward, _) = listed(&mut attempts.iter().rev());
        assert_eq!(forward, backward);
        assert_eq!(left_out, attempts.len() as u64 - 4);
        let retransmitted = forward.iter().filter(|a| a.verdict == Verdict::SynackRetransmitted).count();
        assert_eq!(retransmitted, 3, "all three of them, before any unanswered one");
        assert!(forward.is_sorted_by_key(|a| a.ordinal));
    }

    #[test]
    fn a_limit_of_none_at_all_keeps_nothing_but_counts() {
        let attempts = samples::overflow_mixed().1;
        let mut listed = ListedAttempts::new(Some(0));
        attempts.iter().for_each(|attempt| _ = listed.offer(attempt));
        assert_eq!(listed.into_reading_order(), (Vec::new(), attempts.len() as u64));
    }
}
