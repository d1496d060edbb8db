//! SYNs are lost or filtered on the way (DOMAIN §5.1).

use super::{Case, Hypothesis, Support, VerdictSet, Weight, counted};
use crate::handshake::{Cause, Confidence, Evidence, Fact, SegmentStep, Verdict};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::SynLost,
    explains: VerdictSet::of(&[Verdict::Unanswered, Verdict::CompletedLate]),
    shown_by: "the lateness is spread over time and over several listeners of a path; or several hosts, which answer at other times, \
               leave one client's SYNs unanswered in the same second; or SYN-ACKs of the same stretch are lost, too; or the SYN's checksum is wrong, where the client's others are right",
    looks_like: "a full queue, a server that is down; without timestamps a lost SYN-ACK",
    excluded_by: "a capture near the server, which saw them arrive; a full queue at that time",
    surest: Confidence::Likely,
    confirmed_by: "its event of a dropped SYN: TCP_CSUM, CPU_BACKLOG or QDISC_DROP; a second point that the SYN did not reach",
    example: "syn-lost.pcap",
    weigh,
    counted: counted::nothing,
};

/// Fewest listeners that lose SYNs of one client, at different times.
const MIN_LISTENERS: u32 = 2;

/// True if facts support that the attempt's SYNs were lost on the way, rather than their checksum being wrong.
pub(super) fn is_supported(case: &Case<'_>) -> bool {
    matches!(weigh(case), Weight::Possible(Support::Supported, _))
}

fn weigh(case: &Case<'_>) -> Weight {
    super::weigh_dropped_syns(case, || {
        if let Some(damaged) = case.wrong_checksum(SegmentStep::Syn) {
            // The interface may fill in this client's, if not others', and something else have dropped the SYN.
            return Some(Weight::proven([damaged]).doubted_if(!case.has(Fact::ClientChecksumRight)));
        }
        if case.is_near_server() {
            // The SYNs arrived: only the host itself can have dropped them.
            return Some(Weight::NotApplicable);
        }
        let late = case.verdict() == Verdict::CompletedLate;
        let others = if late { case.way_failed() } else { case.others_failed() };
        if let Some(others) = others.filter(|_| case.own.answered > 0) {
            // Hosts that use one another may stand still together for a moment.
            return Some(Weight::supported([others]).doubted_if(late));
        }
        // Others of the host may have dropped them for a reason of their own.
        let doubted = || case.siblings().listeners > 0 || late && case.is_held_back();
        if let Some(evidence) = case.loses_answers() {
            return Some(Weight::supported([evidence]).doubted_if(doubted()));
        }
        // SYNs are not lost here and there at a listener that never answers one.
        let spread = case.own.answered > 0
            && case.paths.lossy_listeners(case.attempt.client) >= MIN_LISTENERS
            && !case.dropped_in_crowd();
        spread.then(|| Weight::supported([Evidence::DropsSpread]).doubted_if(doubted()))
    })
}
