//! A connection tracker that is full, or a SYN limiter, drops SYNs to the whole host (DOMAIN §5).

use super::{Case, Hypothesis, Weight};
use crate::handshake::{Cause, Evidence, Fact, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::SynLimited,
    shown_by: "several listeners of one host leave SYNs unanswered in the same stretch, and answer between",
    excluded_by: "an accept queue that is seen to be full at that time",
    example: "",
    weigh,
};

/// Other listeners of the host that drop SYNs in the same stretch.
const SEVERAL: u32 = 1;

fn weigh(case: &Case<'_>) -> Weight {
    let dropped = matches!(case.verdict(), Verdict::Unanswered | Verdict::CompletedLate);
    if !dropped || super::syn_flood::is_part(case) || case.has_odd_answer() {
        return Weight::Silent;
    }
    if case.has(Fact::FirstSynAnswered) {
        return Weight::Excluded(Evidence::FirstSynMadeRequest);
    }
    if case.others_overflowed() == Some(true) {
        return Weight::Excluded(Evidence::OthersOverflowed);
    }
    let siblings = case.host.siblings_dropping;
    if siblings >= SEVERAL && case.own.prompt > 0 {
        return Weight::supported([Evidence::SiblingsDropToo(siblings)]);
    }
    // A full connection table drops the same packets of a single listener.
    let dropping = case.drops_cluster().is_some() || case.others_overflowed().is_some();
    if dropping { Weight::fits([]) } else { Weight::Silent }
}
