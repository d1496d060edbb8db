//! A path drops SYNs that carry an option: Multipath TCP, Fast Open, ECN (DOMAIN §5).

use super::{Case, Hypothesis, Support, VerdictSet, Weight, counted};
use crate::handshake::{Cause, Confidence, Evidence, EvidenceList, Fact, Verdict};
use crate::listener::observed::Features;

pub(super) static HYPOTHESIS: Hypothesis = Hypothesis {
    cause: Cause::OptionBlocked,
    explains: VerdictSet::of(&[Verdict::CompletedLate]),
    shown_by: "only a retry without the option is answered, and at once, on several attempts, while SYNs without it are \
               answered at once",
    looks_like: "loss by chance",
    excluded_by: "SYNs with the option that are answered",
    surest: Confidence::Likely,
    confirmed_by: "",
    example: "option-blocked.pcap",
    weigh,
    counted: counted::nothing,
};

/// Fewest attempts that need a retry without the option.
const MIN_RETRIED: u32 = 2;

fn weigh(case: &Case<'_>) -> Weight {
    if !case.has(Fact::RetryWithoutFeature) || case.attempt.was_rejected_first() {
        return Weight::NotApplicable;
    }
    let Features { answered, left_out, dropped, .. } = case.own.features;
    if answered > 0 {
        return Weight::Excluded(Evidence::ListenerAnswersOthers);
    }
    let mut evidence = EvidenceList::new();
    evidence.push(Evidence::FeatureDropped);
    if left_out >= MIN_RETRIED {
        evidence.push(Evidence::FeatureBlockedOften(dropped));
    }
    let support = if left_out >= MIN_RETRIED { Support::Proven } else { Support::Fits };
    Weight::Possible(support, evidence)
}

/// Evidence that the option decided which SYNs went unanswered: in that stretch all had it, and those without it were answered,
/// too many to be chance. Neither a full queue nor loss looks at options.
pub(super) fn explains_drops(case: &Case<'_>) -> Option<Evidence> {
    let by_option = case.has(Fact::RetryWithoutFeature) && case.own.features.answered == 0;
    let stretch =
        case.stretch().filter(|stretch| by_option && stretch.without_feature == stretch.attempts)?;
    let answered = case.own.drops.answered_within(stretch);
    super::is_beyond_chance(stretch.attempts, answered)
        .then_some(Evidence::FeatureBlockedOften(case.own.features.dropped))
}

/// Evidence that an option may decide which SYNs are refused or unanswered, where no client leaves it out: all that have it are, and
/// none without it, too many of both in the same time to be chance.
pub(super) fn sets_apart(case: &Case<'_>) -> Option<Evidence> {
    let tells = matches!(case.verdict(), Verdict::Refused | Verdict::Unanswered)
        && case.has(Fact::SynWithOptionalFeature)
        && !case.has(Fact::RetryWithoutFeature);
    let (from, to) = case.own.features.set_apart().filter(|_| tells)?;
    let attempts = case.own.features.in_vain;
    super::is_beyond_chance(attempts, case.own.drops.answered_between(from, to))
        .then_some(Evidence::FeatureBlockedOften(attempts))
}
