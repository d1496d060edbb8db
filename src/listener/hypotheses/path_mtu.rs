//! Large segments are lost on the way, small ones are not: a path MTU black hole (DOMAIN §3).

use super::{Case, Hypothesis, Support, VerdictSet, Weight, counted};
use crate::handshake::{Attempt, Cause, Confidence, Evidence, Fact, Verdict};
use crate::listener::observed::{MAX_SMALL, is_large};
use crate::packet::{OptionKind, Timestamp};

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::PathMtu,
    explains: VerdictSet::ALL,
    shown_by: "ICMP 'fragmentation needed' or 'packet too big' quotes the data or the SYN, or of a listener alone the same segment of its data again and again; a small segment behind the large one is SACKed; or \
               large data is ignored while small data of other connections is acknowledged",
    looks_like: "loss by chance, a full queue that ignores data; more so where the listener acknowledges large data at other times, or \
                 the capture near the server holds the large segments, or a small one behind them is lost, too",
    excluded_by: "large data that is acknowledged meanwhile, small data that is ignored",
    surest: Confidence::Likely,
    confirmed_by: "",
    example: "mtu-sacked.pcap",
    weigh,
    counted: counted::nothing,
};

/// Fewest other connections whose small data was acknowledged meanwhile.
const MIN_ACKNOWLEDGED: u32 = 2;

/// Fewest retransmissions of the large segment: a single one is any loss.
const MIN_RETRANSMISSIONS: u16 = 2;

fn weigh(case: &Case<'_>) -> Weight {
    let repeated = case.attempt.data_retransmissions >= MIN_RETRANSMISSIONS;
    let syn_too_big = case.attempt.icmp.filter(|answer| answer.error.is_too_big());
    if let Some(answer) = syn_too_big {
        return Weight::proven([Evidence::Icmp(answer.error)]);
    }
    if case.has(Fact::TooBig) && case.attempt.data_retransmissions >= 1 {
        return Weight::proven([Evidence::TooBig]);
    }
    if case.has(Fact::SackedBeyondHole) && repeated && is_large(case.attempt) {
        let evidence =
            [Evidence::LaterDataSacked, Evidence::DataUnanswered(case.attempt.data_retransmissions)];
        return Weight::supported(evidence).doubted_if(case.is_near_server());
    }
    of_large_data(case)
}

/// Large data that was sent again and again while small data of other connections to the listener was acknowledged.
fn of_large_data(case: &Case<'_>) -> Weight {
    let Some((from, to)) = ignored_between(case) else { return Weight::NotApplicable };
    match case.own.sizes.separated(from, to) {
        Some(counts) if counts.small_acknowledged >= MIN_ACKNOWLEDGED => Weight::supported([
            Evidence::SmallDataPassed(counts.small_acknowledged),
            Evidence::DataUnanswered(case.attempt.data_retransmissions),
        ])
        .doubted_if(passes_large(case) || loses_small(case.attempt)),
        Some(_) | None => Weight::NotApplicable,
    }
}

/// Evidence that the size alone explains which data was ignored: neither loss nor a full queue chooses large segments.
pub(super) fn explains_large_data(case: &Case<'_>) -> Option<Evidence> {
    let (from, to) = ignored_between(case).filter(|_| !passes_large(case) && !loses_small(case.attempt))?;
    let counts = case.own.sizes.separated(from, to)?;
    super::is_beyond_chance(counts.large_ignored, counts.small_acknowledged)
        .then_some(Evidence::SmallDataPassed(counts.small_acknowledged))
}

/// True if the sizes of what was ignored and of what was acknowledged show it without a doubt.
pub(super) fn chooses_large(case: &Case<'_>) -> bool {
    matches!(of_large_data(case), Weight::Possible(Support::Supported, _))
}

/// True if the path is known to carry large segments: these were captured near the server, and not at a point before it alone, or
/// the listener acknowledged others, if at other times.
fn passes_large(case: &Case<'_>) -> bool {
    case.is_near_server() && case.points.data.is_none() || case.own.sizes.has_acknowledged_large()
}

/// True if a small segment behind the large ones was lost as well: the server would have acknowledged it (SACK).
fn loses_small(attempt: &Attempt) -> bool {
    // FIN counts as a byte.
    let small = 2..=MAX_SMALL;
    attempt.synack.layout.has(OptionKind::SackPermitted)
        && !attempt.facts.has(Fact::SackedBeyondHole)
        && attempt.sent_bytes.checked_rem(attempt.resent_bytes).is_some_and(|last| small.contains(&last))
}

/// Times between which a large segment was sent again and again, and not acknowledged.
fn ignored_between(case: &Case<'_>) -> Option<(Timestamp, Timestamp)> {
    let attempt = case.attempt;
    let large = attempt.verdict == Verdict::AckIgnored && is_large(attempt);
    let from = attempt.sent.filter(|_| large && attempt.data_retransmissions >= MIN_RETRANSMISSIONS)?;
    Some((from, attempt.end))
}
