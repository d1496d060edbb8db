//! The listener's accept queue was full: rows A to F of DOMAIN §2.

use super::{
    Case, Counted, Hypothesis, Support, VerdictSet, Weight, application_reset, defer_accept, listener_closed,
};
use crate::handshake::{Cause, Confidence, Evidence, EvidenceList, Fact, SegmentStep, System, Verdict};
use crate::listener::observed::AFTERMATH;
use crate::packet::Span;

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::AcceptQueueOverflow,
    explains: VerdictSet::of(&[
        Verdict::SynackRetransmitted,
        Verdict::ResetAfterAck,
        Verdict::AckIgnored,
        Verdict::Unanswered,
        Verdict::Completed,
        Verdict::CompletedLate,
    ]),
    shown_by: "the server ignores ACKs and repeats its SYN-ACK, answers the first ACK with a bare RST, ignores data, or \
               drops SYNs of several clients in stretches",
    looks_like: "a deferral, an ACK or data lost on the way, a server that stands still, a closing listener, a dead backend behind a proxy; for SYNs a full connection table",
    excluded_by: "refusals meanwhile; the SYN-ACK repeated after an RST; an RST with another TTL, or after another's SYN-ACK; ICMP errors about the \
                  size of the data; an answer that names the first SYN; a kernel that counted none",
    surest: Confidence::Likely,
    confirmed_by: "ListenOverflows and the socket's drops, for as many events as they count; its event of a dropped segment: TCP_LISTEN_OVERFLOW",
    example: "overflow_mixed-server.pcap",
    weigh,
    counted,
};

fn weigh(case: &Case<'_>) -> Weight {
    match case.verdict() {
        Verdict::SynackRetransmitted => acks_ignored(case),
        Verdict::ResetAfterAck => ack_reset(case),
        Verdict::AckIgnored => data_ignored(case),
        Verdict::Unanswered | Verdict::CompletedLate => syn_dropped(case),
        Verdict::Completed if case.attempt.has_stalled_by_data() => data_ignored_for_a_time(case),
        Verdict::Undetermined
        | Verdict::Completed
        | Verdict::Refused
        | Verdict::Unreachable
        | Verdict::HalfOpen
        | Verdict::ClientReset => Weight::NotApplicable,
    }
}

/// `net.ipv4.tcp_abort_on_overflow`, if the attempt shows it and a Linux kernel answered for sure.
pub(super) fn setting(case: &Case<'_>) -> Option<bool> {
    let linux = case.attempt.system() == Some(System::Linux) || case.kernel_history.stats().is_some();
    if !linux {
        return None;
    }
    match case.verdict() {
        Verdict::SynackRetransmitted => Some(false),
        // Only an RST that answers a segment whose sequence number is ISN + 1.
        Verdict::ResetAfterAck if case.has(Fact::RstToFirstByte) && !case.has(Fact::SentBeyond) => Some(true),
        _ => None,
    }
}

/// Row A, and its recovery E.
fn acks_ignored(case: &Case<'_>) -> Weight {
    if case.has(Fact::SynAckAfterRst) {
        return Weight::Excluded(Evidence::SynAckAfterRst);
    }
    if case.has(Fact::ProofWithoutAck) {
        return Weight::Excluded(Evidence::ProofWithoutAck);
    }
    if case.is_ack_missing_between_points() {
        return Weight::Excluded(Evidence::AckAtOnePoint);
    }
    if let Some(damaged) = case.only_wrong_acks() {
        return Weight::Excluded(damaged);
    }
    if is_answered_by_two(case) {
        return Weight::Excluded(Evidence::TwoIsns);
    }
    if let Some(evidence) = case.stood_still().filter(|_| case.attempt.retries.after_ack == 1) {
        return Weight::Excluded(evidence);
    }
    // On a listener without deferral the first repeat comes after a second.
    let held_back = defer_accept::only_held_back(case);
    if let Some(at) = held_back
        && case.attempt.retries.after_ack == 1
        && !case.has(Fact::DataIgnored)
        && case.others_overflowed() != Some(true)
    {
        return Weight::Excluded(Evidence::NoRepeatAtOneSecond(at));
    }
    if let Some(evidence) = defer_accept::explains_silent_clients(case) {
        return Weight::Excluded(evidence);
    }
    let reached = case.has(Fact::EchoesAck) || case.path_worked();
    if let Some(evidence) = case.way_failed().filter(|_| !reached) {
        return Weight::Excluded(evidence);
    }
    let mut evidence = EvidenceList::new();
    evidence.push(Evidence::AcksIgnored(case.attempt.retries.after_ack));
    let mut support = Support::Fits;
    let in_a_row = case.attempt.retries.after_ack >= 2;
    let not_deferred = case.has(Fact::DataIgnored) || in_a_row || defer_accept::is_excluded(case);
    if case.has(Fact::DataIgnored) {
        evidence.push(Evidence::DataIgnored);
    }
    if case.is_near_server() {
        evidence.push(Evidence::AckReachedServer);
        support = if not_deferred { Support::Supported } else { support };
    }
    if in_a_row {
        support = Support::Supported;
        evidence.extend(case.path_worked().then_some(Evidence::PathWorked));
        evidence.extend(case.loses_acks());
    }
    if case.has(Fact::EchoesAck) {
        evidence.push(Evidence::AckEchoed);
        support = if not_deferred { Support::Supported } else { support };
    }
    let others = || case.others_evidence().or_else(|| Some(case.ignored_in_crowd()?.0));
    if !in_a_row
        && not_deferred
        && let Some(others) = others()
    {
        evidence.push(others);
        support = Support::Supported;
    }
    let weight = Weight::Possible(support, evidence);
    let doubted = is_by_another(case) || case.other_hosts_failed() > 0 && !reached;
    weight.doubted_if(doubted)
}

