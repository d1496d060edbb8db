//! The client's program had given up before the SYN-ACK came: a time-out, or Happy Eyeballs (DOMAIN §3).

use super::{Case, Hypothesis, VerdictSet, Weight, counted, health_check};
use crate::handshake::{Attempt, Cause, Confidence, Evidence, Fact, Verdict};
use crate::packet::Span;

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::ClientGaveUp,
    explains: VerdictSet::of(&[Verdict::ClientReset]),
    shown_by: "the client resets a SYN-ACK that came after a retry, or more than 250 ms after the SYN",
    looks_like: "a client that lost its memory of the connection, a health check over a long round trip, a full queue that had dropped its SYNs",
    excluded_by: "a SYN-ACK that came at once, a SYN that came again after the RST",
    surest: Confidence::Likely,
    confirmed_by: "",
    example: "client-gave-up.pcap",
    weigh,
    counted: counted::nothing,
};

/// Time after which a client with Happy Eyeballs tries the next address (RFC 8305 §5).
const CONNECTION_ATTEMPT_DELAY: Span = Span::from_millis(250);

fn weigh(case: &Case<'_>) -> Weight {
    if case.has(Fact::RefusedBeforeSynAck) || case.attempt.answered_from.is_some() {
        return Weight::NotApplicable;
    }
    if let Some(evidence) = case.outlives_reset() {
        return Weight::Excluded(evidence);
    }
    let Some(waited) = waited(case.attempt) else {
        // Near the server the answer came at once, and as late to the client as its RST shows. A scanner's kernel that is as
        // far away sends the same, and so does a check, of a client that finishes others.
        let checks = || health_check::is_steady(case) && case.client_finished_another();
        let whole = waited_at_client(case.attempt).filter(|_| !checks());
        return whole.map_or(Weight::NotApplicable, |waited| Weight::fits([Evidence::GaveUpBefore(waited)]));
    };
    // A client that waited for a queue without room shows the listener's trouble.
    if let Some(queue) = case.waited_for_queue() {
        let full = Evidence::CouldBe(Cause::AcceptQueueOverflow);
        return Weight::fits([Evidence::GaveUpBefore(waited), queue, full]);
    }
    // A check over a long round trip looks the same.
    let may_check = case.attempt.retries.syn > 0 || case.client_finished_another();
    let checks = may_check && health_check::is_steady(case);
    Weight::supported([Evidence::GaveUpBefore(waited)]).doubted_if(checks)
}

/// Time from the SYN to the RST that answers its SYN-ACK, wherever it was captured, if that is longer than
/// [`CONNECTION_ATTEMPT_DELAY`].
fn waited_at_client(attempt: &Attempt) -> Option<Span> {
    let whole = attempt.end.since(attempt.start);
    let plain = attempt.retries.syn == 0 && attempt.retries.syn_ack == 0 && !attempt.is_syn_missing();
    (plain && whole > CONNECTION_ATTEMPT_DELAY).then_some(whole)
}

/// Time that the client waited for the SYN-ACK; `None` if it sent no retry and waited no longer than [`CONNECTION_ATTEMPT_DELAY`].
pub(super) fn waited(attempt: &Attempt) -> Option<Span> {
    let last_retry = attempt.syn_retry_at.last().copied().unwrap_or(Span::ZERO);
    let answer = attempt.timing.syn_to_synack.unwrap_or(Span::ZERO);
    // A SYN-ACK before the last retry did not reach the client. One that came after it may answer an earlier SYN.
    let first = attempt.first_synack.map(|synack| synack.since(attempt.start));
    let waited = first.filter(|&first| first >= last_retry).unwrap_or(last_retry.plus(answer));
    (attempt.retries.syn > 0 || waited > CONNECTION_ATTEMPT_DELAY).then_some(waited)
}
