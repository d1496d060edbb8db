//! The client did not get the SYN-ACK, or rejected it (DOMAIN §3).

use super::{Case, Hypothesis, Weight};
use crate::handshake::{Cause, Evidence, Fact, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::SynackLost,
    shown_by: "the client repeats its SYN after the SYN-ACK; or the SYN-ACK that it took names its first SYN",
    excluded_by: "an ACK that names the first SYN-ACK",
    example: "synack-rejected.pcap",
    weigh,
};

fn weigh(case: &Case<'_>) -> Weight {
    match case.verdict() {
        Verdict::HalfOpen if case.has(Fact::SynRetriedAfterSynAck) && !super::syn_flood::is_part(case) => {
            Weight::supported([Evidence::SynRetriedAfterSynAck])
        }
        Verdict::CompletedLate if case.has(Fact::FirstSynAnswered) => {
            Weight::supported([Evidence::FirstSynMadeRequest])
        }
        Verdict::CompletedLate if case.has(Fact::SynRetriedAfterSynAck) => {
            Weight::supported([Evidence::SynRetriedAfterSynAck])
        }
        _ => Weight::Silent,
    }
}
