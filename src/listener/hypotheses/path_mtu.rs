//! Large segments are lost on the way, small ones are not: a path MTU black hole (DOMAIN §3).

use super::{Case, Hypothesis, Weight};
use crate::handshake::{Cause, Evidence, Fact};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::PathMtu,
    shown_by: "ICMP 'fragmentation needed' or 'packet too big' quotes the data; a small segment behind the large one is SACKed",
    excluded_by: "large segments that are acknowledged",
    example: "mtu-sacked.pcap",
    weigh,
};

/// Retransmissions of the large segment: one is any loss.
const OFTEN: u16 = 2;

fn weigh(case: &Case<'_>) -> Weight {
    let repeated = case.attempt.data_retransmissions >= OFTEN;
    if case.has(Fact::TooBig) && case.attempt.data_retransmissions >= 1 {
        return Weight::proven([Evidence::TooBig]);
    }
    if case.has(Fact::SackedBeyondHole) && repeated {
        return Weight::supported([
            Evidence::LaterDataSacked,
            Evidence::DataUnanswered(case.attempt.data_retransmissions),
        ]);
    }
    Weight::Silent
}
