//! A port is probed by a client that never means to connect (DOMAIN §3, §5).

use super::{Case, Hypothesis, Support, VerdictSet, Weight, counted};
use crate::handshake::{Cause, Confidence, Evidence, EvidenceList, Fact, Verdict};
use crate::listener::observed::is_in_vain;

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::SynScan,
    explains: VerdictSet::of(&[
        Verdict::Refused,
        Verdict::Unanswered,
        Verdict::ClientReset,
        Verdict::Undetermined,
    ]),
    shown_by: "one client that tries many ports, one SYN each; or many SYN-ACKs that the client's kernel resets",
    looks_like: "health checks; a program that uses the host, some ports of which are closed to it; where every host refuses the same port, a machine on the way that refuses for all",
    excluded_by: "few addresses that check at a steady period; a SYN-ACK that answers no SYN, or that was repeated before; a SYN that came again after the RST; for many ports, one client that tries each again and again, or gets connections at a good part of them",
    surest: Confidence::Likely,
    confirmed_by: "",
    example: "syn_scan-server.pcap",
    weigh,
    counted: counted::nothing,
};

/// Fewest ports or hosts that one client tries in vain.
pub(in crate::listener) const MANY_PORTS: u32 = 16;

/// Ports or hosts that no program tries in vain which uses one of them.
const HUNDREDS: u32 = 100;

/// SYN-ACKs of one listener that clients reset.
const MANY_RESETS: u32 = 10;

fn weigh(case: &Case<'_>) -> Weight {
    if case.limits.no_bare_acks {
        return Weight::NotApplicable;
    }
    let crafted = case.has(Fact::SynWithoutOptions);
    if let Some(ports) = knocks(case) {
        let own = crafted.then_some(Evidence::SynWithoutOptions);
        let evidence = std::iter::once(Evidence::ManyPorts(ports)).chain(own);
        // A program that uses the host tries some ports of it in vain, as FTP does behind a translation.
        if ports < HUNDREDS && !crafted && case.paths.uses(case.attempt.client, case.attempt.server) {
            let refused = case.verdict() == Verdict::Refused;
            let otherwise = Evidence::CouldBe(if refused { Cause::PortClosed } else { Cause::Filtered });
            return Weight::fits(evidence.chain([otherwise]));
        }
        // A single machine may refuse for all of them: of many hosts some do not exist, and some listen.
        if !crafted && case.paths.is_refused_by_hosts(case.attempt.client) {
            return Weight::fits(evidence.chain([Evidence::CouldBe(Cause::FirewallReset)]));
        }
        // A scanner that had its answer needs no other.
        let again = !crafted
            && case.attempt.was_reset_at_synack()
            && case.own.probes.of(case.attempt.client.ip()) > 1;
        if again {
            return Weight::fits(evidence.chain([Evidence::CouldBe(Cause::HealthCheck)]));
        }
        return Weight::proven(evidence);
    }
    if !case.attempt.was_reset_at_synack() || case.own.probes.count < MANY_RESETS {
        return Weight::NotApplicable;
    }
    if let Some(evidence) = case.outlives_reset() {
        return Weight::Excluded(evidence);
    }
    if let Some((period, clients)) = case.own.probes.steady(case.attempt.client.ip()) {
        return Weight::Excluded(Evidence::SteadyChecks { period, clients });
    }
    if super::client_gave_up::waited(case.attempt).is_some() {
        return Weight::NotApplicable;
    }
    let mut evidence = EvidenceList::new();
    evidence.push(Evidence::ManyClientResets(case.own.probes.count));
    evidence.extend(crafted.then_some(Evidence::SynWithoutOptions));
    // Unsteady ones may be checks as well, but checks come from an operating system.
    evidence.extend((!crafted).then_some(Evidence::CouldBe(Cause::HealthCheck)));
    Weight::Possible(if crafted { Support::Proven } else { Support::Fits }, evidence)
}

/// Number of ports or hosts that the client tried in vain, each with one SYN, if they are many.
fn ports_tried(case: &Case<'_>) -> Option<u32> {
    let client = case.attempt.client;
    // A client that tries the same ports again and again wants their services, as a scraper does whose targets are down.
    let tries = is_in_vain(case.attempt)
        && (case.has(Fact::SynWithoutOptions) || !case.own.knocks.are_repeated(client.ip()));
    let ports = if tries { case.paths.failed_listeners(client) } else { 0 };
    (ports >= MANY_PORTS).then_some(ports)
}

/// Ports or hosts of [`ports_tried`], of a client that means to connect to none of them: those that get connections at a good part of what they try watch or use it.
fn knocks(case: &Case<'_>) -> Option<u32> {
    ports_tried(case).filter(|ports| case.paths.served_listeners(case.attempt.client) * 4 <= *ports)
}

/// True if the attempt is one knock of a scan of many ports: that they are closed or filtered is no cause of its own.
pub(super) fn is_knock(case: &Case<'_>) -> bool {
    knocks(case).is_some()
}
