//! The host cannot be reached, by an ICMP error (DOMAIN §5).

use super::{Case, Hypothesis, VerdictSet, Weight, counted, filtered};
use crate::handshake::{Cause, Confidence, Evidence};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::HostUnreachable,
    explains: VerdictSet::ALL,
    shown_by: "an ICMP error of a router or host quotes the SYN",
    looks_like: "for \"time exceeded\", a SYN sent with a small TTL, as traceroute does",
    excluded_by: "a code that only filters send, or that is about the size of the SYN",
    surest: Confidence::Likely,
    confirmed_by: "",
    example: "host-unreachable.pcap",
    weigh,
    counted: counted::nothing,
};

fn weigh(case: &Case<'_>) -> Weight {
    match case.attempt.icmp {
        Some(answer) if filtered::is_sent_by_filter(answer.error) || answer.error.is_too_big() => {
            Weight::NotApplicable
        }
        Some(answer) => {
            Weight::proven([Evidence::Icmp(answer.error)]).doubted_if(answer.error.is_time_exceeded())
        }
        None => Weight::NotApplicable,
    }
}
