//! Nothing listens there: RST answers the SYN (DOMAIN §5).

use super::{Case, Hypothesis, Weight};
use crate::handshake::{Cause, Evidence, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::PortClosed,
    shown_by: "RST answers the SYN",
    excluded_by: "nothing in the packets: a firewall that rejects with a TCP reset sends the same",
    example: "refused-server.pcap",
    weigh,
};

fn weigh(case: &Case<'_>) -> Weight {
    if case.verdict() != Verdict::Refused {
        return Weight::Silent;
    }
    let others = (case.own.answered > 0).then_some(Evidence::ListenerAnswersOthers);
    Weight::fits(std::iter::once(Evidence::RefusedByRst).chain(others))
}
