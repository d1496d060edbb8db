//! SYN-ACKs that came long after any SYN, several at one moment: those of a server that had stood still; and handshakes that
//! took long, though they needed no retry or had one: those of a way that held segments back.

use std::collections::VecDeque;

use super::per_second::{PARTS_OF_SECOND, PerSecond};
use crate::handshake::{Attempt, Fact};
use crate::packet::{Span, Timestamp};

/// The first SYN-ACK of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LateAnswer {
    at: Timestamp,
    /// From the first SYN to it.
    waited: Span,
    /// From the latest SYN before it.
    since_syn: Span,
}

/// SYN-ACKs and ACKs of a listener that were late.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct LateAnswers {
    /// SYN-ACKs that name the first of several SYNs; the latest [`MAX_ANSWERS`].
    to_first: VecDeque<LateAnswer>,
    /// The shortest time from a SYN to the ACK.
    least: Option<Span>,
    /// Handshakes that took twice that, and [`SLOW`] or longer, after the latest retry if any, by the time of their ACK.
    slow: PerSecond<PARTS_OF_SECOND>,
}

/// Half of the time that a client waits before it repeats its SYN.
const SLOW: Span = Span::from_millis(500);

/// A little less than the first time-out of any server (RFC 6298 §2.1).
const BY_TIMER: Span = Span::from_millis(950);

/// Time beyond two round trips after which an answer is none to the latest retry.
const SLACK: Span = Span::from_millis(100);

/// True if the SYN-ACK of an attempt came late, on a path whose shortest round trip to the server is `least`: it names the first SYN
/// and came too soon to be another than the first, or it came so long after each SYN that none drew it at once. So of the ACK,
/// on a path whose round trip to the client is `client`.
pub(in crate::listener) fn is_held_back(
    attempt: &Attempt,
    least: Option<Span>,
    client: Option<Span>,
) -> bool {
    let answer = LateAnswer::of(attempt).zip(least);
    answer.is_some_and(|(answer, least)| {
        names_first(attempt) && answer.is_too_soon(least)
            || attempt.retries.syn > 0 && answer.is_late_alone(least)
    }) || client.zip(ack_waited(attempt)).is_some_and(|(client, waited)| is_long(waited, client))
}

/// True if this time after a segment is too long for an answer to it on a path with this round trip.
fn is_long(waited: Span, round_trip: Span) -> bool {
    waited > round_trip.scaled(2, 1).plus(SLACK)
}

/// True if a timer that started this long ago and repeats a lost SYN-ACK may have sent it.
fn is_by_timer(waited: Span, round_trip: Span) -> bool {
    let by_timer = |&seconds: &i64| {
        let after = waited.minus(round_trip).minus(Span::from_secs(seconds));
        // Timers of kernels before 4.4 are late by up to a fifth of a second.
        after >= SLACK.scaled(-1, 1) && after <= SLACK.scaled(5, 2)
    };
    TIMERS.iter().any(by_timer)
}

/// True if the SYN-ACK of an attempt names the first of several SYNs.
fn names_first(attempt: &Attempt) -> bool {
    attempt.facts.has(Fact::FirstSynAnswered) && attempt.retries.syn > 0
}

/// From the latest SYN-ACK before the client's ACK to that. One that is data may be a retransmission, after an ACK that was lost.
fn ack_waited(attempt: &Attempt) -> Option<Span> {
    let acked = attempt.acked.filter(|&at| attempt.sent != Some(at))?;
    Some(since_latest(&attempt.retry_at, acked.since(attempt.first_synack?)))
}

/// True if the SYN-ACK of an attempt came long after the latest SYN, or the ACK after the latest SYN-ACK: what was lost is repeated,
/// and the answer to that comes at once. `least` is the shortest time from a SYN to the ACK.
fn is_slow_after_retry(attempt: &Attempt, least: Span) -> bool {
    let is_long = |waited: Span| waited >= SLOW.max(least.scaled(2, 1));
    let answer = LateAnswer::of(attempt).filter(|_| attempt.retries.syn > 0);
    answer.is_some_and(|answer| is_long(answer.since_syn) && answer.is_late_alone(least))
        || attempt.retries.syn_ack > 0 && ack_waited(attempt).is_some_and(is_long)
}

/// What is left of a time since the latest of these within it.
fn since_latest(retries: &[Span], waited: Span) -> Span {
    let latest = retries.iter().copied().filter(|&since| since <= waited).max();
    waited.minus(latest.unwrap_or(Span::ZERO))
}

/// Fewest answers at one moment that show a server which had stood still: one or two meet by chance.
const MIN_AT_ONCE: usize = 3;

/// Largest difference between answers that a server which goes on sends at one moment.
const ONE_MOMENT: Span = Span::from_millis(50);

const MAX_ANSWERS: usize = 1024;

/// Times at which servers repeat a SYN-ACK, in seconds: Linux from 3.1, and systems before RFC 6298.
const TIMERS: [i64; 9] = [1, 3, 7, 15, 31, 9, 21, 45, 93];

impl LateAnswer {
    fn of(attempt: &Attempt) -> Option<Self> {
        let at = attempt.first_synack?;
        let waited = at.since(attempt.start);
        Some(Self { at, waited, since_syn: since_latest(&attempt.syn_retry_at, waited) })
    }

