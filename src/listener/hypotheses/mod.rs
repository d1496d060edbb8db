//! Differential diagnosis: every cause is a hypothesis, in a file of its own (DOMAIN §3, §5).
//!
//! A hypothesis says which attempts it can explain, which facts support it, and which exclude it. Confidence is not handed
//! out by any of them: it follows from the hypotheses that are left.
//!
//! - One is left, and facts support it: `likely`.
//! - One is left that nothing supports, or several of which one is clearly ahead: `possible`, and the others are named.
//!   **Clearly ahead** is a hypothesis with more [`Support`] than any other that is left.
//! - Several are left, and none is clearly ahead: no cause, and all are named.
//! - The kernel's counters confirm an overflow, or exclude it; its own events of dropped segments confirm any cause.
//!
//! A new cause is one file and one line in [`ALL`].

mod accept_queue_overflow;
mod ack_lost;
mod application_reset;
mod case;
mod client_gave_up;
mod defer_accept;
mod filtered;
mod firewall_reset;
mod health_check;
mod host_unreachable;
mod listener_closed;
mod nat_mismatch;
mod old_connection;
mod option_blocked;
mod path_mtu;
mod port_closed;
mod syn_flood;
mod syn_limited;
mod syn_lost;
mod syn_queue_overflow;
mod syn_scan;
mod synack_lost;
mod two_answers;

use smallvec::SmallVec;

pub(super) use case::Case;

use super::dropped_segments::DroppedByKernel;
use super::kernel_history::KernelEvidence;
use crate::handshake::{
    Cause, Confidence, Evidence, EvidenceList, Fact, Facts, Inference, RuledOut, Verdict,
};
use crate::packet::Span;

/// Facts for which a completed attempt is weighed at all.
pub(super) const ODD: Facts = Facts::of(&[
    Fact::ApplicationReset,
    Fact::ResetUnserved,
    Fact::TooBig,
    Fact::SackedBeyondHole,
    Fact::RefusedBeforeSynAck,
    Fact::OtherHost,
    Fact::DataAfterRst,
]);

/// Strength of the facts that support a hypothesis, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Support {
    /// No fact that sets it apart: it explains the attempt, and so do others.
    Fits,
    /// Facts that it predicts, and its alternatives do not.
    Supported,
    /// Facts that only it predicts.
    Proven,
}

/// A hypothesis that was weighed for one attempt.
#[derive(Debug, Clone)]
pub(super) enum Weight {
    /// Not applicable: the hypothesis explains nothing of this attempt.
    Silent,
    /// Ruled out by this fact.
    Excluded(Evidence),
    /// Not ruled out, with its support and its evidence.
    Left(Support, EvidenceList),
}

impl Weight {
    pub(super) fn fits(evidence: impl IntoIterator<Item = Evidence>) -> Self {
        Self::Left(Support::Fits, evidence.into_iter().collect())
    }

    pub(super) fn supported(evidence: impl IntoIterator<Item = Evidence>) -> Self {
        Self::Left(Support::Supported, evidence.into_iter().collect())
    }

    pub(super) fn proven(evidence: impl IntoIterator<Item = Evidence>) -> Self {
        Self::Left(Support::Proven, evidence.into_iter().collect())
    }

    /// The same, with no more than this support.
    pub(super) fn at_most(self, most: Support) -> Self {
        match self {
            Self::Left(support, evidence) => Self::Left(support.min(most), evidence),
            other => other,
        }
    }
}

/// A cause and how it is weighed. The texts are the table in `docs/CAUSES.md`.
pub(super) struct Hypothesis {
    pub(super) cause: Cause,
    /// The attempts that it explains, and the facts that show it.
    pub(super) shown_by: &'static str,
    /// The causes that look the same, and what excludes it.
    pub(super) excluded_by: &'static str,
    /// A bundled capture that shows it; empty if there is none.
    pub(super) example: &'static str,
    pub(super) weigh: fn(&Case<'_>) -> Weight,
}

/// A cause as the table in `docs/CAUSES.md` describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CauseGuide {
    /// The cause.
    pub cause: Cause,
    /// Facts that show the cause, in words.
    pub shown_by: &'static str,
    /// Facts that exclude the cause, and causes that look the same, in words.
    pub excluded_by: &'static str,
    /// A bundled capture that shows it; empty if there is none.
    pub example: &'static str,
}

