//! A balancer or a monitor checks whether the port answers (DOMAIN §3).

use super::{Case, Hypothesis, VerdictSet, Weight, counted};
use crate::handshake::{Cause, Confidence, Evidence, Fact, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::HealthCheck,
    explains: VerdictSet::of(&[Verdict::ClientReset]),
    shown_by: "few client addresses, a steady period, reset by the client at the SYN-ACK",
    looks_like: "a scan; over a long round trip a client that gave up",
    excluded_by: "many addresses, no steady period, an RST before the SYN-ACK, or a SYN that came again after the RST",
    surest: Confidence::Likely,
    confirmed_by: "",
    example: "health-checks.pcap",
    weigh,
    counted: counted::nothing,
};

fn weigh(case: &Case<'_>) -> Weight {
    // A client that repeated its SYN waited for the answer, and gave up; one that was refused before had its answer.
    let waited = case.attempt.retries.syn > 0 || case.has(Fact::RefusedBeforeSynAck);
    let Some(steady) = steady_checks(case).filter(|_| !waited) else {
        return Weight::NotApplicable;
    };
    if let Some(evidence) = case.outlives_reset() {
        return Weight::Excluded(evidence);
    }
    if super::client_gave_up::waited(case.attempt).is_none() {
        return Weight::supported([steady]);
    }
    let patience = case.client_finished_another();
    let finished = patience.then_some(Evidence::ClientFinishedAnother);
    Weight::supported(std::iter::once(steady).chain(finished)).doubted_if(!patience)
}

/// Evidence that the client's address checks the listener at a steady period.
fn steady_checks(case: &Case<'_>) -> Option<Evidence> {
    let (period, clients) = case.own.probes.steady(case.attempt.client.ip())?;
    Some(Evidence::SteadyChecks { period, clients })
}

/// True if the client's address resets the SYN-ACKs of the listener at a steady period.
pub(super) fn is_steady(case: &Case<'_>) -> bool {
    steady_checks(case).is_some()
}
