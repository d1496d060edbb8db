//! SYNs that a listener left unanswered, in stretches, beside those that it answered.

use super::clients::ClientSet;
use super::marks::MARK_GAP;
use super::per_second::{PART, PARTS_OF_SECOND, PerSecond};
use crate::handshake::{Attempt, Fact, PortsBefore, Verdict};
use crate::packet::{Span, Timestamp};

/// A run of unanswered SYNs at most [`MARK_GAP`] apart (DOMAIN §4).
#[derive(Debug, Clone, PartialEq)]
pub(in crate::listener) struct DropStretch {
    pub(in crate::listener) from: Timestamp,
    pub(in crate::listener) to: Timestamp,
    /// Unanswered SYNs, retries included.
    pub(in crate::listener) drops: u32,
    /// Attempts that they belong to.
    pub(in crate::listener) attempts: u32,
    /// Attempts among them that had unanswered SYNs before, in another stretch.
    continued: u32,
    /// Attempts among them whose ports an earlier connection had.
    pub(in crate::listener) with_old_ports: u32,
    /// Attempts among them whose timestamp is older than that of an earlier connection from their address.
    pub(in crate::listener) with_older_stamps: u32,
    /// Attempts among them whose retry left out an option that a path may block.
    pub(in crate::listener) without_feature: u32,
    pub(in crate::listener) clients: ClientSet,
}

/// Unanswered and answered SYNs of a listener.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Drops {
    /// In order of time.
    stretches: Vec<DropStretch>,
    /// Unanswered SYNs, retries included.
    unanswered: PerSecond<PARTS_OF_SECOND>,
    /// SYNs answered at once.
    answered: PerSecond<PARTS_OF_SECOND>,
    /// First SYNs whose SYN-ACK did not reach the client.
    answers_lost: PerSecond,
    /// Attempts whose ports an earlier connection had; apart from them those with an older timestamp than its.
    old_ports: [OldPorts; 2],
}

/// Attempts whose ports an earlier connection had.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct OldPorts {
    /// Answered at once.
    answered: u32,
    /// Not answered, or only with the earlier connection's numbers.
    dropped: u32,
}

/// Time after which an old connection is gone, in TIME-WAIT (60 s on Linux) and in conntrack
/// (`nf_conntrack_tcp_timeout_time_wait`, 120 s).
pub(in crate::listener) const TIME_WAIT: Span = Span::from_secs(120);

/// Fewest attempts that go unanswered together: one or two meet by chance.
pub(in crate::listener) const MIN_ATTEMPTS: u32 = 3;

/// Stretches kept per listener; past that the two that are closest become one.
const STRETCHES: usize = 64;

impl Drops {
    pub(super) fn see(&mut self, attempt: &Attempt) {
        let facts = attempt.facts;
        let mut answered = false;
        if facts.has(Fact::SynSeen) && facts.has(Fact::SynAckSeen) && attempt.retries.syn == 0 {
            self.answered.add(attempt.start);
            answered = true;
        }
        if facts.has(Fact::FirstSynAnswered) && attempt.verdict == Verdict::CompletedLate {
            self.answers_lost.add(attempt.start);
        }
        let mut previous: Option<Timestamp> = None;
        for at in dropped_syns(attempt) {
            self.drop_at(at, attempt, previous);
            previous = Some(at);
        }
        if let Some(before) = old_ports(attempt) {
            let known = &mut self.old_ports[usize::from(before.clock_ahead)];
            known.answered += u32::from(answered);
            known.dropped += u32::from(previous.is_some() || facts.has(Fact::ServerOutOfWindow));
        }
    }

