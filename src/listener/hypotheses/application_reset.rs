//! The application reset an accepted connection (DOMAIN §3, §5).

use super::{Case, Hypothesis, Support, VerdictSet, Weight, counted, listener_closed};
use crate::handshake::{Cause, Confidence, Evidence, EvidenceList, Fact, Verdict};
use crate::packet::Span;

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::ApplicationReset,
    explains: VerdictSet::of(&[Verdict::Completed, Verdict::CompletedLate, Verdict::ResetAfterAck]),
    shown_by: "RST with ACK and an open window right after the handshake, or after the client's data; where it does so, also a bare RST \
               to data and none to the ACK",
    looks_like: "a firewall that reads the first data, a closing listener; a full queue whose RST to the ACK is missing",
    excluded_by: "the client's FIN before it; data from the server after it; another TTL; a burst of a closing listener",
    surest: Confidence::Likely,
    confirmed_by: "",
    example: "app_reset-server.pcap",
    weigh,
    counted: counted::nothing,
};

fn weigh(case: &Case<'_>) -> Weight {
    if case.verdict() == Verdict::ResetAfterAck {
        return after_unseen_reset(case);
    }
    if !case.has(Fact::ApplicationReset) {
        return Weight::NotApplicable;
    }
    let facts = [
        (Fact::DataAfterRst, Evidence::DataAfterRst),
        (Fact::TtlDiffers, Evidence::RstHasOtherTtl),
        (Fact::RstTooSoon, Evidence::RstTooSoon),
        (Fact::SynAckAfterRst, Evidence::SynAckAfterRst),
    ];
    if let Some((_, evidence)) = facts.into_iter().find(|&(fact, _)| case.has(fact)) {
        return Weight::Excluded(evidence);
    }
    let burst = case.closing_burst();
    if burst.is_some_and(|burst| case.own.closing.has_aftermath(burst)) {
        return Weight::Excluded(Evidence::InClosingBurst);
    }
    let window_open = case.has(Fact::RstWindowOpen);
    let mut evidence = EvidenceList::new();
    evidence.push(Evidence::RstWithAckAfterHandshake { window_open });
    if case.is_reset_after_data() {
        evidence.push(Evidence::RstAfterData);
    }
    // A single one of several sockets of the port (SO_REUSEPORT) closes like this while others serve on.
    let supported = window_open && burst.is_none();
    Weight::Possible(if supported { Support::Supported } else { Support::Fits }, evidence)
}

/// A closed socket answers data with a bare RST (RFC 9293 §3.10.7.1), and the capture may lack the application's own before it.
fn after_unseen_reset(case: &Case<'_>) -> Weight {
    let otherwise = case.has(Fact::TtlDiffers) || case.is_answer_to_fin() || case.is_reset_among_refusals();
    if !may_have_closed(case) || otherwise {
        return Weight::NotApplicable;
    }
    if let Some(burst) = listener_closed::claims(case) {
        return Weight::Excluded(burst);
    }
    Weight::fits([])
}

/// True if the application resets others, and the bare RST may answer data on a connection that it had reset.
pub(super) fn may_have_closed(case: &Case<'_>) -> bool {
    /// The kernel's RST to an ACK comes within this, and four round trips, where it was captured (DOMAIN §3).
    const AT_ONCE: Span = Span::from_micros(100);
    let attempt = case.attempt;
    let answers_later = attempt.rst_answers_segment >= 2 && !case.has(Fact::RstToFirstAck);
    // Without its bare ACK a client's first segment is data.
    let answers_first =
        attempt.rst_answers_segment < 2 && attempt.sent.is_some() && attempt.sent == attempt.acked;
    let waited = attempt.timing.ack_to_rst.zip(attempt.timing.syn_to_synack);
    let late = case.is_near_server()
        && waited.is_some_and(|(waited, round_trip)| waited > round_trip.scaled(4, 1).plus(AT_ONCE));
    let closes_others = case.own.application_resets > 0 && case.others_overflowed() != Some(true);
    closes_others && (answers_later || answers_first || late)
}