/// True if the SYN-ACK repeats do not look like those of the listener's timer: they differ from the first SYN-ACK, drew
/// no ACK, or came while SYNs were refused.
fn is_by_another(case: &Case<'_>) -> bool {
    let (from, to) = case.span();
    case.has(Fact::RetransmittedByOther)
        || case.has(Fact::RetransmissionUnanswered)
        || case.own.closing.refused_between(from, to)
}

fn is_answered_by_two(case: &Case<'_>) -> bool {
    case.has(Fact::OtherHost)
}

/// Row B.
fn ack_reset(case: &Case<'_>) -> Weight {
    if case.has(Fact::TtlDiffers) {
        return Weight::Excluded(Evidence::RstHasOtherTtl);
    }
    if case.has(Fact::SynAckAfterRst) {
        return Weight::Excluded(Evidence::SynAckAfterRst);
    }
    if case.has(Fact::DataAfterRst) {
        return Weight::Excluded(Evidence::DataAfterRst);
    }
    if let Some(evidence) = case.reset_by_another() {
        return Weight::Excluded(evidence);
    }
    // A busy server may answer the SYN later than the ACK. Where its kernel counted overflows, that is what happened.
    let counted = case.kernel.is_some_and(|kernel| kernel.overflowed);
    if case.has(Fact::RstTooSoon) && !counted {
        return Weight::Excluded(Evidence::RstTooSoon);
    }
    if let Some(evidence) = listener_closed::claims(case) {
        return Weight::Excluded(evidence);
    }
    if case.is_answer_to_fin() {
        return Weight::Excluded(Evidence::RstAfterFin);
    }
    let first = case.has(Fact::RstToFirstAck);
    let mut evidence = EvidenceList::new();
    evidence.push(match first {
        true => Evidence::RstAnswersFirstAck,
        false => Evidence::RstAnswersLaterSegment(case.attempt.rst_answers_segment),
    });
    let doubts = [
        (!case.has(Fact::RstKernelForm), Evidence::RstNotKernelForm),
        (case.has(Fact::RstBeforeAck), Evidence::RstBeforeAck),
        // The client ended it.
        (case.has(Fact::ClientClosedFirst), Evidence::RstAfterFin),
        (case.has(Fact::RstTooLate), Evidence::RstTooLate),
        (case.has(Fact::RstTooSoon) || case.is_reset_nearer(), Evidence::RstTooSoon),
        (case.is_reset_among_refusals(), Evidence::SynsRefusedMeanwhile),
    ];
    let doubts: EvidenceList =
        doubts.into_iter().filter(|&(holds, _)| holds).map(|(_, doubt)| doubt).collect();
    // The RST to the ACK may be missing; where the application resets others, that may have been its own.
    let among_others = case.others_overflowed() == Some(true) && case.own.application_resets == 0;
    let shown = first && !application_reset::may_have_closed(case) || among_others;
    let by_data = !shown && answers_data_as_bsd(case);
    let supported = (shown || by_data) && doubts.is_empty() && !is_answered_by_two(case);
    evidence.extend(by_data.then_some(Evidence::Otherwise(Cause::AcceptQueueOverflow)));
    evidence.extend((!first && among_others).then_some(Evidence::OthersOverflowed));
    evidence.extend(doubts);
    Weight::Possible(if supported { Support::Supported } else { Support::Fits }, evidence)
}

/// True if the RST answers the first data to a BSD system, which may ignore the ACK of a full queue and know of no connection
/// then: possible, and no more (DOMAIN §5).
fn answers_data_as_bsd(case: &Case<'_>) -> bool {
    let bsd = matches!(case.attempt.system(), Some(System::FreeBsd | System::OpenBsd | System::MacOs));
    bsd && case.attempt.rst_answers_segment == 2 && case.attempt.sent.is_some()
}