    /// Adds an unanswered SYN of an attempt, whose previous one was at that time.
    pub(super) fn drop_at(&mut self, at: Timestamp, attempt: &Attempt, previous: Option<Timestamp>) {
        self.unanswered.add(at);
        let client = attempt.client.ip();
        let old_ports = old_ports(attempt).is_some();
        let without_feature = attempt.facts.has(Fact::RetryWithoutFeature);
        let place = self.stretches.partition_point(|stretch| stretch.to.plus(MARK_GAP) < at);
        match self.stretches.get_mut(place) {
            Some(stretch) if stretch.from <= at.plus(MARK_GAP) => {
                let is_new = previous.is_none_or(|before| before < stretch.from || before > stretch.to);
                stretch.continued += u32::from(is_new && previous.is_some());
                stretch.from = stretch.from.min(at);
                stretch.to = stretch.to.max(at);
                stretch.drops += 1;
                stretch.attempts += u32::from(is_new);
                stretch.with_old_ports += u32::from(is_new && old_ports);
                stretch.with_older_stamps += u32::from(is_new && attempt.has_older_stamp);
                stretch.without_feature += u32::from(is_new && without_feature);
                stretch.clients.add(client);
                self.join_next(place);
            }
            Some(_) | None => {
                let mut clients = ClientSet::default();
                clients.add(client);
                let stretch = DropStretch {
                    from: at,
                    to: at,
                    drops: 1,
                    attempts: 1,
                    continued: u32::from(previous.is_some()),
                    with_old_ports: u32::from(old_ports),
                    with_older_stamps: u32::from(attempt.has_older_stamp),
                    without_feature: u32::from(without_feature),
                    clients,
                };
                self.stretches.insert(place, stretch);
            }
        }
        if self.stretches.len() > STRETCHES {
            let gaps = self.stretches.windows(2).enumerate().filter_map(|(place, pair)| match pair {
                [one, other] => Some((other.from.since(one.to), place)),
                _ => None,
            });
            if let Some((_, place)) = gaps.min() {
                self.join(place);
            }
        }
    }

    fn join_next(&mut self, place: usize) {
        let joins = match (self.stretches.get(place), self.stretches.get(place + 1)) {
            (Some(one), Some(next)) => next.from <= one.to.plus(MARK_GAP),
            (_, _) => false,
        };
        if joins {
            self.join(place);
        }
    }

    fn join(&mut self, place: usize) {
        if place + 1 >= self.stretches.len() {
            return;
        }
        let next = self.stretches.remove(place + 1);
        if let Some(stretch) = self.stretches.get_mut(place) {
            stretch.to = stretch.to.max(next.to);
            stretch.drops += next.drops;
            // Attempts that went on from one to the other are counted in both.
            stretch.attempts += next.attempts.saturating_sub(next.continued);
            stretch.with_old_ports = (stretch.with_old_ports + next.with_old_ports).min(stretch.attempts);
            stretch.with_older_stamps =
                (stretch.with_older_stamps + next.with_older_stamps).min(stretch.attempts);
            stretch.without_feature = (stretch.without_feature + next.without_feature).min(stretch.attempts);
            stretch.clients.merge(&next.clients);
        }
    }

    /// The stretch with the most attempts that touches this time.
    pub(in crate::listener) fn at(&self, from: Timestamp, to: Timestamp) -> Option<&DropStretch> {
        let touching = self
            .stretches
            .iter()
            .filter(|stretch| stretch.from <= to.plus(MARK_GAP) && from <= stretch.to.plus(MARK_GAP));
        touching.max_by_key(|stretch| stretch.attempts)
    }

    /// True if no fewer SYNs went unanswered in the stretch than were answered, or in a part of it near this time, and there by far
    /// more than in the rest. While a queue is full every admission is one accept(): dropped SYNs are at least as many.
    /// Single losses on a path may join such a part to other times.
    pub(in crate::listener) fn are_most(&self, stretch: &DropStretch, time: Option<Timestamp>) -> bool {
        /// Lengths of a part: shorter than the gap between two SYNs of one attempt, so that each is another's.
        const LENGTHS: [Span; 2] = [Span::from_millis(750), PART];
        /// Standard deviations by which the unanswered SYNs of a part exceed what the rest of the stretch lets expect: some
        /// part of a long one exceeds three.
        const DEVIATIONS: f64 = 4.0;
        let answered = self.answered_between(stretch.from, stretch.to);
        let in_part = |from: Timestamp, length: Span| {
            let to = from.plus(length);
            let dropped = self.unanswered.between(from, to);
            if dropped < MIN_ATTEMPTS {
                return false;
            }
            let answered_there = self.answered_between(from, to);
            if dropped < answered_there {
                return false;
            }
            let seen = dropped.saturating_add(answered_there);
            // Rule of succession: the rest may be nothing.
            let rest = stretch.drops.saturating_add(answered).saturating_sub(seen);
            let share = f64::from(stretch.drops.saturating_sub(dropped) + 1) / f64::from(rest + 2);
            let expected = f64::from(seen) * share.min(1.0);
            let deviation = (expected * (1.0 - share.min(1.0))).sqrt();
            f64::from(dropped) >= expected + DEVIATIONS * deviation
        };
        // Parts around the time, and just before and after it: the edges of a full stretch have answers beside them.
        let near = |at: Timestamp| {
            LENGTHS.iter().any(|&length| (-1..=3).any(|n| in_part(at.minus(length.scaled(n, 2)), length)))
        };
        stretch.attempts >= answered && self.lacks_answers(stretch, answered)
            || stretch.drops >= self.answered.between_seconds(stretch.from, stretch.to)
            || time.is_some_and(near)
    }

