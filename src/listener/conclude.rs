//! Conclusions on a listener: its record summed up, with the main cause, the diagnosis, the advice and the size. Does not
//! own the evidence (`evidence`), nor the sentences (`report/wording`).

use super::advice::{Advice, advice};
use super::diagnosis::{Diagnosis, without_cause};
use super::evidence::{evidence, figures};
use super::record::Record;
use super::size::{Answer, Size, Unknown};
use super::totals::{CauseTally, Totals};
use super::{CauseCount, Episode, Listener};
use crate::handshake::{Cause, Confidence};
use crate::kernel::KernelStats;
use crate::packet::{Endpoint, Timestamp};

/// The listener as the outputs show it, of an input that ended at `end`.
pub(super) fn conclude(
    server: Option<Endpoint>,
    record: &Record,
    totals: &Totals,
    end: Option<Timestamp>,
) -> Listener {
    let cause = main_cause(totals);
    // Once the kernel has counted an overflow that no attempt shows, it explains SYNs without an answer.
    let silent = matches!(cause, None | Some(Cause::Filtered));
    let unseen = silent && counted_alone(record, totals);
    let cause = if unseen { Some(Cause::AcceptQueueOverflow) } else { cause };
    let oversized = record.observed.oversized.connections;
    // Trouble that its attempts show comes first.
    let is_oversized = cause.is_none() && oversized > 0 && record.verdicts.problems() <= totals.no_problem;
    let cause = if is_oversized { Some(Cause::PathMtu) } else { cause };
    let tally = cause.and_then(|cause| totals.of(cause)).cloned().unwrap_or_default();
    let diagnosis = match cause {
        None => without_cause(record, totals),
        Some(_) if unseen => Diagnosis::CountedByKernel,
        Some(_) if is_oversized => Diagnosis::Oversized { connections: oversized },
        Some(_) => Diagnosis::Explained {
            affected: tally.verdicts,
            possible: tally.possible,
            answers: server.is_some() && record.observed.answered > 0,
        },
    };
    let counted =
        tally.span.filter(|_| cause == Some(Cause::AcceptQueueOverflow)).is_some_and(|(from, to)| {
            record.kernel.evidence(from, to, record.retries.after_ack).is_some_and(|kernel| kernel.overflowed)
        });
    let confidence = match is_oversized {
        true => Some(Confidence::Likely),
        false if unseen || counted => Some(Confidence::Confirmed),
        false => tally.confidence(),
    };
    let size = server.and_then(|_| size(cause, confidence, record, end));
    let episodes = totals.episodes.list(end);
    // No attempt may have that cause: only the kernel saw the trouble.
    let span = tally.span.or_else(|| span(&episodes, cause?));
    let published = || record.kernel.stats().and_then(|stats| stats.published).map(Endpoint::from);
    Listener {
        server,
        published: record
            .observed
            .published
            .or_else(published)
            .filter(|&published| Some(published) != server),
        scan: None,
        verdicts: record.verdicts,
        unproven: record.unproven,
        connect_time: record.times.connect(),
        delay: record.times.delay(),
        stall: record.times.stall(),
        stalled: record.times.stalled(),
        late: record.late,
        failed: record.failed.saturating_sub(totals.no_problem) + totals.broken,
        broken: totals.broken,
        odd_answers: record.observed.odd_answers,
        no_problem: totals.no_problem,
        retries: record.retries,
        causes: totals
            .causes()
            .map(|(cause, tally)| CauseCount {
                surest_late: tally.surest_late,
                ..CauseCount::new(cause, tally.verdicts, tally.surest)
            })
            .collect(),
        cause,
        abort_on_overflow: cause
            .filter(|&cause| cause == Cause::AcceptQueueOverflow)
            .and(abort_on_overflow_shown(record, totals, unseen)),
        confidence,
        evidence: evidence(cause, &tally, record, totals),
        ruled_out: totals.ruled_out.to_vec(),
        diagnosis,
        episodes,
        clients: totals.clients,
        advice: advice(cause, confidence, &diagnosis, record, &tally)
            .into_iter()
            .map(|advice| sized(advice, size.as_ref().map(|size| size.answer)))
            .collect(),
        since: span.map(|(from, _)| from),
        until: span.map(|(_, to)| to),
        size,
        kernel: record.kernel.stats().cloned(),
    }
}

