//! The server, or a tracker before it, holds an older connection of the same ports (DOMAIN §3, §5).

use super::{Case, Counted, Hypothesis, Support, VerdictSet, Weight};
use crate::handshake::{Attempt, Cause, Confidence, Evidence, EvidenceList, Fact, Verdict};
use crate::kernel::Counter;
use crate::listener::observed::TIME_WAIT;
use crate::packet::Span;

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::OldConnection,
    explains: VerdictSet::of(&[
        Verdict::Unanswered,
        Verdict::CompletedLate,
        Verdict::ClientReset,
        Verdict::Undetermined,
    ]),
    shown_by: "the server answers with other numbers, the client resets that and repeats its SYN; or an attempt goes unanswered \
               whose timestamp is older than that of the earlier connection of its ports (PAWS), or of one address only those \
               whose timestamps are older than another connection's (tcp_tw_recycle, NAT); at possible, one that only uses ports again, or a single \
               one with an older timestamp none of whose retries is answered",
    looks_like: "a full queue, a lost SYN, for which ports are used again by chance; a SYN proxy that tests clients by a wrong SYN-ACK",
    excluded_by: "an answer whose numbers fit; a repeat that is answered although its timestamp is as old; most others \
                  that use ports again, as old as it, and are answered",
    surest: Confidence::Likely,
    confirmed_by: "its event of a dropped segment: TCP_RFC7323_PAWS or TCP_RFC7323_TW_PAWS",
    example: "time-wait.pcap",
    weigh,
    counted,
};

/// Fewest attempts that go unanswered together, all with ports that were used before.
const MIN_OLD_PORTS: u32 = 3;

/// Fewest retries that went unanswered, too, of fewer attempts whose timestamps are older.
const MIN_RETRIES: u32 = 3;

/// Time before and after a stretch of unanswered SYNs within which others were answered meanwhile: a stretch may be one SYN.
const MEANWHILE: Span = Span::from_millis(500);

fn weigh(case: &Case<'_>) -> Weight {
    // A connection is not in the way of its own SYN, which the path may have delayed.
    let own_syn = case.attempt.ports_before.is_some_and(|before| before.is_own_syn);
    if case.attempt.answered_from.is_some() || own_syn {
        return Weight::NotApplicable;
    }
    if case.has(Fact::ServerOutOfWindow) && !case.has(Fact::RstWrongAck) {
        let reset = case.has(Fact::OutOfWindowReset).then_some(Evidence::OlderNumbersReset);
        // A machine before the server may test clients so.
        let doubt = case.has(Fact::AnswersDiffer).then_some(Evidence::Otherwise(Cause::OldConnection));
        let weight = Weight::proven(std::iter::once(Evidence::OlderNumbers).chain(reset).chain(doubt));
        // The numbers of a handshake whose packets are missing may be unknown.
        let known = case.verdict() != Verdict::Undetermined
            && case.has(Fact::AckOutOfWindow)
            && !case.attempt.is_syn_missing();
        return weight.doubted_if(!known);
    }
    if case.has(Fact::OutOfWindowReset) {
        return Weight::proven([Evidence::OlderNumbersReset]);
    }
    match ports_used_again(case) {
        Weight::NotApplicable => older_stamps(case),
        weight => weight,
    }
}

/// SYNs that a server drops because the latest connection of their address had newer timestamps (`tcp_tw_recycle`).
fn older_stamps(case: &Case<'_>) -> Weight {
    match stamps_dropped(case) {
        Some((evidence, true)) => Weight::supported([evidence]),
        Some((evidence @ Evidence::OlderStampsDropped { dropped: ..MIN_OLD_PORTS, .. }, _)) => {
            Weight::fits([evidence, Evidence::CouldBe(Cause::AcceptQueueOverflow)])
        }
        Some((evidence, false)) => Weight::fits([evidence]),
        None => Weight::NotApplicable,
    }
}

