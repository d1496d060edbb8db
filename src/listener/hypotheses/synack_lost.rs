//! The client did not get the SYN-ACK, or rejected it (DOMAIN §3).

use super::{Case, Hypothesis, VerdictSet, Weight, counted};
use crate::handshake::{Cause, Confidence, Evidence, Fact, SegmentKind, SegmentStep, Verdict};
use crate::packet::Span;

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::SynackLost,
    explains: VerdictSet::of(&[Verdict::HalfOpen, Verdict::CompletedLate]),
    shown_by: "the client repeats its SYN after the SYN-ACK; or the SYN-ACK that it took names its first SYN; or its checksum is \
               wrong, where the server's others are right",
    looks_like: "a client that gave up and began anew; with a SYN without options, a scanner that repeats it; without timestamps a lost SYN",
    excluded_by: "an ACK that names the first SYN-ACK; a second point, which every SYN-ACK came to; several SYN-ACKs at one moment, of a server \
                  that had stood still; a client whose round trips are longer than its timer",
    surest: Confidence::Likely,
    confirmed_by: "its event of a dropped SYN-ACK: TCP_CSUM, CPU_BACKLOG or QDISC_DROP; a second point that it did not reach",
    example: "synack-rejected.pcap",
    weigh,
    counted: counted::nothing,
};

fn weigh(case: &Case<'_>) -> Weight {
    let damaged = case.wrong_checksum(SegmentStep::SynAck);
    match case.verdict() {
        Verdict::HalfOpen | Verdict::CompletedLate
            if damaged.is_some() && case.has(Fact::SynRetriedAfterSynAck) =>
        {
            Weight::proven(damaged.into_iter().chain([Evidence::SynRetriedAfterSynAck]))
        }
        Verdict::HalfOpen if case.has(Fact::SynRetriedAfterSynAck) && !is_crossed(case) => half_open(case),
        Verdict::CompletedLate if case.has(Fact::FirstSynAnswered) => first_answered(case),
        Verdict::CompletedLate if case.has(Fact::SynRetriedAfterSynAck) => unless_late(
            case,
            Weight::supported([Evidence::SynRetriedAfterSynAck]).doubted_if(case.is_held_back()),
        ),
        // Without timestamps a SYN that was lost and one whose answer was lost before the capture look the same.
        Verdict::CompletedLate
            if !case.attempt.names_answered_syn() && super::syn_lost::is_supported(case) =>
        {
            Weight::fits([])
        }
        _ => Weight::NotApplicable,
    }
}

/// A late connect whose first SYN was answered.
fn first_answered(case: &Case<'_>) -> Weight {
    if let Some(evidence) = stood_still(case) {
        return Weight::Excluded(evidence);
    }
    // A client that did not ask again may have had the first SYN-ACK, and its ACK was lost.
    let asked_again = case.attempt.retries.syn > 0;
    let reset = case.has(Fact::ApplicationReset);
    if !asked_again && (case.limits.no_bare_acks || reset || case.has(Fact::ResetUnserved)) {
        return Weight::NotApplicable;
    }
    // Where the capture lacks the SYN-ACK that the client took, it may have been the first. And a lost one explains no reset.
    let doubted = !asked_again || case.attempt.lacks_synack() || reset || case.is_held_back();
    unless_late(case, Weight::supported([Evidence::FirstSynMadeRequest]).doubted_if(doubted))
}

/// Evidence that the SYN-ACK was not lost but late: it came at one moment with those of several others, and nothing drew
/// them then.
fn stood_still(case: &Case<'_>) -> Option<Evidence> {
    case.own.stood_still_until(case.attempt.first_synack?).map(Evidence::AnsweredAtOnce)
}

/// The weight by what several points saw: where all SYN-ACKs came to the client's they were late and not lost; where one did not,
/// and is not sure to be lost, it may still be under way.
fn unless_late(case: &Case<'_>, weight: Weight) -> Weight {
    let passage = case.attempt.passage.as_deref();
    match passage.and_then(|passage| passage.has_passed(SegmentKind::SynAck)) {
        None => weight,
        Some(true) => Weight::Excluded(Evidence::AnswersArrived),
        Some(false) => weight.doubted_if(true),
    }
}

/// True if the SYN-ACK was still under way when the client repeated its SYN for the last time, as other handshakes of the client
/// show that take longer than its timer.
fn is_crossed(case: &Case<'_>) -> bool {
    let attempt = case.attempt;
    let asked = attempt.syn_retry_at.last().map(|&since| attempt.start.plus(since));
    let since = asked.zip(attempt.first_synack).map(|(asked, answered)| asked.since(answered));
    since.is_some_and(|since| {
        case.paths.client_round_trip(attempt).is_some_and(|round_trip| since < round_trip)
    })
}

/// Time after which the ACK of a SYN-ACK is no longer under way, on a path whose round trip is longer than the client waits.
const LONGEST_ROUND_TRIP: Span = Span::from_secs(3);

fn half_open(case: &Case<'_>) -> Weight {
    // The client took an answer that the capture lacks.
    if case.has(Fact::WrongAck) {
        return Weight::fits([Evidence::SynRetriedAfterSynAck]);
    }
    // A client that begins anew has given this attempt up, perhaps before the answer came.
    if case.has(Fact::PortUsedAnew) {
        return Weight::fits([Evidence::SynRetriedAfterSynAck, Evidence::PortUsedAnew]);
    }
    // A program that crafts SYNs repeats them whatever it gets.
    if case.has(Fact::SynWithoutOptions) {
        return Weight::fits([Evidence::SynRetriedAfterSynAck, Evidence::SynWithoutOptions]);
    }
    // A client that asks again so long after a SYN-ACK did not get that, whatever is under way of the latest.
    let last_asked = case.attempt.syn_retry_at.last().map(|&since| case.attempt.start.plus(since));
    let asked_late = last_asked
        .zip(case.attempt.first_synack)
        .is_some_and(|(asked, answered)| asked.since(answered) >= LONGEST_ROUND_TRIP);
    let under_way = !asked_late && case.attempt.silence.is_some_and(|silence| silence < LONGEST_ROUND_TRIP);
    Weight::supported([Evidence::SynRetriedAfterSynAck]).doubted_if(under_way)
}
