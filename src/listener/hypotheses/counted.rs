//! The kernel's own evidence on an attempt, where its counts were recorded: it confirms a hypothesis, supports it, or
//! excludes it, for no more attempts than it accounts for (DOMAIN §8).

use super::Case;
use crate::handshake::{Evidence, Verdict};
use crate::kernel::Counter;
use crate::listener::kernel_history::KernelEvents;
use crate::packet::{Span, Timestamp};

/// Effect of the kernel's evidence on a hypothesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) enum Counted {
    /// Nothing: there is none, or it leaves everything open.
    Nothing,
    /// Proves it.
    Confirms(Evidence),
    /// Proves it where the packets leave it possible.
    ConfirmsPossible(Evidence),
    /// Proves it unless the packets show another cause.
    ConfirmsUnexplained(Evidence),
    /// Counted such events, but not for this attempt alone.
    Supports(Evidence),
    /// Excludes it.
    Excludes(Evidence),
}

/// Slack on both sides: packets are stamped and counted at different moments.
const COUNT_SLACK: Span = Span::from_secs(1);

impl Case<'_> {
    /// The kernel's counts of the listener at the attempt's time, if all of it was watched.
    pub(super) fn watched(&self) -> Option<KernelEvents> {
        self.kernel_events.filter(|events| events.whole)
    }

    /// True if at the attempt's time the packets show more events that a full queue counts (SYNs without an answer,
    /// ignored ACKs, RSTs) than the kernel did, by `count`.
    pub(super) fn shows_more_than(&self, count: impl FnOnce(KernelEvents) -> Option<u64>) -> bool {
        let (from, to) = self.counted_span();
        let shown = u64::from(self.own.overflow_like.between(from, to));
        self.kernel_history.events(from, to, 0).and_then(count).is_some_and(|counted| counted < shown)
    }

    /// The attempt's time, and so much more that its packets may have been counted in it.
    pub(super) fn counted_span(&self) -> (Timestamp, Timestamp) {
        let (from, to) = self.span();
        (from.minus(COUNT_SLACK), to.plus(COUNT_SLACK))
    }

    /// True if a SYN of the attempt got no answer.
    pub(super) fn has_dropped_syn(&self) -> bool {
        match self.verdict() {
            Verdict::Unanswered => true,
            Verdict::CompletedLate => self.attempt.retries.syn > 0,
            _ => false,
        }
    }
}

impl KernelEvents {
    /// Growth of one of the namespace's counters.
    pub(super) fn counter(&self, counter: Counter) -> Option<u64> {
        self.counters.get(counter)
    }
}

/// No hypothesis of its own in the kernel's counts.
pub(super) fn nothing(_: &Case<'_>) -> Counted {
    Counted::Nothing
}