/// All causes.
pub fn cause_guides() -> impl Iterator<Item = CauseGuide> {
    ALL.iter().map(|hypothesis| {
        let Hypothesis { cause, shown_by, excluded_by, example, .. } = **hypothesis;
        CauseGuide { cause, shown_by, excluded_by, example }
    })
}

/// All hypotheses, in the order of [`Cause`].
pub(super) static ALL: [&Hypothesis; 22] = [
    &accept_queue_overflow::HYPOTHESIS,
    &defer_accept::HYPOTHESIS,
    &listener_closed::HYPOTHESIS,
    &syn_queue_overflow::HYPOTHESIS,
    &syn_limited::HYPOTHESIS,
    &old_connection::HYPOTHESIS,
    &nat_mismatch::HYPOTHESIS,
    &firewall_reset::HYPOTHESIS,
    &two_answers::HYPOTHESIS,
    &syn_lost::HYPOTHESIS,
    &synack_lost::HYPOTHESIS,
    &ack_lost::HYPOTHESIS,
    &option_blocked::HYPOTHESIS,
    &path_mtu::HYPOTHESIS,
    &port_closed::HYPOTHESIS,
    &host_unreachable::HYPOTHESIS,
    &filtered::HYPOTHESIS,
    &syn_flood::HYPOTHESIS,
    &syn_scan::HYPOTHESIS,
    &health_check::HYPOTHESIS,
    &client_gave_up::HYPOTHESIS,
    &application_reset::HYPOTHESIS,
];

/// A hypothesis that is left.
struct Explanation {
    cause: Cause,
    support: Support,
    evidence: EvidenceList,
}

/// Weighs a cause, other than a full accept queue, by which SYNs get no answer: `decided` by what is particular to it, else
/// by drops that it may explain.
fn weigh_dropped_syns(case: &Case<'_>, decided: impl FnOnce() -> Option<Weight>) -> Weight {
    let dropped = matches!(case.verdict(), Verdict::Unanswered | Verdict::CompletedLate);
    if !dropped || syn_flood::is_part(case) || case.has_odd_answer() {
        return Weight::Silent;
    }
    if case.has(Fact::FirstSynAnswered) {
        return Weight::Excluded(Evidence::FirstSynMadeRequest);
    }
    if case.others_overflowed() == Some(true) {
        return Weight::Excluded(Evidence::OthersOverflowed);
    }
    decided().unwrap_or_else(|| {
        let dropping = case.drops_cluster().is_some() || case.others_overflowed().is_some();
        if dropping { Weight::fits([]) } else { Weight::Silent }
    })
}

/// Infers what an attempt means.
pub(super) fn infer(case: &Case<'_>) -> Inference {
    let mut left: SmallVec<[Explanation; 4]> = SmallVec::new();
    let mut ruled_out: Vec<RuledOut> = Vec::new();
    for hypothesis in ALL {
        match (hypothesis.weigh)(case) {
            Weight::Silent => {}
            Weight::Excluded(evidence) => ruled_out.push(RuledOut { cause: hypothesis.cause, evidence }),
            Weight::Left(support, evidence) => {
                left.push(Explanation { cause: hypothesis.cause, support, evidence });
            }
        }
    }
    let mut inference = conclude(left, ruled_out);
    if case.limits.weaken(case.attempt.verdict) && inference.confidence == Some(Confidence::Likely) {
        inference.confidence = Some(Confidence::Possible);
        inference.evidence.push(case.limits.evidence());
    }
    if inference.cause.is_none() && case.has(Fact::RstWrongAck) {
        inference.evidence.push(Evidence::RstWrongAck);
    }
    if inference.cause == Some(Cause::AckLost) && case.is_ack_lost_between_points() {
        confirm_by_points(&mut inference, case);
    }
    if inference.cause == Some(Cause::AcceptQueueOverflow) {
        inference.abort_on_overflow = accept_queue_overflow::setting(case);
    }
    match (case.dropped, case.kernel) {
        (Some(dropped), _) if dropped.cause != Cause::AcceptQueueOverflow => {
            dropped_by_kernel(inference, dropped)
        }
        (_, Some(kernel)) => with_kernel(inference, kernel, case),
        (_, None) => inference,
    }
}

