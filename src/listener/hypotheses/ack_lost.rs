//! The client's ACK was lost or filtered on its way to the server (DOMAIN §3).

use super::{Case, Hypothesis, VerdictSet, Weight, counted};
use crate::handshake::{Attempt, Cause, Confidence, Evidence, Fact, SegmentStep, Verdict};
use crate::packet::Span;

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::AckLost,
    explains: VerdictSet::of(&[Verdict::SynackRetransmitted, Verdict::AckIgnored, Verdict::HalfOpen]),
    shown_by: "the server repeats its SYN-ACK, and the client does not repeat its SYN; or several hosts ignore one client in the \
               same second; or the ACK's checksum is wrong, where the client's SYN has a right one",
    looks_like: "a full queue that recovered, a deferral, a spoofed source, a client that is gone",
    excluded_by: "a capture near the server, where the ACK was seen to arrive; a SYN-ACK that echoes the ACK's timestamp; a \
                  path that carried other segments while several ACKs were ignored",
    surest: Confidence::Likely,
    confirmed_by: "its event of a dropped ACK: TCP_CSUM, CPU_BACKLOG or QDISC_DROP; a second point that the ACK did not reach",
    example: "congested-path.pcap",
    weigh,
    counted: counted::nothing,
};

fn weigh(case: &Case<'_>) -> Weight {
    match case.verdict() {
        Verdict::SynackRetransmitted if !case.has(Fact::SynAckAfterRst) => ignored(case),
        Verdict::AckIgnored if !case.is_near_server() && !case.has(Fact::RstAfterBeyond) => data_lost(case),
        Verdict::HalfOpen => half_open(case),
        _ => Weight::NotApplicable,
    }
}

fn ignored(case: &Case<'_>) -> Weight {
    if let Some(damaged) = case.wrong_checksum(SegmentStep::Ack) {
        return Weight::proven([damaged]);
    }
    if case.is_near_server() {
        return Weight::Excluded(Evidence::AckReachedServer);
    }
    if case.is_ack_lost_between_points() {
        return Weight::proven([Evidence::AckAtOnePoint]);
    }
    if case.is_ack_missing_between_points() {
        // One may still be under way.
        return Weight::fits([Evidence::AckAtOnePoint]);
    }
    if let Some(evidence) = case.stood_still().filter(|_| case.attempt.retries.after_ack == 1) {
        return Weight::Excluded(evidence);
    }
    // Of silent clients it is their next ACK that is echoed: the first may have been lost.
    if case.has(Fact::EchoesAck) && case.has(Fact::DataIgnored) {
        return Weight::Excluded(Evidence::AckEchoed);
    }
    let may_lose_some = || case.loses_acks().is_some() || case.loses_syns_alike() || case.fails_by_ports();
    if case.attempt.retries.after_ack >= 2 && case.path_worked() && !may_lose_some() {
        return Weight::Excluded(Evidence::PathWorked);
    }
    if let Some(at) = super::defer_accept::only_held_back(case)
        && case.attempt.retries.after_ack == 1
        && !case.has(Fact::DataIgnored)
    {
        // A lost ACK would have drawn a repeat after a second; the next one may have been lost.
        return Weight::Excluded(Evidence::NoRepeatAtOneSecond(at));
    }
    if let Some(evidence) = super::defer_accept::explains_silent_clients(case) {
        return Weight::Excluded(evidence);
    }
    if case.has(Fact::ProofWithoutAck) {
        let weight = Weight::supported([Evidence::ProofWithoutAck]);
        return weight.doubted_if(answers_unseen_syn(case.attempt));
    }
    if let Some(others) = case.others_failed() {
        return Weight::supported([others]);
    }
    let once = case.attempt.retries.after_ack == 1;
    Weight::fits(once.then_some(Evidence::RepeatOnlyOnce))
}

/// True if the SYN-ACK's repeat may answer a repeated SYN that the capture lacks, as it lacks the first: it came sooner than a
/// server's timer.
fn answers_unseen_syn(attempt: &Attempt) -> bool {
    /// A little less than the first time-out of any system (RFC 6298 §2.1).
    const FIRST_TIMEOUT: Span = Span::from_millis(900);
    let first = attempt.retry_at.first();
    !attempt.facts.has(Fact::SynSeen) && first.is_some_and(|&first| first < FIRST_TIMEOUT)
}

fn data_lost(case: &Case<'_>) -> Weight {
    if case.others_overflowed() == Some(true) {
        return Weight::Excluded(Evidence::OthersOverflowed);
    }
    // A proxy whose backend is dead resets in the end: that is neither.
    if case.has(Fact::ResetUnserved) || case.has(Fact::TooBig) {
        return Weight::NotApplicable;
    }
    if let Some(evidence) = super::path_mtu::explains_large_data(case) {
        return Weight::Excluded(evidence);
    }
    case.others_failed().map_or_else(|| Weight::fits([]), |others| Weight::supported([others]))
}

/// The SYN is not repeated, the SYN-ACK is: a spoofed source leaves the same, so the client must be known.
fn half_open(case: &Case<'_>) -> Weight {
    let repeated = case.attempt.retries.syn_ack > 0 && case.attempt.retries.syn == 0;
    if !repeated || case.limits.no_bare_acks {
        return Weight::NotApplicable;
    }
    if case.client_is_reached() {
        // A client that nothing came from after that may be gone; many at once are not. Of several behind one address another may
        // have finished.
        let gone = !case.client_finished_later() && case.own.floods.at(case.attempt.start).is_none();
        let stamps = case.paths.stamps(case.attempt.client, case.attempt.server);
        let other = |syn| stamps.is_some_and(|stamps| stamps.is_of_another_clock(case.attempt.start, syn));
        let gone = gone || case.attempt.client_clock.is_some_and(|clock| other(clock.syn));
        let evidence = [Evidence::SynAckRepeatedAlone, Evidence::ClientFinishedAnother];
        return Weight::supported(evidence).doubted_if(gone);
    }
    Weight::NotApplicable
}
