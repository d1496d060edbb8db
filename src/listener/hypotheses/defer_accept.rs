//! `TCP_DEFER_ACCEPT`: the listener ignores the bare ACK on purpose, until data comes or its period ends (DOMAIN §3).

use super::{Case, Counted, Hypothesis, Support, VerdictSet, Weight};
use crate::handshake::{Attempt, Cause, Confidence, Evidence, EvidenceList, Fact, System, Verdict};
use crate::kernel::Counter;
use crate::packet::Span;

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::DeferAccept,
    explains: VerdictSet::of(&[Verdict::SynackRetransmitted]),
    shown_by: "silent clients get one SYN-ACK repeat, all at the same offset, and are accepted then; clients that send at \
               once are accepted at once",
    looks_like: "an ACK lost on the way, a queue that was full for a moment; of one repeat after 3 s also the first time-out of \
                 Linux before 3.1, old Windows and BSD",
    excluded_by: "data that was ignored; a second ignored ACK; a silent client that got no repeat; a system that is not Linux",
    surest: Confidence::Likely,
    confirmed_by: "TCPDeferAcceptDrop while ListenOverflows and the socket's other drops stand still",
    example: "defer_accept_late_data-server.pcap",
    weigh,
    counted,
};

/// The first retransmission of a SYN-ACK comes after one second (RFC 6298 §2.1, Linux `TCP_TIMEOUT_INIT`); one that comes
/// later than this was held back, to the end of a period of two seconds or more (`inet_csk_reqsk_queue_prune`).
const HELD_BACK: Span = Span::from_millis(2500);

/// Kernels before 3.1 sent the first repeat after 3 s, at the next tick of a coarse timer.
const FIRST_BEFORE_3_1: Span = Span::from_millis(3500);

/// Largest window of their SYN-ACKs over Ethernet: ten segments (`tcp_select_initial_window`).
const LARGEST_WINDOW_BEFORE_3_1: u16 = 14_600;

fn weigh(case: &Case<'_>) -> Weight {
    if case.has(Fact::SynAckAfterRst) || is_without_option(case) {
        return Weight::NotApplicable;
    }
    if let Some(evidence) = exclusion(case) {
        return Weight::Excluded(evidence);
    }
    let silence = &case.own.silence;
    let held_back = held_back(case);
    let recovered = case.attempt.established == Some(true);
    let mut evidence = EvidenceList::new();
    evidence.extend(held_back.map(Evidence::NoRepeatAtOneSecond));
    evidence.extend(recovered.then_some(Evidence::DeferredThenAccepted));
    let same = silence.period();
    evidence.extend(same.map(Evidence::SamePeriod));
    let apart = same.and_then(|_| treated_apart(case));
    let beside = same.and_then(|_| prompt_meanwhile(case));
    evidence.extend(beside);
    evidence.extend(apart.filter(|&apart| beside != Some(apart)));
    let proven = only_held_back(case).is_some() || apart.is_some() || beside.is_some();
    let support = match proven {
        true => Support::Proven,
        false if held_back.is_some() && is_since_3_1(case) => Support::Supported,
        false => Support::Fits,
    };
    Weight::Possible(support, evidence)
}

/// True if the server is Linux from 3.1 on, whose first time-out is a second.
fn is_since_3_1(case: &Case<'_>) -> bool {
    let attempt = case.attempt;
    attempt.system() == Some(System::Linux) && attempt.synack.window > LARGEST_WINDOW_BEFORE_3_1
}

/// True if the server's system is one without `TCP_DEFER_ACCEPT`, which is Linux's.
fn is_without_option(case: &Case<'_>) -> bool {
    case.attempt.system().is_some_and(|system| system != System::Linux)
}