/// Two points that between them saw a segment vanish confirm its loss (DOMAIN §7), unless the captures lost packets, or
/// the second point shows none of the client's later segments.
fn confirm_by_points(inference: &mut Inference, case: &Case<'_>) {
    inference.evidence.retain(|evidence| !matches!(evidence, Evidence::CouldBe(_)));
    let complete = !case.limits.drops && !case.limits.gaps && case.has(Fact::Established);
    inference.confidence = Some(if complete { Confidence::Confirmed } else { Confidence::Likely });
}

/// The kernel's own event of a segment of this attempt confirms its cause, whatever counts and packets leave open.
fn dropped_by_kernel(inference: Inference, dropped: DroppedByKernel) -> Inference {
    let same = inference.cause == Some(dropped.cause);
    let packets = inference.evidence.into_iter().filter(|evidence| same && !weakens(*evidence));
    let of_kernel = Evidence::KernelDroppedSegments(dropped.reason, dropped.segments);
    let others = inference.ruled_out.into_iter().filter(|ruled_out| ruled_out.cause != dropped.cause);
    Inference {
        cause: Some(dropped.cause),
        abort_on_overflow: None,
        confidence: Some(Confidence::Confirmed),
        evidence: std::iter::once(of_kernel).chain(packets).collect(),
        ruled_out: others.collect(),
    }
}

/// True for evidence that does not matter any more once the kernel confirms the cause: alternatives, and limits of the
/// capture.
const fn weakens(evidence: Evidence) -> bool {
    matches!(evidence, Evidence::CouldBe(_) | Evidence::CaptureDropped | Evidence::LimitedByCapture)
}

/// The inference from the hypotheses that are left.
fn conclude(mut left: SmallVec<[Explanation; 4]>, ruled_out: Vec<RuledOut>) -> Inference {
    // Stable: causes of the same support stay in their order.
    left.sort_by_key(|candidate| std::cmp::Reverse(candidate.support));
    let ahead = match left.as_slice() {
        [] => false,
        [_] => true,
        [first, second, ..] => first.support > second.support,
    };
    if !ahead {
        let mut evidence: EvidenceList =
            left.iter().flat_map(|candidate| candidate.evidence.clone()).collect();
        evidence.extend(left.iter().map(|candidate| Evidence::CouldBe(candidate.cause)));
        dedup(&mut evidence);
        return Inference { evidence, ruled_out, ..Inference::default() };
    }
    let others = left.split_off_first();
    let Some(first) = left.pop() else { return Inference::default() };
    let sure = others.is_empty() && first.support >= Support::Supported;
    let mut evidence = first.evidence;
    evidence.extend(others.iter().map(|candidate| Evidence::CouldBe(candidate.cause)));
    Inference {
        cause: Some(first.cause),
        abort_on_overflow: None,
        confidence: Some(if sure { Confidence::Likely } else { Confidence::Possible }),
        evidence,
        ruled_out,
    }
}

/// Splits a list behind its first element.
trait SplitOffFirst {
    fn split_off_first(&mut self) -> Self;
}

impl SplitOffFirst for SmallVec<[Explanation; 4]> {
    fn split_off_first(&mut self) -> Self {
        self.drain(1..).collect()
    }
}

fn dedup(evidence: &mut EvidenceList) {
    let mut seen: EvidenceList = EvidenceList::new();
    evidence.retain(|one| {
        let new = !seen.contains(one);
        seen.push(*one);
        new
    });
}

