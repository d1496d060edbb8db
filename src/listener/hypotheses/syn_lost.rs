//! SYNs are lost or filtered on the way (DOMAIN §5.1).

use super::{Case, Hypothesis, Weight};
use crate::handshake::{Cause, Evidence};

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
    super::weigh_dropped_syns(case, || {
        if case.is_near_server() {
            // The SYNs arrived: only the host itself can have dropped them.
            return Some(Weight::Silent);
        }
        let spread =
            case.paths.lossy_listeners(case.attempt.client.ip()) >= SEVERAL && case.drops_cluster().is_none();
        spread.then(|| Weight::supported([Evidence::DropsSpread]))
    })
}
