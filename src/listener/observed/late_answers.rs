//! SYN-ACKs that came long after any SYN, several at one moment: those of a server that had stood still.

use std::collections::VecDeque;

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

/// SYN-ACKs of a listener that name the first of several SYNs; the latest [`MAX_ANSWERS`].
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct LateAnswers(VecDeque<LateAnswer>);

/// Fewest answers at one moment that show a server which had stood still: one or two meet by chance.
const MIN_AT_ONCE: usize = 3;

/// Largest difference between answers that a server which goes on sends at one moment.
const ONE_MOMENT: Span = Span::from_millis(50);

const MAX_ANSWERS: usize = 1024;

/// Times at which servers repeat a SYN-ACK, in seconds: Linux from 3.1, and systems before RFC 6298.
const TIMERS: [i64; 9] = [1, 3, 7, 15, 31, 9, 21, 45, 93];

impl LateAnswer {
    /// True if neither a repeated SYN drew it, on a path with this round trip, nor a timer that repeats a lost one.
    fn is_unprompted(&self, round_trip: Span) -> bool {
        const SLACK: Span = Span::from_millis(100);
        let by_timer = |&seconds: &i64| {
            let after = self.waited.minus(round_trip).minus(Span::from_secs(seconds));
            // Timers of kernels before 4.4 are late by up to a fifth of a second.
            after >= SLACK.scaled(-1, 1) && after <= SLACK.scaled(5, 2)
        };
        self.since_syn > round_trip.scaled(2, 1).plus(SLACK) && !TIMERS.iter().any(by_timer)
    }
}

impl LateAnswers {
    pub(super) fn see(&mut self, attempt: &Attempt) {
        let names_first = attempt.facts.has(Fact::FirstSynAnswered) && attempt.retries.syn > 0;
        let Some(at) = attempt.first_synack.filter(|_| names_first) else { return };
        let waited = at.since(attempt.start);
        let latest = attempt.syn_retry_at.iter().copied().filter(|&since| since <= waited).max();
        let since_syn = waited.minus(latest.unwrap_or(Span::ZERO));
        self.0.push_back(LateAnswer { at, waited, since_syn });
        if self.0.len() > MAX_ANSWERS {
            self.0.pop_front();
        }
    }

    /// Attempts whose SYN-ACKs came at this moment although nothing drew them then, if they are several: the server, or the
    /// way to it, had stood still. Lost SYN-ACKs are repeated each at a time of its own.
    pub(in crate::listener) fn at_once(&self, at: Timestamp, round_trip: Span) -> Option<u32> {
        let near = |answer: &&LateAnswer| answer.at.since(at).abs() <= ONE_MOMENT;
        let answers = self.0.iter().filter(near).filter(|answer| answer.is_unprompted(round_trip)).count();
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
        let unprompted = self.0.iter().filter(inside).filter(|answer| answer.is_unprompted(round_trip));
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
