//! The listening socket was closed: a restart, or a reload (DOMAIN §3 under B).

use super::{Case, Hypothesis, Support, VerdictSet, Weight, counted};
use crate::handshake::{Cause, Confidence, Evidence, EvidenceList, Fact, Verdict};
use crate::listener::observed::Closing;

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::ListenerClosed,
    explains: VerdictSet::of(&[
        Verdict::Completed,
        Verdict::CompletedLate,
        Verdict::ResetAfterAck,
        Verdict::AckIgnored,
        Verdict::SynackRetransmitted,
    ]),
    shown_by: "at one instant RSTs with ACK on connections of different ages that had not been served, the tail of a queue; then \
               bare RSTs to handshakes under way, and refusals, or another socket's answers; without the first, bare RSTs while SYNs are refused",
    looks_like: "an application that resets its idle connections at once; a full queue",
    excluded_by: "a later connection that was served before; one that waited and stayed open; bare RSTs further apart than a \
                  round trip while others complete; SYNs dropped in the same stretch",
    surest: Confidence::Likely,
    confirmed_by: "",
    example: "listener-reload.pcap",
    weigh,
    counted: counted::nothing,
};

fn weigh(case: &Case<'_>) -> Weight {
    // Instants need a clock.
    by_packets(case).doubted_if(case.limits.no_clock || case.limits.two_clocks)
}

fn by_packets(case: &Case<'_>) -> Weight {
    match case.verdict() {
        Verdict::Completed | Verdict::CompletedLate if case.has(Fact::ResetUnserved) => unserved(case),
        Verdict::ResetAfterAck => under_way(case),
        Verdict::AckIgnored if case.attempt.reset.is_some() => ignored_before(case),
        Verdict::SynackRetransmitted => repeats_while_refused(case),
        _ => Weight::NotApplicable,
    }
}

/// A connection that waited in the queue.
fn unserved(case: &Case<'_>) -> Weight {
    if case.has(Fact::ClientClosedFirst) || case.has(Fact::DataAfterRst) || case.has(Fact::TtlDiffers) {
        return Weight::NotApplicable;
    }
    let Some(burst) = case.closing_burst() else { return Weight::NotApplicable };
    let aftermath = case.own.closing.has_aftermath(burst);
    if burst.later_served_first && !aftermath {
        return Weight::Excluded(Evidence::LaterServedFirst);
    }
    // With SO_REUSEPORT other sockets keep their queues; the aftermath shows that this one was closed.
    if burst.has_survivor && !aftermath {
        return Weight::Excluded(Evidence::LivedOn);
    }
    let mut evidence = EvidenceList::new();
    evidence.push(Evidence::ClosingBurst(burst.connections));
    if aftermath {
        evidence.push(Evidence::ClosingRefusals);
        // Sockets that share the port (SO_REUSEPORT) have queues of their own, so the order of one cannot be checked.
        if burst.later_served_first {
            return Weight::Possible(Support::Fits, evidence);
        }
        return Weight::Possible(Support::Proven, evidence);
    }
    evidence.push(Evidence::ResetAlone);
    Weight::Possible(Support::Fits, evidence)
}

/// A handshake that was under way.
fn under_way(case: &Case<'_>) -> Weight {
    // None of these comes from the listener's host.
    let foreign = [Fact::SynAckAfterRst, Fact::DataAfterRst, Fact::TtlDiffers, Fact::RstTooSoon];
    if foreign.into_iter().any(|fact| case.has(fact)) || case.reset_by_another().is_some() {
        return Weight::NotApplicable;
    }
    if let Some(evidence) = claims(case) {
        return Weight::proven([evidence, Evidence::ClosingRefusals]);
    }
    if case.is_answer_to_fin() {
        return Weight::Excluded(Evidence::RstAfterFin);
    }
    // A full queue refuses no SYN, and its queue may have been empty when the listener closed: no burst then.
    if case.is_reset_among_refusals() {
        return Weight::supported([Evidence::SynsRefusedMeanwhile]);
    }
    if case.own.closing.resets_apart(case.own.round_trip(case.attempt)) {
        return Weight::Excluded(Evidence::ResetsFarApart);
    }
    if case.attempt.reset.is_some_and(|reset| survived(&case.own.closing, reset)) {
        return Weight::Excluded(Evidence::LivedOn);
    }
    if case.stretch_of_reset() {
        return Weight::Excluded(Evidence::SynsDroppedMeanwhile);
    }
    Weight::fits([])
}

fn survived(closing: &Closing, reset: crate::packet::Timestamp) -> bool {
    closing.burst_before(reset).is_none() && closing.survived(reset)
}

/// Data that a full queue ignored, and that then met no listener.
fn ignored_before(case: &Case<'_>) -> Weight {
    match claims(case) {
        Some(evidence) => Weight::proven([evidence, Evidence::ClosingRefusals]),
        None => Weight::NotApplicable,
    }
}

/// A stack that goes on repeating SYN-ACK after its listener was shut down refuses SYNs meanwhile.
fn repeats_while_refused(case: &Case<'_>) -> Weight {
    let (from, to) = case.span();
    if case.own.closing.refused_between(from, to) && !case.has(Fact::SynAckAfterRst) {
        return Weight::supported([Evidence::SynsRefusedMeanwhile]);
    }
    Weight::NotApplicable
}

/// The burst of a closing listener that a bare RST belongs to.
pub(super) fn claims(case: &Case<'_>) -> Option<Evidence> {
    let burst = case.own.closing.claims(case.attempt.reset?)?;
    Some(Evidence::ClosingBurst(burst.connections))
}

impl Case<'_> {
    /// True if SYNs of at least two attempts went unanswered in a stretch around this attempt's RST.
    fn stretch_of_reset(&self) -> bool {
        let Some(reset) = self.attempt.reset else { return false };
        self.own.drops.at(reset, reset).is_some_and(|stretch| stretch.attempts >= 2)
    }
}