    /// True if far fewer SYNs were answered in the stretch than just before and after it: of few clients none may come in some
    /// tenths of a second.
    fn lacks_answers(&self, stretch: &DropStretch, answered: u32) -> bool {
        const AROUND: Span = Span::from_secs(1);
        /// Standard deviations by which chance is exceeded.
        const DEVIATIONS: f64 = 3.0;
        let around = self.answered_between(stretch.from.minus(AROUND), stretch.to.plus(AROUND));
        let length = stretch.to.since(stretch.from).plus(PART).as_secs_f64();
        let expected =
            f64::from(around.saturating_sub(answered)) * length / AROUND.scaled(2, 1).as_secs_f64();
        expected - f64::from(answered) >= DEVIATIONS * expected.sqrt()
    }

    /// True if a stretch of this listener and one of another began and ended together, and both left about the same share of SYNs
    /// unanswered.
    pub(in crate::listener) fn is_like(&self, own: &DropStretch, other: (&Self, &DropStretch)) -> bool {
        /// Largest ratio of the two shares.
        const MAX_RATIO: u64 = 4;
        let (drops, theirs) = other;
        let all = theirs.to.max(own.to).since(theirs.from.min(own.from));
        let both = theirs.to.min(own.to).since(theirs.from.max(own.from));
        let counts = |drops: &Self, stretch: &DropStretch| {
            let answered = drops.answered_between(stretch.from, stretch.to);
            [stretch.drops, stretch.drops + answered].map(u64::from)
        };
        let ([dropped, seen], [their_dropped, their_seen]) = (counts(self, own), counts(drops, theirs));
        let (share, their_share) = (dropped * their_seen, their_dropped * seen);
        own.attempts.min(theirs.attempts) >= MIN_ATTEMPTS
            && both.scaled(3, 1) >= all
            && share <= their_share.saturating_mul(MAX_RATIO)
            && their_share <= share.saturating_mul(MAX_RATIO)
    }

    /// SYN-ACKs lost from one time to another, as an answer to a repeated SYN shows that names the first one.
    pub(in crate::listener) fn answers_lost_between(&self, from: Timestamp, to: Timestamp) -> u32 {
        self.answers_lost.between(from, to)
    }

    /// SYNs that went unanswered from one time to another, retries included.
    pub(in crate::listener) fn unanswered_between(&self, from: Timestamp, to: Timestamp) -> u32 {
        self.unanswered.between(from, to)
    }

    /// True if most SYNs of ports that an earlier connection had, or of those whose timestamps are older than its, were answered at
    /// once: nothing is in their way.
    pub(in crate::listener) fn answers_old_ports(&self, with_older_stamp: bool) -> bool {
        let [others, older] = self.old_ports;
        let of_kind =
            |count: fn(OldPorts) -> u32| count(older) + if with_older_stamp { 0 } else { count(others) };
        of_kind(|ports| ports.answered) > of_kind(|ports| ports.dropped)
    }