/// Rows D and F.
fn data_ignored(case: &Case<'_>) -> Weight {
    if case.has(Fact::TooBig) {
        return Weight::Excluded(Evidence::TooBig);
    }
    let other = case.way_failed().or_else(|| super::path_mtu::explains_large_data(case));
    if let Some(evidence) = other {
        return Weight::Excluded(evidence);
    }
    let beyond = case.has(Fact::RstAfterBeyond);
    let by_acks = case.own.marks.others_by_acks(case.own, case.attempt, case.span());
    let near = case.is_near_server();
    // From the client's side alone, a dead backend behind a proxy looks the same.
    let unserved_reset = case.has(Fact::ResetUnserved);
    let mut evidence = EvidenceList::new();
    if case.attempt.data_retransmissions > 0 {
        evidence.push(Evidence::DataUnanswered(case.attempt.data_retransmissions));
    }
    evidence.extend(beyond.then_some(Evidence::RstAnswersBeyond));
    if case.attempt.is_ignored_by_fin_alone() {
        evidence.push(Evidence::RstAfterFin);
        evidence.extend((!near).then_some(Evidence::CouldBe(Cause::ApplicationReset)));
    }
    evidence.extend(near.then_some(Evidence::AckReachedServer));
    evidence.extend(by_acks.map(|sure| match sure {
        true => Evidence::OthersOverflowed,
        false => Evidence::OthersMayHaveOverflowed,
    }));
    match (by_acks == Some(true), near || beyond) {
        (true, _) => Weight::Possible(Support::Supported, evidence),
        (false, _) if unserved_reset => Weight::NotApplicable,
        (false, true) => {
            evidence.push(Evidence::UnmodelledHere);
            Weight::Possible(Support::Fits, evidence)
        }
        (false, false) if by_acks.is_some() => Weight::Possible(Support::Fits, evidence),
        (false, false) => {
            evidence.push(Evidence::Unmodelled);
            Weight::Possible(Support::Fits, evidence)
        }
    }
}

/// Rows D and F, once the queue had room: nothing but ignored ACKs of others in that stretch tells them from data that was lost.
fn data_ignored_for_a_time(case: &Case<'_>) -> Weight {
    match case.own.marks.others_by_acks(case.own, case.attempt, case.span()) {
        Some(true) => data_ignored(case),
        Some(false) | None => Weight::NotApplicable,
    }
}

/// Row C, and late completions (DOMAIN §5.1).
fn syn_dropped(case: &Case<'_>) -> Weight {
    if case.verdict() == Verdict::CompletedLate
        && case.attempt.timing.delay.is_none_or(|delay| delay <= Span::ZERO)
    {
        return Weight::NotApplicable;
    }
    if case.attempt.was_rejected_first() {
        return Weight::NotApplicable;
    }
    if let Some(damaged) = case.wrong_checksum(SegmentStep::Syn) {
        return Weight::Excluded(damaged);
    }
    let others = case.others_evidence();
    let cluster = case.drops_cluster();
    if others.is_none() && cluster.is_none() && !case.drops_with_sibling() {
        return Weight::NotApplicable;
    }
    if case.has(Fact::FirstSynAnswered) {
        return Weight::Excluded(Evidence::FirstSynMadeRequest);
    }
    if case.has_odd_answer() {
        return Weight::Excluded(Evidence::OlderNumbers);
    }
    if let Some(evidence) = case.way_failed().filter(|_| others != Some(Evidence::OthersOverflowed)) {
        return Weight::Excluded(evidence);
    }
    if let Some(evidence) =
        super::chosen_by_header(case).filter(|_| others != Some(Evidence::OthersOverflowed))
    {
        return Weight::Excluded(evidence);
    }
    let mut evidence: EvidenceList = others.into_iter().chain(cluster).collect();
    if others.is_none() && case.host_is_silent() {
        evidence.push(Evidence::Otherwise(Cause::AcceptQueueOverflow));
    }
    let alone = others.is_some() && cluster.is_none() && case.is_overflow_hearsay();
    let elsewhere = case.loses_answers().is_some();
    let of_host = others.is_none() && super::syn_limited::explains_siblings(case);
    let doubted = others != Some(Evidence::OthersOverflowed) && (alone || elsewhere || of_host);
    Weight::supported(evidence).doubted_if(doubted || is_amid_refusals(case))
}

/// True if SYNs were refused just before the attempt began and just after it: nobody listened then, and a refusal is missing from
/// the capture.
fn is_amid_refusals(case: &Case<'_>) -> bool {
    let (start, closing) = (case.attempt.start, &case.own.closing);
    closing.refused_between(start.minus(AFTERMATH), start)
        && closing.refused_between(start, start.plus(AFTERMATH))
}

/// Judges by the overflows that the kernel counted, and by segments that met the full queue.
fn counted(case: &Case<'_>) -> Counted {
    let Some(kernel) = case.kernel else { return Counted::Nothing };
    if !kernel.overflowed {
        return Counted::Excludes(Evidence::KernelDidNotOverflow);
    }
    if kernel.by_segment {
        return Counted::Confirms(Evidence::KernelOverflowed);
    }
    // The kernel counted only some of these events, and nothing shows of which attempts: none is confirmed alone.
    if case.shows_more_than(|events| Some(events.overflows?.most)) {
        return Counted::Supports(Evidence::KernelOverflowed);
    }
    match case.verdict() {
        _ if case.has_dropped_syn() => Counted::ConfirmsUnexplained(Evidence::KernelOverflowed),
        Verdict::SynackRetransmitted | Verdict::ResetAfterAck | Verdict::AckIgnored => {
            Counted::ConfirmsPossible(Evidence::KernelOverflowed)
        }
        _ => Counted::Nothing,
    }
}
