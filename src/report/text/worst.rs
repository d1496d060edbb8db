//! The attempts of a report, kept in constant memory however many there are: the worst few, or the first of all.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::handshake::{Attempt, Verdict};
use crate::packet::{Endpoint, Timestamp};

/// Orders attempts from worst to mildest; the same for every order of arrival.
type AttemptRank = (u8, Reverse<u32>, Timestamp, u64);

/// Clients that believe they are connected come before clients whose `connect()` failed: those have an
/// error to go by, and before clients that end it themselves, as scans and checks do. Then the most retries after the ACK, then
/// the earliest. The causes are not known yet.
fn rank(attempt: &Attempt) -> AttemptRank {
    let class = match attempt.verdict {
        Verdict::SynackRetransmitted | Verdict::ResetAfterAck | Verdict::AckIgnored => 0,
        Verdict::Refused
        | Verdict::Unreachable
        | Verdict::Unanswered
        | Verdict::HalfOpen
        | Verdict::CompletedLate => 1,
        Verdict::ClientReset => 2,
        Verdict::Undetermined => 3,
        Verdict::Completed => 4,
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

/// The attempts a report lists: the worst `limit`.
#[derive(Debug, Clone)]
pub(in crate::report) struct ListedAttempts {
    limit: usize,
    /// From worst to mildest.
    kept: Vec<Attempt>,
    offered: u64,
}

impl ListedAttempts {
    pub(in crate::report) fn new(limit: usize) -> Self {
        Self { limit, kept: Vec::new(), offered: 0 }
    }

    /// Takes a copy of `attempt` if it is among the worst so far.
    pub(in crate::report) fn offer(&mut self, attempt: &Attempt) -> Offer {
        self.offered += 1;
        let full = self.kept.len() >= self.limit;
        if full && self.kept.last().is_none_or(|mildest| rank(mildest) <= rank(attempt)) {
            return Offer { kept: false, left: None };
        }
        let place = self.kept.partition_point(|kept| rank(kept) <= rank(attempt));
        self.kept.insert(place, attempt.clone());
        let left = self.kept.get(self.limit).map(|mildest| mildest.ordinal);
        self.kept.truncate(self.limit);
        Offer { kept: true, left }
    }

    /// The attempts kept so far, from worst to mildest.
    pub(in crate::report) fn kept(&self) -> &[Attempt] {
        &self.kept
    }

    /// The attempts to show in order of first packet, and how many were offered but not kept.
    pub(super) fn into_order(mut self) -> (Vec<Attempt>, u64) {
        self.kept.sort_by_key(|attempt| attempt.ordinal);
        let dropped = self.offered - self.kept.len() as u64;
        (self.kept, dropped)
    }
}

/// All attempts of a report up to a number: then problems before others, the first of each.
#[derive(Debug, Clone)]
pub(in crate::report) struct FirstAttempts {
    most: usize,
    problems: Vec<Attempt>,
    others: Vec<Attempt>,
    left_out: u64,
}

impl FirstAttempts {
    pub(in crate::report) fn new(most: usize) -> Self {
        Self { most, problems: Vec::new(), others: Vec::new(), left_out: 0 }
    }

    /// Takes a copy of `attempt` if there is room for it.
    pub(in crate::report) fn add(&mut self, attempt: &Attempt) {
        let is_problem = attempt.verdict.is_problem();
        if self.problems.len() + self.others.len() >= self.most {
            self.left_out += 1;
            if !is_problem || self.others.pop().is_none() {
                return;
            }
        }
        let list = if is_problem { &mut self.problems } else { &mut self.others };
        list.push(attempt.clone());
    }

    /// The attempts in order of first packet, and how many are left out.
    pub(in crate::report) fn into_order(self) -> (Vec<Attempt>, u64) {
        let mut attempts = self.problems;
        attempts.extend(self.others);
        attempts.sort_by_key(|attempt| attempt.ordinal);
        (attempts, self.left_out)
    }
}

/// Puts attempts that are in order of first packet in that of reading: server by server, that of the earliest first.
pub(super) fn sort_by_server(attempts: &mut [Attempt]) {
    let mut places: HashMap<Endpoint, usize> = HashMap::new();
    for attempt in &*attempts {
        let next = places.len();
        places.entry(attempt.server).or_insert(next);
    }
    attempts.sort_by_key(|attempt| places.get(&attempt.server).copied());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn keeps_the_same_worst_whatever_the_order_of_arrival() {
        let attempts = samples::overflow_mixed().1;
        let listed = |attempts: &mut dyn Iterator<Item = &Attempt>| {
            let mut listed = ListedAttempts::new(4);
            attempts.for_each(|attempt| _ = listed.offer(attempt));
            listed.into_order()
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
    fn what_clients_end_themselves_is_listed_after_other_failures() {
        let attempts = samples::overflow_mixed().1;
        let mut unanswered = attempts.into_iter().filter(|attempt| attempt.verdict == Verdict::Unanswered);
        let (first, later) = (unanswered.next().unwrap(), unanswered.next().unwrap());
        let check = Attempt { verdict: Verdict::ClientReset, ..first };
        let mut listed = ListedAttempts::new(1);
        [check, later.clone()].iter().for_each(|attempt| _ = listed.offer(attempt));
        assert_eq!(listed.kept(), [later]);
    }

    #[test]
    fn a_limit_of_none_at_all_keeps_nothing_but_counts() {
        let attempts = samples::overflow_mixed().1;
        let mut listed = ListedAttempts::new(0);
        attempts.iter().for_each(|attempt| _ = listed.offer(attempt));
        assert_eq!(listed.into_order(), (Vec::new(), attempts.len() as u64));
    }
    #[test]
    fn problems_are_listed_before_completed_attempts() {
        let attempts = samples::overflow_mixed().1;
        let problems = attempts.iter().filter(|attempt| attempt.verdict.is_problem()).count();
        for most in [10, problems, problems + 3, attempts.len(), attempts.len() + 1] {
            let mut listed = FirstAttempts::new(most);
            attempts.iter().for_each(|attempt| listed.add(attempt));
            let (kept, left_out) = listed.into_order();
            assert_eq!(kept.len(), most.min(attempts.len()));
            assert_eq!(kept.len() as u64 + left_out, attempts.len() as u64);
            let kept_problems = kept.iter().filter(|attempt| attempt.verdict.is_problem()).count();
            assert_eq!(kept_problems, most.min(problems), "of {most}");
            assert!(kept.is_sorted_by_key(|attempt| attempt.ordinal));
        }
    }
}
