//! SYN-ACKs that came long after any SYN, several at one moment: those of a server that had stood still; and handshakes that
//! took long and needed no retry: those of a way that held segments back.

use std::collections::VecDeque;

use super::per_second::{PARTS_OF_SECOND, PerSecond};
use crate::handshake::{Attempt, Fact};
use crate::packet::{Span, Timestamp};

/// The first SYN-ACK of an attempt, which names a SYN that was repeated.
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
    /// Handshakes that needed no retry and took twice that, and [`SLOW`] or longer, by the time of their ACK.
    slow: PerSecond<PARTS_OF_SECOND>,
}

/// Half of the time that a client waits before it repeats its SYN.
const SLOW: Span = Span::from_millis(500);

/// A little less than the first time-out of any server (RFC 6298 §2.1).
const BY_TIMER: Span = Span::from_millis(950);

/// True if the SYN-ACK of an attempt that names its first SYN came too soon, on a path whose shortest round trip is `least`, to be
/// another than the first: that was late, and not lost.
pub(in crate::listener) fn is_held_back(attempt: &Attempt, least: Span) -> bool {
    LateAnswer::of(attempt).is_some_and(|answer| answer.is_too_soon(least))
}

/// Fewest answers at one moment that show a server which had stood still: one or two meet by chance.
const MIN_AT_ONCE: usize = 3;

/// Largest difference between answers that a server which goes on sends at one moment.
const ONE_MOMENT: Span = Span::from_millis(50);

const MAX_ANSWERS: usize = 1024;

/// Times at which servers repeat a SYN-ACK, in seconds: Linux from 3.1, and systems before RFC 6298.
const TIMERS: [i64; 9] = [1, 3, 7, 15, 31, 9, 21, 45, 93];

impl LateAnswer {
    /// The SYN-ACK of an attempt, if it names the first of several SYNs.
    fn of(attempt: &Attempt) -> Option<Self> {
        let names_first = attempt.facts.has(Fact::FirstSynAnswered) && attempt.retries.syn > 0;
        let at = attempt.first_synack.filter(|_| names_first)?;
        let waited = at.since(attempt.start);
        let latest = attempt.syn_retry_at.iter().copied().filter(|&since| since <= waited).max();
        Some(Self { at, waited, since_syn: waited.minus(latest.unwrap_or(Span::ZERO)) })
    }

    /// True if neither a repeated SYN drew it, on a path with this round trip or a longer one, nor a timer that repeats a lost one.
    fn is_unprompted(&self, round_trip: Span) -> bool {
        const SLACK: Span = Span::from_millis(100);
        let by_timer = |&seconds: &i64| {
            let after = self.waited.minus(round_trip).minus(Span::from_secs(seconds));
            // Timers of kernels before 4.4 are late by up to a fifth of a second.
            after >= SLACK.scaled(-1, 1) && after <= SLACK.scaled(5, 2)
        };
        self.since_syn > round_trip.scaled(2, 1).plus(SLACK) && !TIMERS.iter().any(by_timer)
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
        let Some(answer) = LateAnswer::of(attempt) else { return };
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
        // At a second a timer of the server's repeats a lost SYN-ACK, before the client's its SYN.
        let by_timer = attempt.retries.syn == 0 && took >= BY_TIMER;
        if attempt.unaided_round_trips().is_some() && !by_timer {
            self.slow.add(at);
        }
    }

    /// True if the way held segments back in this time, in which so many SYNs were answered at once: handshakes that needed no retry
    /// took long, too. Some clients are always slow, but no more than a few.
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
