//! The client did not get the SYN-ACK, or rejected it (DOMAIN §3).

use super::{Case, Hypothesis, VerdictSet, Weight, counted};
use crate::handshake::{Cause, Confidence, Evidence, Fact, SegmentStep, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::SynackLost,
    explains: VerdictSet::of(&[Verdict::HalfOpen, Verdict::CompletedLate]),
    shown_by: "the client repeats its SYN after the SYN-ACK; or the SYN-ACK that it took names its first SYN; or its checksum is \
               wrong, where the server's others are right",
    looks_like: "a client that gave up and began anew",
    excluded_by: "an ACK that names the first SYN-ACK",
    surest: Confidence::Likely,
    confirmed_by: "its event of a dropped SYN-ACK: TCP_CSUM, CPU_BACKLOG or QDISC_DROP; a second point that it did not reach",
    example: "synack-rejected.pcap",
    weigh,
    counted: counted::nothing,
};

fn weigh(case: &Case<'_>) -> Weight {
    let damaged = case.wrong_checksum(SegmentStep::SynAck);
    match case.verdict() {
        Verdict::HalfOpen | Verdict::CompletedLate
            if damaged.is_some() && case.has(Fact::SynRetriedAfterSynAck) =>
        {
            Weight::proven(damaged.into_iter().chain([Evidence::SynRetriedAfterSynAck]))
        }
        Verdict::HalfOpen if case.has(Fact::SynRetriedAfterSynAck) && !super::syn_flood::is_part(case) => {
            half_open(case)
        }
        Verdict::CompletedLate if case.has(Fact::FirstSynAnswered) => {
            Weight::supported([Evidence::FirstSynMadeRequest])
        }
        Verdict::CompletedLate if case.has(Fact::SynRetriedAfterSynAck) => {
            Weight::supported([Evidence::SynRetriedAfterSynAck])
        }
        _ => Weight::NotApplicable,
    }
}

fn half_open(case: &Case<'_>) -> Weight {
    // A client that begins anew has given this attempt up, perhaps before the answer came.
    if case.has(Fact::PortUsedAnew) {
        return Weight::fits([Evidence::SynRetriedAfterSynAck, Evidence::PortUsedAnew]);
    }
    Weight::supported([Evidence::SynRetriedAfterSynAck])
}
