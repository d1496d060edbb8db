//! SYNs that ask for an optional feature which a path may block: Multipath TCP, Fast Open, ECN (DOMAIN §5).

use super::dropped_syns;
use crate::handshake::{Attempt, Fact, Verdict};
use crate::packet::Timestamp;

/// Fate of a listener's SYNs by whether they ask for such a feature.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Features {
    /// Attempts that asked for one and were answered.
    pub(in crate::listener) answered: u32,
    /// Attempts whose retry left it out, and their SYNs before that.
    pub(in crate::listener) left_out: u32,
    pub(in crate::listener) dropped: u32,
    /// Attempts that asked for one with every SYN and got an RST or no answer, and when the first and the last of them began.
    pub(in crate::listener) in_vain: u32,
    time_in_vain: Option<(Timestamp, Timestamp)>,
    /// Attempts that asked for none and got an RST or no answer.
    pub(in crate::listener) plain_in_vain: u32,
}

impl Features {
    pub(super) fn see(&mut self, attempt: &Attempt) {
        let facts = attempt.facts;
        let in_vain = matches!(attempt.verdict, Verdict::Refused | Verdict::Unanswered);
        if !facts.has(Fact::SynWithOptionalFeature) {
            self.plain_in_vain += u32::from(in_vain);
        } else if !facts.has(Fact::RetryWithoutFeature) {
            self.answered += u32::from(facts.has(Fact::SynAckSeen));
            if in_vain {
                self.in_vain += 1;
                let (from, to) = self.time_in_vain.unwrap_or((attempt.start, attempt.start));
                self.time_in_vain = Some((from.min(attempt.start), to.max(attempt.start)));
            }
        } else if !attempt.was_rejected_first() {
            self.left_out += 1;
            // Of those that no retry completed it is not known from which one on the feature was left out.
            let completed = attempt.verdict == Verdict::CompletedLate;
            self.dropped += if completed { dropped_syns(attempt).count() as u32 } else { 1 };
        }
    }

    /// The time from the first attempt to the last that asked for a feature in vain, if none that asked for one was answered, and none
    /// without one was in vain.
    pub(in crate::listener) fn set_apart(&self) -> Option<(Timestamp, Timestamp)> {
        self.time_in_vain.filter(|_| self.answered + self.plain_in_vain == 0)
    }
}
