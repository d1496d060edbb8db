//! SYNs are lost or filtered on the way (DOMAIN §5.1).

use super::{Case, Hypothesis, Weight};
use crate::handshake::{Cause, Evidence, Fact, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::SynLost,
    shown_by: "the lateness is spread over time and over several listeners of a path",
    excluded_by: "a capture near the server, which saw them arrive; a full queue at that time",
    example: "",
    weigh,
};

/// Listeners that lose SYNs of one client, at different times.
const SEVERAL: u32 = 2;

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
    if case.is_near_server() {
        // The SYNs arrived: only the host itself can have dropped them.
        return Weight::Silent;
    }
    if case.host.lossy_elsewhere >= SEVERAL && case.drops_cluster().is_none() {
        return Weight::supported([Evidence::DropsSpread]);
    }
    let dropping = case.drops_cluster().is_some() || case.others_overflowed().is_some();
    if dropping { Weight::fits([]) } else { Weight::Silent }
}
