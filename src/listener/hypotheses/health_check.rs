//! A balancer or a monitor checks whether the port answers (DOMAIN §3).

use super::{Case, Hypothesis, Weight};
use crate::handshake::{Cause, Evidence, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::HealthCheck,
    shown_by: "few client addresses, a steady period, reset by the client at the SYN-ACK",
    excluded_by: "many addresses, or no steady period",
    example: "health-checks.pcap",
    weigh,
};

fn weigh(case: &Case<'_>) -> Weight {
    if case.verdict() != Verdict::ClientReset || super::client_gave_up::waited(case.attempt).is_some() {
        return Weight::Silent;
    }
    match case.own.probes.steady(case.attempt.client.ip()) {
        Some((period, clients)) => Weight::supported([Evidence::SteadyChecks { period, clients }]),
        None => Weight::Silent,
    }
}
