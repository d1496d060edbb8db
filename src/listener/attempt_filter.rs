//! Choice of the attempts that an output lists: `--verdict` and `--cause`.

use strum::EnumCount;

use super::VerdictSet;
use crate::handshake::{Attempt, Cause, Confidence, Inference};

/// A set of causes, each with the least confidence that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CauseSet([Option<Confidence>; Cause::COUNT]);

impl CauseSet {
    /// True if the inference has a cause of the set, and is sure enough of it.
    #[must_use]
    pub fn contains(self, inference: &Inference) -> bool {
        let least = inference.cause.and_then(|cause| self.0[cause as usize]);
        least.is_some() && inference.confidence >= least
    }
}

impl FromIterator<(Cause, Confidence)> for CauseSet {
    /// Of a cause that comes twice the lesser confidence counts.
    fn from_iter<I: IntoIterator<Item = (Cause, Confidence)>>(causes: I) -> Self {
        let mut set = Self([None; Cause::COUNT]);
        for (cause, least) in causes {
            let known = &mut set.0[cause as usize];
            *known = Some(known.map_or(least, |known| known.min(least)));
        }
        set
    }
}

/// The attempts that an output lists: those with one of these verdicts and one of these causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttemptFilter {
    /// The verdicts; any when `None`.
    pub verdicts: Option<VerdictSet>,
    /// The causes; any, and none at all, when `None`.
    pub causes: Option<CauseSet>,
}

impl AttemptFilter {
    /// The attempts that failed, stalled or lied.
    #[must_use]
    pub fn problems() -> Self {
        Self::default().or_verdicts(VerdictSet::problems())
    }

    /// The same filter where an output lists only attempts with these verdicts unless it is told what to list. A cause tells
    /// it: that may be one of completed attempts.
    #[must_use]
    pub fn or_verdicts(self, default: VerdictSet) -> Self {
        let default = if self.causes.is_some() { VerdictSet::ALL } else { default };
        Self { verdicts: self.verdicts.or(Some(default)), ..self }
    }

    /// True if the attempt is listed, by the cause that it has now.
    #[must_use]
    pub fn lists(&self, attempt: &Attempt) -> bool {
        self.lists_verdict_of(attempt) && self.lists_cause_of(attempt)
    }

    /// True if the verdict is one of those listed: the cause may become known later.
    #[must_use]
    pub fn lists_verdict_of(&self, attempt: &Attempt) -> bool {
        self.verdicts.is_none_or(|verdicts| verdicts.contains(attempt.verdict))
    }

    /// True if the cause that the attempt has now is one of those listed.
    #[must_use]
    pub fn lists_cause_of(&self, attempt: &Attempt) -> bool {
        self.causes.is_none_or(|causes| causes.contains(&attempt.inference))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::Verdict;
    use crate::report::samples;

    fn listed(filter: AttemptFilter) -> usize {
        samples::overflow_mixed().1.iter().filter(|attempt| filter.lists(attempt)).count()
    }

    fn with(causes: &[(Cause, Confidence)]) -> AttemptFilter {
        AttemptFilter { causes: Some(causes.iter().copied().collect()), ..AttemptFilter::default() }
    }

    #[test]
    fn an_attempt_has_to_fit_by_verdict_and_by_cause() {
        let overflow = Cause::AcceptQueueOverflow;
        assert_eq!(listed(AttemptFilter::default()), 60);
        assert_eq!(listed(AttemptFilter::problems()), 50);
        assert_eq!(listed(with(&[(overflow, Confidence::Possible)])), 50);
        assert_eq!(listed(with(&[(overflow, Confidence::Confirmed)])), 0);
        let twice = [(overflow, Confidence::Confirmed), (overflow, Confidence::Likely)];
        assert_eq!(listed(with(&twice)), 50, "the lesser confidence counts");
        assert_eq!(listed(with(&[(Cause::PortClosed, Confidence::Possible)])), 0);
        let verdicts = Some(VerdictSet::of(&[Verdict::SynackRetransmitted, Verdict::Completed]));
        assert_eq!(listed(AttemptFilter { verdicts, ..with(&twice) }), 3);
    }

    #[test]
    fn a_cause_alone_lists_every_verdict() {
        let chosen = with(&[(Cause::PathMtu, Confidence::Possible)]);
        assert_eq!(chosen.or_verdicts(VerdictSet::problems()).verdicts, Some(VerdictSet::ALL));
        let verdicts = Some(VerdictSet::of(&[Verdict::Completed]));
        let both = AttemptFilter { verdicts, ..chosen };
        assert_eq!(both.or_verdicts(VerdictSet::problems()), both);
    }
}
