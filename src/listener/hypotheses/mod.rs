//! Differential diagnosis: every cause is a hypothesis, in a file of its own (DOMAIN §3, §5).
//!
//! A hypothesis defines which attempts it can explain, which facts support it, and which exclude it. Confidence is not
//! handed out by any of them: it follows from the hypotheses that are left.
//!
//! - One is left, and facts support it without a doubt among its evidence: `likely`.
//! - One is left that nothing supports, or several of which one is clearly ahead: `possible`, and the others are named.
//!   **Clearly ahead** is a hypothesis with more [`Support`] than any other that is left.
//! - Several are left, and none is clearly ahead: no cause, and all are named.
//! - The kernel's own evidence confirms a hypothesis, or excludes it, for as many attempts as it accounts for.
//! - Some causes packets alone show at `possible` at best.
//!
//! A new hypothesis is one file and one line in [`ALL`]; CONTRIBUTING.md has what else a new cause needs.

mod accept_queue_overflow;
mod ack_lost;
mod application_reset;
mod case;
mod client_gave_up;
mod counted;
mod defer_accept;
mod filtered;
mod firewall_reset;
mod health_check;
mod host_unreachable;
mod listener_closed;
mod losses;
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
use strum::EnumCount;

use case::RARE_ODDS;
pub(super) use case::{Case, SharedFacts, SiblingDrops};
use counted::Counted;
pub(super) use syn_scan::MANY_PORTS;

use super::verdict_set::VerdictSet;
use crate::handshake::{
    Cause, Confidence, Evidence, EvidenceList, Fact, Facts, Inference, RuledOut, RuledOutList, Verdict,
};

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

/// Result of weighing a hypothesis for one attempt by its packets.
#[derive(Debug, Clone)]
pub(super) enum Weight {
    /// The hypothesis explains nothing of this attempt.
    NotApplicable,
    /// Ruled out by this fact.
    Excluded(Evidence),
    /// Not ruled out, with its support and its evidence.
    Possible(Support, EvidenceList),
}

impl Weight {
    pub(super) fn fits(evidence: impl IntoIterator<Item = Evidence>) -> Self {
        Self::Possible(Support::Fits, evidence.into_iter().collect())
    }

    pub(super) fn supported(evidence: impl IntoIterator<Item = Evidence>) -> Self {
        Self::Possible(Support::Supported, evidence.into_iter().collect())
    }

    pub(super) fn proven(evidence: impl IntoIterator<Item = Evidence>) -> Self {
        Self::Possible(Support::Proven, evidence.into_iter().collect())
    }

    /// The evidence once the kernel's confirms the cause: doubts and limits of the capture do not matter any more.
    fn confirmed(self, kernel: Evidence) -> EvidenceList {
        let packets = match self {
            Self::Possible(_, evidence) => evidence,
            Self::NotApplicable | Self::Excluded(_) => EvidenceList::new(),
        };
        let packets = packets.into_iter().filter(|evidence| !evidence.is_doubt());
        std::iter::once(kernel).chain(packets).collect()
    }

    /// The evidence once points of the capture prove the cause.
    fn shown_by(self, points: Evidence) -> EvidenceList {
        let mut evidence = self.confirmed(points);
        if !matches!(points, Evidence::AckAtOnePoint) {
            evidence.retain(|one| !matches!(one, Evidence::AckAtOnePoint));
        }
        dedup(&mut evidence);
        evidence
    }

    /// The same, which only fits if there is doubt.
    pub(super) fn doubted_if(self, doubt: bool) -> Self {
        match self {
            Self::Possible(support, evidence) if doubt => {
                Self::Possible(support.min(Support::Fits), evidence)
            }
            other => other,
        }
    }
}

