//! The listener's SYN queue was full, and SYN cookies are off (DOMAIN §5).

use super::{Case, Hypothesis, Weight};
use crate::handshake::{Cause, Evidence, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::SynQueueOverflow,
    shown_by: "SYNs go unanswered while many handshakes with the listener are outstanding",
    excluded_by: "an accept queue that is seen to be full at that time",
    example: "",
    weigh,
};

/// Unfinished handshakes in a second from which on they may fill a SYN queue: half of the smallest default limit.
const OUTSTANDING: u32 = 64;

fn weigh(case: &Case<'_>) -> Weight {
    let dropped = matches!(case.verdict(), Verdict::Unanswered | Verdict::CompletedLate);
    if !dropped || super::syn_flood::is_part(case) || case.stretch().is_none() || case.has_odd_answer() {
        return Weight::Silent;
    }
    let outstanding = case.own.floods.half_open_at(case.attempt.start);
    if outstanding < OUTSTANDING {
        return Weight::Silent;
    }
    if case.others_overflowed() == Some(true) {
        return Weight::Excluded(Evidence::OthersOverflowed);
    }
    Weight::supported([Evidence::ManyHalfOpen(outstanding)])
}
