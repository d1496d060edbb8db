//! A connection tracker that is full, or a SYN limiter, drops SYNs to the whole host (DOMAIN §5).

use super::{Case, Hypothesis, VerdictSet, Weight, counted};
use crate::handshake::{Cause, Confidence, Evidence, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::SynLimited,
    explains: VerdictSet::of(&[Verdict::Unanswered, Verdict::CompletedLate]),
    shown_by: "several listeners of one host leave about the same share of SYNs unanswered from the same time to the same time",
    looks_like: "accept queues that are full at the same time, as likely of two listeners",
    excluded_by: "an accept queue that is seen to be full at that time; one that may be, while some SYNs are answered, is ahead of it",
    surest: Confidence::Possible,
    confirmed_by: "",
    example: "syn-limited.pcap",
    weigh,
    counted: counted::nothing,
};

fn weigh(case: &Case<'_>) -> Weight {
    super::weigh_dropped_syns(case, || {
        let siblings = case.siblings();
        // Of a listener that drops but a few it is not seen from when to when.
        let too = if case.drops_with_sibling() { siblings.listeners } else { siblings.together };
        let several = too > 0 && case.own.prompt > 0;
        // Otherwise a full connection table drops the same packets of a single listener.
        let weight = || Weight::supported([Evidence::SiblingsDropToo(too)]);
        several.then(|| weight().doubted_if(ignores_acks_meanwhile(case)))
    })
}

/// True if a limit of the host explains the attempt better than its listener's own queue: several others left SYNs unanswered from
/// the same time to the same time, and answered some between. Of two listeners the queues may fill together, which one program serves.
pub(super) fn explains_siblings(case: &Case<'_>) -> bool {
    /// Fewest other listeners.
    const MIN_TOGETHER: u32 = 2;
    case.siblings().together >= MIN_TOGETHER && !case.host_is_silent()
}

/// True if the listener seems to have ignored ACKs, too, while it answered some SYNs: a limit on SYNs lets ACKs pass, and an
/// outage of the way lets no SYN pass.
fn ignores_acks_meanwhile(case: &Case<'_>) -> bool {
    let answers = |stretch| case.own.drops.answered_within(stretch) > 0;
    case.others_overflowed().is_some() && case.stretch().is_some_and(answers)
}