/// Evidence that timestamps decided which SYNs were dropped: of the client's address only SYNs with older ones went
/// unanswered, too many to be chance. Neither a full queue nor loss looks at timestamps.
pub(super) fn explains_by_stamps(case: &Case<'_>) -> Option<Evidence> {
    stamps_dropped(case).filter(|&(_, sure)| sure).map(|(evidence, _)| evidence)
}

/// The evidence of timestamps, and whether it is no chance.
fn stamps_dropped(case: &Case<'_>) -> Option<(Evidence, bool)> {
    let Attempt { client, server, .. } = *case.attempt;
    let stamps = if case.attempt.has_older_stamp { case.paths.stamps(client, server)? } else { return None };
    let (dropped, answered) = (stamps.older_dropped, stamps.newer_answered);
    // A stretch in which other SYNs went unanswered, too, is not chosen by timestamps, which may be older by chance.
    let others = case.stretch().is_some_and(|stretch| stretch.attempts > stretch.with_older_stamps);
    // Of an attempt or two one SYN is lost by chance, but not all retries.
    let enough = dropped >= MIN_OLD_PORTS
        || case.verdict() == Verdict::Unanswered && case.attempt.retries.syn >= MIN_RETRIES;
    let by_stamps_alone = stamps.exceptions == 0 && enough && !others;
    let sure = dropped >= MIN_OLD_PORTS && super::is_beyond_chance(dropped, answered);
    by_stamps_alone.then_some((Evidence::OlderStampsDropped { dropped, answered }, sure))
}

/// SYNs without an answer whose ports an earlier connection had.
fn ports_used_again(case: &Case<'_>) -> Weight {
    let late = matches!(case.verdict(), Verdict::Unanswered | Verdict::CompletedLate);
    let Some(before) = case.attempt.ports_before.filter(|before| late && before.since <= TIME_WAIT) else {
        return Weight::NotApplicable;
    };
    if case.has(Fact::FirstSynAnswered) {
        return Weight::Excluded(Evidence::FirstSynMadeRequest);
    }
    if case.own.drops.answers_old_ports(before.clock_ahead) {
        return Weight::NotApplicable;
    }
    let mut evidence = EvidenceList::new();
    evidence.push(Evidence::PortsUsedBefore(before.since));
    evidence.extend(before.clock_ahead.then_some(Evidence::OlderTimestamp));
    // Old ports explain nothing where SYNs of new ports go unanswered, too.
    let Some(stretch) = case.stretch() else { return Weight::fits(evidence) };
    let others = stretch.attempts > stretch.with_old_ports;
    let answered =
        case.own.drops.answered_between(stretch.from.minus(MEANWHILE), stretch.to.plus(MEANWHILE)) > 0;
    let ports_alone = !others && (answered || stretch.with_old_ports >= MIN_OLD_PORTS);
    // A clock goes backwards where its client was started anew, or another has its address: a queue does not choose those.
    let all_older = stretch.attempts >= MIN_OLD_PORTS && stretch.with_older_stamps == stretch.attempts;
    let support = match before.clock_ahead && !others {
        true if all_older && answered => Support::Proven,
        true => Support::Supported,
        false if ports_alone => Support::Supported,
        false => Support::Fits,
    };
    // Neither numbers nor timestamps show the older connection itself.
    evidence.extend((!before.clock_ahead).then_some(Evidence::Otherwise(Cause::OldConnection)));
    Weight::Possible(support, evidence)
}

/// Judges by the segments that the namespace's connections rejected for their timestamps.
fn counted(case: &Case<'_>) -> Counted {
    let older = case.attempt.ports_before.is_some_and(|before| before.clock_ahead);
    let Some(events) = case.kernel_events.filter(|_| older) else { return Counted::Nothing };
    let rejected = [Counter::PawsEstab, Counter::PawsTimewait]
        .into_iter()
        .filter_map(|counter| events.counter(counter))
        .any(|rejected| rejected > 0);
    if rejected { Counted::Supports(Evidence::KernelRejectedOld) } else { Counted::Nothing }
}