    /// True if SYNs were answered all the time from the first that was not to the last, and more of them than were not: each
    /// part of that time has some.
    pub(in crate::listener) fn answered_throughout(&self) -> bool {
        /// Number of parts.
        const PARTS: i64 = 4;
        /// Shortest time that can be divided: parts of a second or two have no answer by chance.
        const MIN_TIME: Span = Span::from_secs(2 * PARTS);
        let (Some(first), Some(last)) = (self.stretches.first(), self.stretches.last()) else { return false };
        let time = last.to.since(first.from);
        let part = |n: i64| first.from.plus(time.scaled(n, PARTS));
        let drops: u32 = self.stretches.iter().map(|stretch| stretch.drops).sum();
        time >= MIN_TIME
            && self.answered_between(first.from, last.to) > drops
            && (0..PARTS).all(|n| self.answered_between(part(n), part(n + 1)) > 0)
    }

    /// SYNs answered at once in a stretch in which no fewer went unanswered, all in all or near this time: those of
    /// several clients or of many attempts, while the listener answered before or after (DOMAIN §5.1); `None` for any other.
    pub(in crate::listener) fn answered_in_cluster(
        &self,
        stretch: &DropStretch,
        time: Option<Timestamp>,
    ) -> Option<u32> {
        /// Fewest attempts of a stretch of one client: from a single address, loss on its path is as common.
        const MIN_OF_ONE_CLIENT: u32 = 8;
        /// Time before and after the stretch within which the listener must be seen to answer.
        const AROUND: Span = Span::from_secs(30);
        let answered = self.answered_between(stretch.from, stretch.to);
        let around = self.answered_between(stretch.from.minus(AROUND), stretch.to.plus(AROUND));
        let several = stretch.attempts >= MIN_OF_ONE_CLIENT
            || stretch.attempts >= MIN_ATTEMPTS && stretch.clients.count() >= 2;
        (several && around > 0 && self.are_most(stretch, time)).then_some(answered)
    }

    /// SYNs answered at once within a stretch, by eighths of a second: those of its first and its last may lie outside.
    pub(in crate::listener) fn answered_within(&self, stretch: &DropStretch) -> u32 {
        self.answered_between(stretch.from.plus(PART), stretch.to.minus(PART))
    }

    /// SYNs answered at once from one time to another, by eighths of a second.
    pub(in crate::listener) fn answered_between(&self, from: Timestamp, to: Timestamp) -> u32 {
        self.answered.between(from, to)
    }
}

/// The earlier connection that had the attempt's ports, if it may still be in the way.
fn old_ports(attempt: &Attempt) -> Option<PortsBefore> {
    attempt.ports_before.filter(|before| before.since <= TIME_WAIT)
}

/// The SYNs of an attempt that were not answered: all of one without an answer, and of one that a retry completed those
/// before the one that was.
pub(in crate::listener) fn dropped_syns(
    attempt: &Attempt,
) -> impl DoubleEndedIterator<Item = Timestamp> + Clone + '_ {
    let again = attempt.ports_before.is_some_and(|before| before.is_own_syn);
    let elsewhere =
        again || attempt.facts.has(Fact::ServerOutOfWindow) || attempt.facts.has(Fact::FirstSynAnswered);
    let (any, answered) = match attempt.verdict {
        Verdict::Unanswered => (!elsewhere, None),
        // An RST is an answer, too, and so is an ICMP error.
        Verdict::CompletedLate if attempt.was_rejected_first() => (false, None),
        Verdict::CompletedLate => (!elsewhere, Some(attempt.answered_syn_after().unwrap_or(Span::ZERO))),
        _ => (false, None),
    };
    let retries = attempt.syn_retry_at.iter().copied();
    let all = std::iter::once(Span::ZERO).chain(retries).filter(move |_| any);
    let dropped = all.filter(move |&since| answered.is_none_or(|answered| since < answered));
    dropped.map(|since| attempt.start.plus(since))
}

/// True if a SYN of the attempt was not answered.
pub(in crate::listener) fn has_dropped_syn(attempt: &Attempt) -> bool {
    dropped_syns(attempt).next().is_some()
}

/// Times of the first and the last SYN of an attempt that was not answered.
pub(in crate::listener) fn dropped_between(attempt: &Attempt) -> Option<(Timestamp, Timestamp)> {
    let mut dropped = dropped_syns(attempt);
    dropped.clone().next().zip(dropped.next_back())
}