/// A cause and how it is weighed. The texts are the table in `docs/CAUSES.md`.
pub(super) struct Hypothesis {
    pub(super) cause: Cause,
    /// VerdictSet of the attempts that packets alone may show to have this cause.
    pub(super) explains: VerdictSet,
    /// The attempts that it explains, and the facts that show it.
    pub(super) shown_by: &'static str,
    /// Other explanations that look the same.
    pub(super) looks_like: &'static str,
    /// The facts that exclude it.
    pub(super) excluded_by: &'static str,
    /// Highest confidence that packets alone give.
    pub(super) surest: Confidence,
    /// The kernel's evidence that confirms it; empty if there is none.
    pub(super) confirmed_by: &'static str,
    /// A bundled capture that shows it.
    pub(super) example: &'static str,
    /// Weighs it for an attempt with a verdict that it explains.
    pub(super) weigh: fn(&Case<'_>) -> Weight,
    /// Judges it by what the kernel counted or dropped.
    pub(super) counted: fn(&Case<'_>) -> Counted,
}

/// A cause as the table in `docs/CAUSES.md` describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CauseGuide {
    /// The cause.
    pub cause: Cause,
    /// Facts that show the cause, in words.
    pub shown_by: &'static str,
    /// Causes and other things that look the same, in words.
    pub looks_like: &'static str,
    /// Facts that exclude the cause, in words.
    pub excluded_by: &'static str,
    /// Highest confidence that packets alone give.
    pub surest: Confidence,
    /// The kernel's evidence that confirms it, in words; empty if there is none.
    pub confirmed_by: &'static str,
    /// A bundled capture that shows it.
    pub example: &'static str,
}

/// All causes.
pub fn cause_guides() -> impl Iterator<Item = CauseGuide> {
    ALL.iter().map(|hypothesis| {
        let Hypothesis { cause, shown_by, looks_like, excluded_by, surest, confirmed_by, example, .. } =
            **hypothesis;
        CauseGuide { cause, shown_by, looks_like, excluded_by, surest, confirmed_by, example }
    })
}

/// All hypotheses, in the order of [`Cause`].
pub(super) static ALL: [&Hypothesis; Cause::COUNT] = [
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

/// A set of hypotheses, as bits by their places in [`ALL`].
type HypothesisSet = u32;

const ALL_HYPOTHESES: HypothesisSet = (1 << Cause::COUNT) - 1;

/// The hypotheses that explain each verdict.
static EXPLAINING: [HypothesisSet; Verdict::COUNT] = {
    let mut sets = [0; Verdict::COUNT];
    let mut place = 0;
    while place < Cause::COUNT {
        let mut verdict = 0;
        while verdict < Verdict::COUNT {
            if ALL[place].explains.has_place(verdict) {
                sets[verdict] |= 1 << place;
            }
            verdict += 1;
        }
        place += 1;
    }
    sets
};

/// The causes by which clients wait in vain: they explain nothing of a flood, whose SYNs nobody waits for.
const OUTSIDE_FLOODS: HypothesisSet = only(Cause::AcceptQueueOverflow)
    | only(Cause::SynQueueOverflow)
    | only(Cause::SynLimited)
    | only(Cause::SynLost)
    | only(Cause::SynackLost)
    | only(Cause::AckLost)
    | only(Cause::Filtered);

/// The hypothesis of a cause.
const fn only(cause: Cause) -> HypothesisSet {
    1 << cause as HypothesisSet
}

/// True if it is unlikely by chance that all `affected` attempts are of one kind and all `others` of another: of all
/// ways to affect as many, this one is rare.
pub(super) fn is_beyond_chance(affected: u32, others: u32) -> bool {
    let (few, many) = (u64::from(affected.min(others)), u64::from(affected.max(others)));
    let ways = (1..=few).try_fold(1_u64, |ways, n| {
        let ways = ways.saturating_mul(many + n) / n;
        if ways < RARE_ODDS { Ok(ways) } else { Err(ways) }
    });
    ways.unwrap_or_else(|enough| enough) >= RARE_ODDS
}

/// A hypothesis that is left.
struct Explanation {
    cause: Cause,
    support: Support,
    /// Highest confidence that its evidence gives: `Confirmed` only by the kernel's.
    surest: Confidence,
    evidence: EvidenceList,
}

/// Weighs a cause, other than a full accept queue, by which SYNs get no answer: `decided` by what is particular to it,
/// else by drops that it may explain.
fn weigh_dropped_syns(case: &Case<'_>, decided: impl FnOnce() -> Option<Weight>) -> Weight {
    if case.has_odd_answer() || case.attempt.was_rejected_first() {
        return Weight::NotApplicable;
    }
    if case.has(Fact::FirstSynAnswered) {
        return Weight::Excluded(Evidence::FirstSynMadeRequest);
    }
    if case.others_overflowed() == Some(true) {
        return Weight::Excluded(Evidence::OthersOverflowed);
    }
    if let Some(evidence) = chosen_by_header(case) {
        return Weight::Excluded(evidence);
    }
    decided().unwrap_or_else(|| {
        if let Some(evidence) = case.way_failed() {
            return Weight::Excluded(evidence);
        }
        let dropping =
            case.drops_cluster().is_some() || case.others_overflowed().is_some() || case.drops_with_sibling();
        if dropping { Weight::fits([]) } else { Weight::NotApplicable }
    })
}

/// Evidence that something which reads the headers of SYNs chose those that went unanswered, by timestamp or by option.
fn chosen_by_header(case: &Case<'_>) -> Option<Evidence> {
    old_connection::explains_by_stamps(case).or_else(|| option_blocked::explains_drops(case))
}

/// Result of weighing a hypothesis for one attempt by its packets and the kernel's evidence.
enum Assessment {
    /// It explains nothing of the attempt.
    NotApplicable,
    RuledOut(RuledOut),
    Possible(Explanation),
    /// The kernel counted it; it explains the attempt unless its packets show another cause.
    PossibleUnlessExplained(Explanation),
}

impl Assessment {
    /// Result where nothing but packets of one point is known: nearly always.
    fn by_packets(&Hypothesis { cause, surest, .. }: &Hypothesis, weight: Weight) -> Self {
        match weight {
            Weight::NotApplicable => Self::NotApplicable,
            Weight::Excluded(evidence) => Self::RuledOut(RuledOut { cause, evidence }),
            Weight::Possible(support, evidence) => {
                Self::Possible(Explanation { cause, support, surest, evidence })
            }
        }
    }
}

/// The cause that the points of the capture prove, and the evidence: of lost data its size may tell why.
fn located(case: &Case<'_>) -> Option<(Cause, Evidence)> {
    let (cause, evidence) = case.located()?;
    let by_size = case.verdict() == Verdict::AckIgnored && path_mtu::chooses_large(case);
    Some((if by_size { Cause::PathMtu } else { cause }, evidence))
}

/// Assesses a hypothesis of this weight by what several points show, and by the kernel's evidence.
fn assess(hypothesis: &Hypothesis, weight: Weight, case: &Case<'_>) -> Assessment {
    let Hypothesis { cause, surest, .. } = *hypothesis;
    let confirmed = |weight: Weight, evidence| Explanation {
        cause,
        support: Support::Proven,
        surest: Confidence::Confirmed,
        evidence: weight.confirmed(evidence),
    };
    // The kernel's own event of a segment of this attempt proves its cause, whatever counts and packets leave open. That a port
    // is closed, or filtered, is no cause of its own where a scan knocks at it.
    let is_of_scan = || matches!(cause, Cause::PortClosed | Cause::Filtered) && syn_scan::is_knock(case);
    if let Some(dropped) = case.dropped
        && dropped.cause == cause
        && cause != Cause::AcceptQueueOverflow
        && !is_of_scan()
    {
        return Assessment::Possible(confirmed(weight, dropped.evidence()));
    }
    if let Some((located, evidence)) = located(case).filter(|_| !syn_flood::is_part(case)) {
        if located == cause {
            return Assessment::Possible(Explanation {
                cause,
                support: Support::Proven,
                surest,
                evidence: weight.shown_by(evidence),
            });
        }
        if is_elsewhere(cause) && matches!(weight, Weight::Possible(..) | Weight::Excluded(_)) {
            return Assessment::RuledOut(RuledOut { cause, evidence });
        }
    }
    if let Some(made) = case.points.answer_made.filter(|_| case.answered_on_way())
        && is_elsewhere(cause)
        && matches!(weight, Weight::Possible(..) | Weight::Excluded(_))
    {
        return Assessment::RuledOut(RuledOut { cause, evidence: Evidence::MadeBetween(made) });
    }
    let counted = if case.has_kernel_evidence() { (hypothesis.counted)(case) } else { Counted::Nothing };
    match (weight, counted) {
        (weight, Counted::Nothing) => Assessment::by_packets(hypothesis, weight),
        (Weight::Excluded(evidence), _) | (Weight::Possible(..), Counted::Excludes(evidence)) => {
            Assessment::RuledOut(RuledOut { cause, evidence })
        }
        (weight, Counted::Confirms(evidence)) => Assessment::Possible(confirmed(weight, evidence)),
        (weight @ Weight::Possible(..), Counted::ConfirmsPossible(by) | Counted::ConfirmsUnexplained(by)) => {
            Assessment::Possible(confirmed(weight, by))
        }
        (Weight::NotApplicable, Counted::ConfirmsUnexplained(evidence)) => {
            Assessment::PossibleUnlessExplained(confirmed(Weight::NotApplicable, evidence))
        }
        (Weight::NotApplicable, _) => Assessment::NotApplicable,
        (Weight::Possible(support, mut evidence), Counted::Supports(counted)) => {
            evidence.insert(0, counted);
            Assessment::Possible(Explanation { cause, support, surest, evidence })
        }
    }
}

/// True if the cause is excluded by a place on the way where segments were lost, or made up: it is what the server did, or
/// what another segment met.
const fn is_elsewhere(cause: Cause) -> bool {
    match cause {
        Cause::AcceptQueueOverflow
        | Cause::DeferAccept
        | Cause::ListenerClosed
        | Cause::SynQueueOverflow
        | Cause::SynLimited
        | Cause::OldConnection
        | Cause::FirewallReset
        | Cause::TwoAnswers
        | Cause::SynLost
        | Cause::SynackLost
        | Cause::AckLost
        | Cause::PortClosed
        | Cause::HostUnreachable
        | Cause::Filtered
        | Cause::ClientGaveUp
        | Cause::ApplicationReset => true,
        // They say why it was lost there, or whose it is.
        Cause::NatMismatch
        | Cause::OptionBlocked
        | Cause::PathMtu
        | Cause::SynFlood
        | Cause::SynScan
        | Cause::HealthCheck => false,
    }
}

/// Infers what an attempt means.
pub(super) fn infer(case: &Case<'_>) -> Inference {
    let mut left: SmallVec<[Explanation; 4]> = SmallVec::new();
    let mut ruled_out = RuledOutList::new();
    let mut counted: Option<Explanation> = None;
    // The kernel, or a second point, may show what the verdict does not.
    let more_is_known =
        case.has_kernel_evidence() || located(case).is_some() || case.points.answer_made.is_some();
    let explaining = EXPLAINING[case.verdict() as usize];
    let in_flood = explaining & OUTSIDE_FLOODS != 0 && syn_flood::is_part(case);
    let weighed = if in_flood { explaining & !OUTSIDE_FLOODS } else { explaining };
    let mut considered = if more_is_known { ALL_HYPOTHESES } else { weighed };
    while considered != 0 {
        let place = considered.trailing_zeros();
        considered &= considered - 1;
        let hypothesis = ALL[place as usize];
        let weight = if weighed >> place & 1 == 1 { (hypothesis.weigh)(case) } else { Weight::NotApplicable };
        let assessment = if more_is_known {
            assess(hypothesis, weight, case)
        } else {
            Assessment::by_packets(hypothesis, weight)
        };
        match assessment {
            Assessment::NotApplicable => {}
            Assessment::RuledOut(one) => ruled_out.push(one),
            Assessment::Possible(one) => left.push(one),
            Assessment::PossibleUnlessExplained(one) => counted = Some(one),
        }
    }
    // Loss and filters show by silence alone, which the kernel's count explains better.
    let by_silence = |one: &Explanation| matches!(one.cause, Cause::Filtered | Cause::SynLost);
    if left.iter().all(by_silence) || !is_ahead(&mut left) {
        left.extend(counted);
    }
    if left.iter().any(|one| one.surest == Confidence::Confirmed) {
        left.retain(|one| one.surest == Confidence::Confirmed);
    }
    let denial = Evidence::KernelDidNotOverflow;
    let denied = ruled_out.iter().any(|one| one.evidence == denial);
    let mut inference = conclude(&mut left, ruled_out);
    if denied {
        inference.evidence.insert(0, denial);
    }
    qualify(&mut inference, case);
    inference
}

/// Weakens an inference that the capture cannot support, and names the alternatives.
fn qualify(inference: &mut Inference, case: &Case<'_>) {
    if let Some((cause, _)) = located(case)
        && inference.cause == Some(cause)
    {
        confirm_by_points(inference, case);
    }
    // A SYN that no operating system sends shows a flood or a scan whatever is missing.
    let by_form = case.has(Fact::SynWithoutOptions)
        && matches!(inference.cause, Some(Cause::SynFlood | Cause::SynScan));
    let weakened = case.limits.weaken(case.attempt) && !by_form;
    if weakened && inference.confidence == Some(Confidence::Likely) {
        inference.confidence = Some(Confidence::Possible);
        inference.evidence.push(case.limits.evidence());
    }
    if let Some(cause) = inference.cause
        && inference.confidence == Some(Confidence::Possible)
        && !inference.evidence.iter().any(|evidence| evidence.is_doubt())
    {
        inference.evidence.push(Evidence::Otherwise(cause));
    }
    if inference.confidence <= Some(Confidence::Possible)
        && let Some(evidence) = option_blocked::sets_apart(case)
    {
        inference.evidence.extend([evidence, Evidence::CouldBe(Cause::OptionBlocked)]);
    }
    if let Some(made) = case.points.answer_made {
        inference.evidence.insert(0, Evidence::MadeBetween(made));
    }
    if inference.cause.is_none() && case.is_answer_to_fin() {
        inference.evidence.push(Evidence::RstAfterFin);
    }
    if case.attempt.is_delay_unclear() {
        inference.evidence.push(Evidence::DelayUnclear);
    }
    let unfinished = matches!(case.verdict(), Verdict::HalfOpen | Verdict::Unanswered);
    if inference.cause.is_none() && unfinished && case.has(Fact::SynWithoutOptions) {
        inference.evidence.push(Evidence::SynWithoutOptions);
    }
    if inference.cause.is_none() && case.has(Fact::RstWrongAck) {
        inference.evidence.push(Evidence::RstWrongAck);
    }
    if inference.cause == Some(Cause::AcceptQueueOverflow) {
        inference.abort_on_overflow = accept_queue_overflow::setting(case);
        if inference.confidence == Some(Confidence::Confirmed) {
            let event = case.dropped.filter(|dropped| dropped.cause == Cause::AcceptQueueOverflow);
            event.into_iter().for_each(|event| inference.evidence.insert(1, event.evidence()));
            // The setting may have been changed since; the packets show what was in force.
            let read = case.kernel.and_then(|kernel| kernel.abort_on_overflow);
            inference.abort_on_overflow = inference.abort_on_overflow.or(read);
        }
    }
}

/// True if the first hypothesis, once they are in order of support, is clearly ahead of the others.
fn is_ahead(left: &mut [Explanation]) -> bool {
    // Stable: causes of the same support stay in their order.
    left.sort_by_key(|one| std::cmp::Reverse(one.support));
    match left {
        [] => false,
        [_] => true,
        [first, second, ..] => first.support > second.support,
    }
}

/// Two points that between them saw a segment vanish confirm its loss (DOMAIN §7), unless the captures lost packets, or
/// nobody counted those that they lost. Where a later segment passed both, that they show no gap in any attempt is enough.
fn confirm_by_points(inference: &mut Inference, case: &Case<'_>) {
    inference.evidence.retain(|evidence| !matches!(evidence, Evidence::CouldBe(_)));
    let whole = !case.limits.drops && !case.limits.gaps;
    let complete =
        whole && (case.points.is_counted || case.points.is_without_gap && case.is_ack_lost_between_points());
    inference.confidence = Some(if complete { Confidence::Confirmed } else { Confidence::Likely });
}

/// The inference from the hypotheses that are left.
fn conclude(left: &mut SmallVec<[Explanation; 4]>, ruled_out: RuledOutList) -> Inference {
    if !is_ahead(left) {
        let mut evidence: EvidenceList = left.iter().flat_map(|one| one.evidence.clone()).collect();
        evidence.extend(left.iter().map(|one| Evidence::CouldBe(one.cause)));
        dedup(&mut evidence);
        return Inference { evidence, ruled_out, ..Inference::default() };
    }
    let first = left.remove(0);
    let is_doubted = first.evidence.iter().any(|evidence| evidence.is_doubt());
    let sure = left.is_empty() && first.support >= Support::Supported && !is_doubted;
    let mut evidence = first.evidence;
    evidence.extend(left.iter().map(|one| Evidence::CouldBe(one.cause)));
    Inference {
        cause: Some(first.cause),
        abort_on_overflow: None,
        confidence: Some(if sure { first.surest } else { Confidence::Possible }),
        evidence,
        ruled_out,
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

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn every_cause_has_a_hypothesis_in_its_place() {
        let causes: Vec<Cause> = ALL.iter().map(|hypothesis| hypothesis.cause).collect();
        assert_eq!(causes, Cause::iter().collect::<Vec<_>>());
    }

    #[test]
    fn two_of_two_may_be_chance_and_three_of_three_is_not() {
        let pairs = [(0, 0), (2, 0), (2, 2), (1, 18), (3, 3), (1, 19), (2, 12), (4_000_000, 4_000_000)];
        assert_eq!(
            pairs.map(|(affected, others)| is_beyond_chance(affected, others)),
            [false, false, false, false, true, true, true, true]
        );
    }

    fn concluded(left: &[(Cause, Support)]) -> (Option<Cause>, Option<Confidence>, usize) {
        let left = left.iter().map(|&(cause, support)| Explanation {
            cause,
            support,
            surest: Confidence::Likely,
            evidence: EvidenceList::new(),
        });
        let inference = conclude(&mut left.collect(), RuledOutList::new());
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

    #[test]
    fn what_names_a_doubt_itself_is_possible_though_it_is_ahead() {
        let (cause, support, surest) = (Cause::OldConnection, Support::Supported, Confidence::Likely);
        let evidence = [Evidence::Otherwise(cause)].into_iter().collect();
        let mut left = SmallVec::from_iter([Explanation { cause, support, surest, evidence }]);
        let inference = conclude(&mut left, RuledOutList::new());
        assert_eq!((inference.cause, inference.confidence), (Some(cause), Some(Confidence::Possible)));
    }
}
