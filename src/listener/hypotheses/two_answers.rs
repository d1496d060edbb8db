//! Two hosts answered one SYN: a balancer that sends its repeat to another backend (DOMAIN §3).

use super::{Case, Hypothesis, VerdictSet, Weight, counted};
use crate::handshake::{Cause, Confidence, Evidence, Fact, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::TwoAnswers,
    explains: VerdictSet::ALL,
    shown_by: "two SYN-ACKs with different numbers for one SYN",
    looks_like: "one host that makes a new request, restarts, or changes its SYN cookie",
    excluded_by: "numbers as one host makes them: its ISN clock, SYN cookies of another minute, or a cookie and a request by one clock of timestamps",
    surest: Confidence::Likely,
    confirmed_by: "",
    example: "two-answers.pcap",
    weigh,
    counted: counted::nothing,
};

fn weigh(case: &Case<'_>) -> Weight {
    match case.verdict() {
        // Without the client's direction one host may have answered two attempts.
        _ if case.has(Fact::OtherHost) && case.limits.one_direction => Weight::fits([Evidence::TwoIsns]),
        _ if case.has(Fact::OtherHost) => Weight::proven([Evidence::TwoIsns]),
        Verdict::SynackRetransmitted | Verdict::ResetAfterAck if case.has(Fact::OtherIsn) => {
            Weight::fits([Evidence::OneHostTwoIsns])
        }
        _ => Weight::NotApplicable,
    }
}
