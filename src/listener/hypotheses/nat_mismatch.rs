//! The answer left under another address: a NAT that is undone on one way only (DOMAIN §3).

use super::{Case, Hypothesis, Weight};
use crate::handshake::{Cause, Evidence, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::NatMismatch,
    shown_by: "a SYN-ACK or RST from another address with this SYN's number + 1",
    excluded_by: "an answer from the address that was asked",
    example: "nat-one-way.pcap",
    weigh,
};

fn weigh(case: &Case<'_>) -> Weight {
    let unanswered = matches!(case.verdict(), Verdict::Unanswered | Verdict::ClientReset);
    match case.attempt.answered_from.filter(|_| unanswered) {
        Some(from) => Weight::proven([Evidence::AnsweredFrom(from)]),
        None => Weight::Silent,
    }
}
