//! A balancer or a monitor checks whether the port answers (DOMAIN §3).

use super::{Case, Hypothesis, VerdictSet, Weight, counted};
use crate::handshake::{Cause, Confidence, Evidence, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::HealthCheck,
    explains: VerdictSet::of(&[Verdict::ClientReset]),
    shown_by: "few client addresses, a steady period, reset by the client at the SYN-ACK",
    looks_like: "a scan",
    excluded_by: "many addresses, or no steady period",
    surest: Confidence::Likely,
    confirmed_by: "",
    example: "health-checks.pcap",
    weigh,
    counted: counted::nothing,
};

fn weigh(case: &Case<'_>) -> Weight {
    if super::client_gave_up::waited(case.attempt).is_some() {
        return Weight::NotApplicable;
    }
    match case.own.probes.steady(case.attempt.client.ip()) {
        Some((period, clients)) => Weight::supported([Evidence::SteadyChecks { period, clients }]),
        None => Weight::NotApplicable,
    }
}
