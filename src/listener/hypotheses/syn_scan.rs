//! A port is probed by a client that never means to connect (DOMAIN §3, §5).

use super::{Case, Hypothesis, Support, Weight};
use crate::handshake::{Cause, Evidence, EvidenceList, Fact, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::SynScan,
    shown_by: "one client that knocks at many ports, one SYN each; or many SYN-ACKs that the client's kernel resets",
    excluded_by: "few addresses that check at a steady period",
    example: "syn_scan-server.pcap",
    weigh,
};

/// Ports or hosts that one client knocks at in vain.
const MANY_PORTS: u32 = 16;

/// SYN-ACKs of one listener that clients reset.
const MANY_RESETS: u32 = 10;

fn weigh(case: &Case<'_>) -> Weight {
    if case.limits.no_bare_acks {
        return Weight::Silent;
    }
    let knocks = match case.verdict() {
        Verdict::Refused | Verdict::Unanswered | Verdict::ClientReset => case.attempt.retries.syn == 0,
        _ => return Weight::Silent,
    };
    let ports = if knocks { case.paths.failed_listeners(case.attempt.client.ip()) } else { 0 };
    let crafted = case.has(Fact::SynWithoutOptions);
    if ports >= MANY_PORTS {
        let own = crafted.then_some(Evidence::SynWithoutOptions);
        return Weight::proven(std::iter::once(Evidence::ManyPorts(ports)).chain(own));
    }
    if case.verdict() != Verdict::ClientReset || case.own.probes.count < MANY_RESETS {
        return Weight::Silent;
    }
    if let Some((period, clients)) = case.own.probes.steady(case.attempt.client.ip()) {
        return Weight::Excluded(Evidence::SteadyChecks { period, clients });
    }
    if super::client_gave_up::waited(case.attempt).is_some() {
        return Weight::Silent;
    }
    let mut evidence = EvidenceList::new();
    evidence.push(Evidence::ManyClientResets(case.own.probes.count));
    evidence.extend(crafted.then_some(Evidence::SynWithoutOptions));
    // Unsteady ones may be checks as well.
    evidence.push(Evidence::CouldBe(Cause::HealthCheck));
    Weight::Left(if crafted { Support::Proven } else { Support::Fits }, evidence)
}