/// The kernel's counters confirm an overflow that the packets make possible, or exclude it.
fn with_kernel(inference: Inference, kernel: KernelEvidence, case: &Case<'_>) -> Inference {
    let overflow = Cause::AcceptQueueOverflow;
    let suspected = inference.cause == Some(overflow)
        || inference.evidence.contains(&Evidence::CouldBe(overflow))
        || kernel.overflowed && is_unexplained_silence(&inference, case);
    if !suspected {
        return inference;
    }
    if kernel.overflowed && !kernel.by_segment && exceeds_count(case) {
        // The kernel counted only some of these events, and nothing shows of which attempts: none is confirmed alone.
        let mut inference = inference;
        inference.evidence.insert(0, Evidence::KernelOverflowed);
        return inference;
    }
    if kernel.overflowed {
        let packets = inference.evidence.into_iter().filter(|&evidence| !weakens(evidence));
        let event = case.dropped.filter(|_| kernel.by_segment);
        let event = event.map(|dropped| Evidence::KernelDroppedSegments(dropped.reason, dropped.segments));
        return Inference {
            cause: Some(overflow),
            // The setting may have been changed since; the packets show what was in force.
            abort_on_overflow: accept_queue_overflow::setting(case).or(kernel.abort_on_overflow),
            confidence: Some(Confidence::Confirmed),
            evidence: [Evidence::KernelOverflowed].into_iter().chain(event).chain(packets).collect(),
            ruled_out: inference.ruled_out,
        };
    }
    let mut ruled_out = inference.ruled_out;
    ruled_out.push(RuledOut { cause: overflow, evidence: Evidence::KernelDidNotOverflow });
    let others = inference.evidence.into_iter().filter(|&evidence| evidence != Evidence::CouldBe(overflow));
    let evidence = [Evidence::KernelDidNotOverflow].into_iter().chain(others).collect();
    if inference.cause == Some(overflow) {
        return Inference { evidence, ruled_out, ..Inference::default() };
    }
    Inference { evidence, ruled_out, ..inference }
}

/// True if SYNs got no answer, as if a full queue had dropped them, and the packets show no cause but loss or a filter
/// and do not rule out an overflow.
fn is_unexplained_silence(inference: &Inference, case: &Case<'_>) -> bool {
    let silent = match case.verdict() {
        Verdict::Unanswered => true,
        Verdict::CompletedLate => case.attempt.retries.syn > 0,
        _ => false,
    };
    silent
        && matches!(inference.cause, None | Some(Cause::Filtered | Cause::SynLost))
        && !inference.ruled_out.iter().any(|ruled_out| ruled_out.cause == Cause::AcceptQueueOverflow)
}

/// True if the packets show more events at the attempt's time than the kernel counted (DOMAIN §8).
fn exceeds_count(case: &Case<'_>) -> bool {
    /// Packets are stamped and counted at different moments.
    const SLACK: Span = Span::from_secs(1);
    // While its accept queue is full, a listener may also drop SYNs that do not fit into its SYN queue.
    let counted =
        case.kernel_events.and_then(|events| Some(events.overflows?.most.max(events.drops.unwrap_or(0))));
    let (from, to) = case.span();
    let shown = case.own.overflow_like.between(from.minus(SLACK), to.plus(SLACK));
    counted.is_some_and(|counted| counted < u64::from(shown))
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn every_cause_has_a_hypothesis_in_its_place() {
        let causes: Vec<Cause> = ALL.iter().map(|hypothesis| hypothesis.cause).collect();
        assert_eq!(causes, Cause::iter().collect::<Vec<_>>());
    }

    fn concluded(left: &[(Cause, Support)]) -> (Option<Cause>, Option<Confidence>, usize) {
        let left = left.iter().map(|&(cause, support)| Explanation {
            cause,
            support,
            evidence: EvidenceList::new(),
        });
        let inference = conclude(left.collect(), Vec::new());
        (inference.cause, inference.confidence, inference.evidence.len())
    }

    #[test]
    fn confidence_follows_from_what_is_left() {
        use Cause::{AcceptQueueOverflow as Overflow, AckLost, DeferAccept};
        let likely = (Some(Overflow), Some(Confidence::Likely), 0);
        assert_eq!(concluded(&[(Overflow, Support::Supported)]), likely);
        assert_eq!(concluded(&[(Overflow, Support::Fits)]), (Some(Overflow), Some(Confidence::Possible), 0));
        let ahead = [(AckLost, Support::Fits), (Overflow, Support::Proven)];
        assert_eq!(concluded(&ahead), (Some(Overflow), Some(Confidence::Possible), 1));
        let tied = [(Overflow, Support::Fits), (DeferAccept, Support::Fits), (AckLost, Support::Fits)];
        assert_eq!(concluded(&tied), (None, None, 3));
        assert_eq!(concluded(&[]), (None, None, 0));
    }
}
