//! Two hosts answered one SYN: a balancer that sends its repeat to another backend (DOMAIN §3).

use super::{Case, Hypothesis, Weight};
use crate::handshake::{Cause, Evidence, Fact, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::TwoAnswers,
    shown_by: "two SYN-ACKs with different numbers for one SYN",
    excluded_by: "numbers as one host makes them: its ISN clock, or SYN cookies of another minute",
    example: "two-answers.pcap",
    weigh,
};

fn weigh(case: &Case<'_>) -> Weight {
    match case.verdict() {
        _ if case.has(Fact::OtherHost) => Weight::proven([Evidence::TwoIsns]),
        Verdict::SynackRetransmitted | Verdict::ResetAfterAck if case.has(Fact::OtherIsn) => {
            Weight::fits([Evidence::OneHostTwoIsns])
        }
        _ => Weight::Silent,
    }
}
