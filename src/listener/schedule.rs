//! The SYN-ACK retry schedule that a listener's repeats follow, against Linux'.

use crate::handshake::{Attempt, Fact, RetryTimes};
use crate::packet::Span;

/// Times at which Linux repeats a SYN-ACK, after the first: `TCP_TIMEOUT_INIT` doubled each time
/// (`reqsk_timer_handler`), shown for the default `tcp_synack_retries` and some more.
pub const LINUX_SYNACK_TIMES: [Span; 7] = [
    Span::from_secs(1),
    Span::from_secs(3),
    Span::from_secs(7),
    Span::from_secs(15),
    Span::from_secs(31),
    Span::from_secs(63),
    Span::from_secs(127),
];

/// Times that the default of `net.ipv4.tcp_synack_retries` allows, five. Fewer may also be a SYN queue under
/// pressure, which cuts them short (`reqsk_timer_handler`).
pub(super) const SYNACK_RETRIES: &[Span] = LINUX_SYNACK_TIMES.split_at(5).0;

/// Lateness of kernel timers as a share of the time-out: up to an eighth at these lengths (timer wheel levels).
const TIMER_LATENESS: f64 = 0.13;

/// Number of repeats that series had when they ended, and the times of the longest.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Schedule {
    /// Series that ran out, by number of repeats; longer ones count in the last place.
    ran_out: [u64; LINUX_SYNACK_TIMES.len() + 1],
    longest: RetryTimes,
}

impl Schedule {
    /// Takes an attempt whose SYN-ACK was repeated after the ACK.
    pub(super) fn add(&mut self, attempt: &Attempt) {
        // Without the SYN the first SYN-ACK in the capture may itself be a repeat.
        if !attempt.facts.has(Fact::SynSeen) {
            return;
        }
        if attempt.retry_at.len() > self.longest.len() {
            self.longest.clone_from(&attempt.retry_at);
        }
        if has_run_out(attempt) {
            let last = self.ran_out.len() - 1;
            let repeats = usize::try_from(attempt.retries.syn_ack).unwrap_or(last);
            self.ran_out[repeats.min(last)] += 1;
        }
    }

    /// The schedule seen; `None` where no SYN-ACK was repeated.
    pub(super) fn seen(&self) -> Option<RetrySchedule> {
        if self.longest.is_empty() {
            return None;
        }
        let linux = follows(&self.longest, &LINUX_SYNACK_TIMES);
        let held_back = (1..LINUX_SYNACK_TIMES.len())
            .any(|first| LINUX_SYNACK_TIMES.get(first..).is_some_and(|due| follows(&self.longest, due)));
        let ended = |repeats: &u32| self.ran_out[*repeats as usize] > 0;
        let mut repeats = (0..self.ran_out.len() as u32).filter(ended);
        let given_up = repeats.next().map(|least| (least, repeats.next_back().unwrap_or(least)));
        Some(RetrySchedule {
            at: self.longest.clone(),
            linux,
            held_back,
            given_up: given_up.filter(|_| linux),
        })
    }
}

/// Schedule of a listener's SYN-ACK repeats.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrySchedule {
    /// Times of the longest series, from the first SYN-ACK.
    pub at: RetryTimes,
    /// True if they follow Linux's schedule.
    pub linux: bool,
    /// True if they follow it but for its first ones, as at the end of a period of `TCP_DEFER_ACCEPT`.
    pub held_back: bool,
    /// After how few and how many repeats series were seen to end, where the schedule is Linux's. The most is
    /// `tcp_synack_retries`, unless [`RetrySchedule::may_be_cut`].
    pub given_up: Option<(u32, u32)>,
}

/// True if SYN-ACKs were repeated at these times, as exactly as timers are, and no more often.
fn follows(times: &[Span], due: &[Span]) -> bool {
    let is_due = |(at, due): (&Span, &Span)| {
        let (at, due) = (at.as_secs_f64(), due.as_secs_f64());
        (due - 0.1..=due * (1.0 + TIMER_LATENESS) + 0.1).contains(&at)
    };
    times.len() <= due.len() && times.iter().zip(due).all(is_due)
}

impl RetrySchedule {
    /// True if they follow the schedule of Linux before 3.1: `TCP_TIMEOUT_INIT` was 3 s.
    #[must_use]
    pub fn is_older(&self) -> bool {
        const OLDER_TIMES: [Span; 5] = [
            Span::from_secs(3),
            Span::from_secs(9),
            Span::from_secs(21),
            Span::from_secs(45),
            Span::from_secs(93),
        ];
        follows(&self.at, &OLDER_TIMES)
    }

    /// True if all series may have been cut short by a SYN queue under pressure: none was longer than this many repeats.
    #[must_use]
    pub const fn may_be_cut(most: u32) -> bool {
        (most as usize) < SYNACK_RETRIES.len()
    }
}

/// True if the next repeat would have come by then, had there been one.
pub(super) fn has_run_out(attempt: &Attempt) -> bool {
    let Some(&last) = attempt.retry_at.last() else { return false };
    if attempt.established == Some(true) || attempt.facts.has(Fact::ClientAborted) {
        return false;
    }
    // The kernel gives up after two repeats at the least, unless configured otherwise (`reqsk_timer_handler`); after
    // a single one the client's next ACK was accepted more often than not, without any segment from the server.
    if attempt.retry_at.len() < 2 && attempt.data_retransmissions == 0 {
        return false;
    }
    let first_at = attempt.first_synack.unwrap_or(attempt.start);
    let watched = attempt.end.since(first_at.plus(last));
    // An RST ends the wait: it shows that the request is gone, which it is when the next repeat would be due, or
    // sooner where the listener was closed. Else, not decided by the capture's end, one waits longer than any repeat
    // takes.
    let (silence, due) = match attempt.silence {
        None if attempt.was_reset() => (Span::ZERO, 20),
        None => return true,
        Some(silence) => (silence, 23),
    };
    let previous = attempt.retry_at.iter().rev().nth(1).copied().unwrap_or(Span::ZERO);
    let gap = last.minus(previous);
    watched.plus(silence) > gap.scaled(due, 10)
}