    /// True if neither a repeated SYN drew it, on a path with this round trip or a longer one, nor a timer that repeats a lost one.
    fn is_unprompted(&self, round_trip: Span) -> bool {
        is_long(self.since_syn, round_trip) && !is_by_timer(self.waited, round_trip)
    }

    /// The same of a single one, which a timer may have sent that the latest SYN started, too.
    fn is_late_alone(&self, round_trip: Span) -> bool {
        self.is_unprompted(round_trip) && !is_by_timer(self.since_syn, round_trip)
    }

    /// True if it came too soon after the latest SYN for that to draw it, on a path whose shortest round trip is this, and too
    /// soon for a timer that repeats a lost one: it answers the first SYN, and was late.
    fn is_too_soon(&self, least: Span) -> bool {
        /// Time by which round trips of a short path differ.
        const JITTER: Span = Span::from_millis(5);
        let sooner = |since: Span| least.minus(since) > least.scaled(1, 4).plus(JITTER);
        sooner(self.since_syn)
            && TIMERS.iter().all(|&seconds| {
                let since_timer = self.waited.minus(Span::from_secs(seconds));
                since_timer < Span::ZERO || sooner(since_timer)
            })
    }
}

impl LateAnswers {
    pub(super) fn see(&mut self, attempt: &Attempt) {
        self.see_slow(attempt);
        let Some(answer) = names_first(attempt).then(|| LateAnswer::of(attempt)).flatten() else { return };
        self.to_first.push_back(answer);
        if self.to_first.len() > MAX_ANSWERS {
            self.to_first.pop_front();
        }
    }

    fn see_slow(&mut self, attempt: &Attempt) {
        let Some(at) = attempt.acked.filter(|_| attempt.facts.has(Fact::SynSeen)) else { return };
        let took = at.since(attempt.start);
        let least = self.least.map_or(took, |least| least.min(took));
        self.least = Some(least);
        // Most attempts end here.
        if took < SLOW || took < least.scaled(2, 1) {
            return;
        }
        let is_slow = match attempt.unaided_round_trips() {
            // At a second a timer of the server's repeats a lost SYN-ACK, before the client's its SYN.
            Some(_) => attempt.retries.syn > 0 || took < BY_TIMER,
            None => is_slow_after_retry(attempt, least),
        };
        if is_slow {
            self.slow.add(at);
        }
    }

    /// True if the way held segments back in this time, in which so many SYNs were answered at once: other handshakes took long, too,
    /// for no loss. Some clients are always slow, but no more than a few.
    pub(in crate::listener) fn is_way_slow(&self, from: Timestamp, to: Timestamp, answered: u32) -> bool {
        /// Fewest slow handshakes that count.
        const MIN_SLOW: u32 = 2;
        /// Handshakes for each of them at most.
        const MAX_OTHERS: u32 = 10;
        let slow = self.slow.between(from, to);
        slow >= MIN_SLOW && slow.saturating_mul(MAX_OTHERS) >= answered
    }

    /// Attempts whose SYN-ACKs came at this moment although nothing drew them then, if they are several: the server, or the
    /// way to it, had stood still. Lost SYN-ACKs are repeated each at a time of its own.
    pub(in crate::listener) fn at_once(&self, at: Timestamp, round_trip: Span) -> Option<u32> {
        let near = |answer: &&LateAnswer| answer.at.since(at).abs() <= ONE_MOMENT;
        let answers =
            self.to_first.iter().filter(near).filter(|answer| answer.is_unprompted(round_trip)).count();
        (answers >= MIN_AT_ONCE).then_some(answers as u32)
    }

    /// True if the server, or the way to it, went on in this time after it had stood still.
    pub(in crate::listener) fn went_on_between(
        &self,
        from: Timestamp,
        to: Timestamp,
        round_trip: Span,
    ) -> bool {
        let inside = |answer: &&LateAnswer| from <= answer.at && answer.at <= to;
        let unprompted =
            self.to_first.iter().filter(inside).filter(|answer| answer.is_unprompted(round_trip));
        let mut times: Vec<Timestamp> = unprompted.map(|answer| answer.at).collect();
        times.sort_unstable();
        times.windows(MIN_AT_ONCE).any(|times| match times {
            [first, .., last] => last.since(*first) <= ONE_MOMENT,
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(waited: i64, since_syn: i64) -> LateAnswer {
        let at = Timestamp::from_nanos(0).plus(Span::from_millis(waited));
        LateAnswer { at, waited: Span::from_millis(waited), since_syn: Span::from_millis(since_syn) }
    }

    #[test]
    fn answers_to_a_repeated_syn_and_of_a_timer_are_told_from_others() {
        let round_trip = Span::from_millis(20);
        // Drawn by the SYN's retry; the timer's repeats of a lost one; a pause.
        let all = [(1_030, 20), (1_022, 12), (3_025, 1_000), (3_210, 200), (1_700, 690), (2_400, 1_390)];
        let unprompted = all.map(|(waited, since)| answer(waited, since).is_unprompted(round_trip));
        assert_eq!(unprompted, [false, false, false, false, true, true]);
    }
}