/// Evidence that silent clients were treated apart from all else, by a property of the socket: neither an outage nor a
/// queue that was full for a moment chooses the ACKs of silent clients alone (DOMAIN §3).
fn treated_apart(case: &Case<'_>) -> Option<Evidence> {
    /// SYNs that kernels before 4.10 answer although the accept queue is full, and one more (`tcp_conn_request`).
    const MORE_THAN_YOUNG: u32 = 3;
    let silence = &case.own.silence;
    let between = silence.between()?;
    let prompt = prompt_meanwhile(case);
    if prompt.is_some() && super::is_beyond_chance(between.silent, between.prompt) {
        return prompt;
    }
    let linux = case.attempt.system() == Some(System::Linux);
    let answered = between.answered;
    if prompt.is_some()
        && linux
        && answered >= MORE_THAN_YOUNG
        && super::is_beyond_chance(between.silent, answered)
    {
        return Some(Evidence::SynsAnsweredBetween(answered));
    }
    silence.is_far_apart().then_some(Evidence::SilentFarApart)
}

/// Evidence that clients which sent at once were accepted at once while silent ones got their repeats.
fn prompt_meanwhile(case: &Case<'_>) -> Option<Evidence> {
    let prompt = case.own.silence.prompt_meanwhile();
    (prompt >= 2).then_some(Evidence::PromptClientsAccepted(prompt))
}

/// Evidence that a deferral is the only common explanation of one repeat to a silent client.
pub(super) fn explains_silent_clients(case: &Case<'_>) -> Option<Evidence> {
    let (from, to) = case.span();
    let full = case.own.silence.queue_seen_full(from, to) || case.own.drops.at(from, to).is_some();
    if full || is_without_option(case) || exclusion(case).is_some() {
        return None;
    }
    case.own.silence.period().and_then(|_| treated_apart(case))
}

/// The fact that excludes a deferral of this attempt.
fn exclusion(case: &Case<'_>) -> Option<Evidence> {
    let attempt = case.attempt;
    if let Some(damaged) = case.only_wrong_acks() {
        return Some(damaged);
    }
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
    let at = attempt.first_ignored()?;
    case.own.silence.outlasted(at).map(Evidence::SilentWithoutRepeat)
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
/// two seconds or more; `None` also for the schedule of kernels before 3.1, and beside attempts that show a full queue: the
/// capture lacks the earlier repeat then.
pub(super) fn held_back(case: &Case<'_>) -> Option<Span> {
    let attempt = case.attempt;
    let (from, to) = case.span();
    if case.own.silence.queue_seen_full(from, to) {
        return None;
    }
    // Systems before Linux 3.1 repeat after 3 s and double that.
    let first = attempt.retry_at.first().copied()?;
    let doubles = attempt.retry_at.get(1).is_some_and(|&second| second >= first.scaled(5, 2));
    (attempt.facts.has(Fact::SynSeen) && first >= HELD_BACK && !doubles).then_some(first)
}

/// Time of [`held_back`], where only a deferral explains it: the first repeat came later than that of Linux before 3.1, old Windows and
/// BSD systems, after 3 s; or a later kernel repeated at the same offset to several silent clients.
pub(super) fn only_held_back(case: &Case<'_>) -> Option<Span> {
    let several = || is_since_3_1(case) && case.own.silence.period().is_some();
    held_back(case).filter(|&first| !is_without_option(case) && (first >= FIRST_BEFORE_3_1 || several()))
}

/// Judges by the bare ACKs that the kernel held back.
fn counted(case: &Case<'_>) -> Counted {
    let Some(events) = case.watched() else { return Counted::Nothing };
    let Some(deferred) = events.counter(Counter::TcpDeferAcceptDrop) else { return Counted::Nothing };
    // Each bare ACK that was held back is a drop of the socket, too.
    if deferred == 0 || events.drops == Some(0) {
        return Counted::Excludes(Evidence::KernelDeferredNone);
    }
    let (from, to) = case.counted_span();
    let shown = case.own.silence.repeated_between(from, to);
    let alone = events.counter(Counter::ListenOverflows) == Some(0)
        && events.drops.is_none_or(|drops| drops <= deferred)
        && !case.own.silence.queue_seen_full(from, to);
    match alone && u64::from(shown) <= deferred && case.attempt.retries.after_ack == 1 {
        true => Counted::ConfirmsPossible(Evidence::KernelDeferred),
        false => Counted::Nothing,
    }
}
