//! `TCP_DEFER_ACCEPT`: the listener ignores the bare ACK on purpose, until data comes or its period ends (DOMAIN §3).

use super::{Case, Hypothesis, Support, Weight};
use crate::handshake::{Attempt, Cause, Evidence, EvidenceList, Fact, Verdict};
use crate::packet::Span;

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::DeferAccept,
    shown_by: "silent clients get one SYN-ACK repeat, all at the same offset, and are accepted then; clients that send at \
               once are accepted at once",
    excluded_by: "data that was ignored; a second ignored ACK; a silent client that got no repeat",
    example: "defer_accept_late_data-server.pcap",
    weigh,
};

/// The first retransmission of a SYN-ACK comes after one second (RFC 6298 §2.1, Linux `TCP_TIMEOUT_INIT`); one that comes
/// later than this was held back, to the end of a period of two seconds or more (`inet_csk_reqsk_queue_prune`).
const HELD_BACK: Span = Span::from_millis(2500);

/// Kernels before 3.1 sent the first repeat after 3 s, at the next tick of a coarse timer.
const FIRST_BEFORE_3_1: Span = Span::from_millis(3500);

/// Silent clients that are this far apart are no single outage (DOMAIN §3).
const FAR_APART: Span = Span::from_secs(10);

fn weigh(case: &Case<'_>) -> Weight {
    if case.verdict() != Verdict::SynackRetransmitted || case.has(Fact::SynAckAfterRst) {
        return Weight::Silent;
    }
    if let Some(evidence) = exclusion(case) {
        return Weight::Excluded(evidence);
    }
    let silence = &case.own.silence;
    let held_back = held_back(case.attempt);
    let recovered = case.attempt.established == Some(true);
    let mut evidence = EvidenceList::new();
    evidence.extend(held_back.map(Evidence::NoRepeatAtOneSecond));
    evidence.extend(recovered.then_some(Evidence::DeferredThenAccepted));
    let same = silence.period().filter(|_| silence.repeated >= 2);
    evidence.extend(same.map(Evidence::SamePeriod));
    let prompt = silence.prompt >= 2 && silence.repeated >= 2;
    evidence.extend(prompt.then_some(Evidence::PromptClientsAccepted(silence.prompt)));
    let apart = silence.spread() > FAR_APART;
    evidence.extend((apart && same.is_some()).then_some(Evidence::SilentFarApart));
    let support = match (held_back.is_some(), same.is_some() && (prompt || apart)) {
        (true, _) | (_, true) => Support::Proven,
        (false, false) => Support::Fits,
    };
    Weight::Left(support, evidence)
}

/// Evidence that a deferral is the only common explanation of one repeat to a silent client: neither an outage nor a
/// full queue affects silent clients alone, each once, at times far apart (DOMAIN §3).
pub(super) fn explains_silent_clients(case: &Case<'_>) -> Option<Evidence> {
    let silence = &case.own.silence;
    let one_period = silence.repeated >= 2 && silence.period().is_some();
    let (from, to) = case.span();
    let others =
        silence.data_ignored > 0 || silence.repeated_often > 0 || case.own.drops.at(from, to).is_some();
    if exclusion(case).is_some() || !one_period || others {
        return None;
    }
    (silence.spread() > FAR_APART).then_some(Evidence::SilentFarApart)
}

/// The fact that excludes a deferral of this attempt.
fn exclusion(case: &Case<'_>) -> Option<Evidence> {
    let attempt = case.attempt;
    let silence = &case.own.silence;
    if case.has(Fact::DataIgnored) {
        return Some(Evidence::DataIgnored);
    }
    if repeats_as_before_3_1(attempt) {
        return None;
    }
    // The ACK that answers the repeat is never ignored.
    if attempt.retries.after_ack > 1 {
        return Some(Evidence::AcksIgnored(attempt.retries.after_ack));
    }
    if attempt.retries.syn_ack > 1 {
        return Some(Evidence::AcksIgnored(attempt.retries.syn_ack));
    }
    let at = attempt.retry_at.first().copied()?;
    silence.without_repeat.filter(|&silent| silent > at.scaled(5, 4)).map(Evidence::SilentWithoutRepeat)
}

/// True if the SYN-ACK was repeated as kernels before 3.1 do it: after 3 s, then with doubled gaps. A deferral of
/// kernels up to 2.6.31 ignores the bare ACK through all repeats, so that a second repeat excludes nothing (DOMAIN §3).
fn repeats_as_before_3_1(attempt: &Attempt) -> bool {
    let first = attempt.retry_at.first().is_some_and(|&first| first >= HELD_BACK && first < FIRST_BEFORE_3_1);
    let doubles = attempt.retry_at.get(1).zip(attempt.retry_at.first());
    first && doubles.is_some_and(|(&second, &first)| second >= first.scaled(5, 2))
}

/// True if a fact excludes a deferral of this attempt.
pub(super) fn is_excluded(case: &Case<'_>) -> bool {
    exclusion(case).is_some()
}

/// Time of the first SYN-ACK repeat, from the SYN-ACK, if a deferral may have held it back to the end of a period of
/// two seconds or more; `None` also for the schedule of kernels before 3.1.
pub(super) fn held_back(attempt: &Attempt) -> Option<Span> {
    // Systems before Linux 3.1 repeat after 3 s and double that.
    let first = attempt.retry_at.first().copied()?;
    let doubles = attempt.retry_at.get(1).is_some_and(|&second| second >= first.scaled(5, 2));
    (attempt.facts.has(Fact::SynSeen) && first >= HELD_BACK && !doubles).then_some(first)
}