/// The time from the start of the first episode with this cause to the end of the last.
fn span(episodes: &[Episode], cause: Cause) -> Option<(Timestamp, Timestamp)> {
    let of_cause = episodes.iter().filter(|episode| episode.cause == Some(cause));
    let spans = of_cause.map(|episode| (episode.from, episode.until));
    spans.reduce(|(from, to), (start, end)| (from.min(start), to.max(end)))
}

/// Advice, with the one to accept faster replaced where no backlog helps, or where one of several workers waits.
fn sized(advice: Advice, answer: Option<Answer>) -> Advice {
    match (advice, answer) {
        (Advice::AcceptFaster, Some(Answer::NothingAccepted { .. })) => Advice::FindWhyNothingIsAccepted,
        (Advice::AcceptFaster, Some(Answer::Outrun { .. })) => Advice::OnlyAcceptFaster,
        (Advice::AcceptFaster, Some(Answer::Unknown(Unknown::OneOfSeveralSockets))) => {
            Advice::FindWhyOneWorkerWaits
        }
        (advice, _) => advice,
    }
}

/// Estimate of how large the queue should have been; `None` unless it overflowed at likely or confirmed, with drops
/// seen.
fn size(
    cause: Option<Cause>,
    confidence: Option<Confidence>,
    record: &Record,
    end: Option<Timestamp>,
) -> Option<Size> {
    let sure = cause == Some(Cause::AcceptQueueOverflow) && confidence > Some(Confidence::Possible);
    sure.then(|| record.load.size(record.kernel.queue(), end)).flatten()
}

/// True if the kernel counted overflows of this queue and no attempt has that cause: the clients are still waiting, or
/// are not in the capture.
fn counted_alone(record: &Record, totals: &Totals) -> bool {
    totals.of(Cause::AcceptQueueOverflow).is_none()
        && figures(record).and_then(KernelStats::overflowed) == Some(true)
}

/// The cause that matters most: the surest, and of these the one that explains most attempts. Intended causes rank
/// below faults, unless the fault is only possible and explains no more than a few, or an application that resets fails so many
/// more. A sure cause of a few attempts does not stand for many others.
pub(super) fn main_cause(totals: &Totals) -> Option<Cause> {
    /// Share of a sure cause, of the attempts that the most common cause has: one in so many at least.
    const MIN_SHARE: u64 = 10;
    /// Fewest attempts of a possible fault that no intended cause hides.
    const MIN_OF_FAULT: u64 = 3;
    let faults = totals.causes().filter(|(cause, _)| !cause.is_intended());
    let most_of_faults = faults.map(|(_, tally)| tally.verdicts.total()).max().unwrap_or(0);
    let has_fault = most_of_faults >= MIN_OF_FAULT;
    let most = totals.causes().map(|(_, tally)| tally.verdicts.total()).max().unwrap_or(0);
    let rank = |cause: Cause, tally: &CauseTally| {
        let many = tally.verdicts.total() * MIN_SHARE >= most;
        let outweighs = !cause.is_harmless() && tally.verdicts.total() > most_of_faults * MIN_SHARE;
        let fault = !cause.is_intended() || outweighs;
        let sure = many && tally.confidence() > Some(Confidence::Possible) && (fault || !has_fault);
        (sure, fault && (sure || has_fault), tally.verdicts.total())
    };
    let ranked = totals.causes().map(|(cause, tally)| (rank(cause, tally), std::cmp::Reverse(cause)));
    ranked.max().map(|(_, cause)| cause.0)
}

/// The `tcp_abort_on_overflow` that the overflows show; `None` where they show neither, or both.
fn abort_on_overflow_shown(record: &Record, totals: &Totals, unseen: bool) -> Option<bool> {
    let [ignored, reset] = totals.settings.map(|attempts| attempts > 0);
    if !ignored && !reset {
        // SYN drops and SYN cookies look the same with either setting.
        let confirmed = totals.of(Cause::AcceptQueueOverflow).is_some_and(|tally| tally.confirmed > 0);
        return figures(record).filter(|_| unseen || confirmed)?.abort_on_overflow;
    }
    (ignored != reset).then_some(reset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stuck_worker_of_several_is_not_told_to_accept_faster() {
        let answers = [Unknown::OneOfSeveralSockets, Unknown::StillFull].map(Answer::Unknown);
        let advice = answers.map(|answer| sized(Advice::AcceptFaster, Some(answer)));
        assert_eq!(advice, [Advice::FindWhyOneWorkerWaits, Advice::AcceptFaster]);
    }
}
