//! The answer left under another address: a NAT that is undone on one way only (DOMAIN §3).

use super::{Case, Hypothesis, VerdictSet, Weight, counted};
use crate::handshake::{Cause, Confidence, Evidence, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::NatMismatch,
    explains: VerdictSet::of(&[Verdict::Unanswered, Verdict::ClientReset]),
    shown_by: "a SYN-ACK or RST from another address with this SYN's number + 1; at possible, a SYN that comes again after an RST to its SYN-ACK",
    looks_like: "where the SYN was captured under both addresses, a point that sees one direction only",
    excluded_by: "an answer from the address that was asked",
    surest: Confidence::Likely,
    confirmed_by: "",
    example: "nat-one-way.pcap",
    weigh,
    counted: counted::nothing,
};

fn weigh(case: &Case<'_>) -> Weight {
    match case.attempt.answered_from {
        // The point that saw the SYN under the first address may not see what comes back at all.
        Some(from)
            if case.attempt.is_translated
                && case.own.prompt + case.own.refused == 0
                && !case.attempt.is_reset_elsewhere() =>
        {
            Weight::fits([Evidence::AnsweredFrom(from)])
        }
        Some(from) => Weight::proven([Evidence::AnsweredFrom(from)]),
        None => case.outlives_reset().map_or(Weight::NotApplicable, |evidence| Weight::fits([evidence])),
    }
}
