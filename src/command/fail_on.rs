//! `--fail-on`: the results that make the exit status 1.

use std::fmt;
use std::str::FromStr;

use strum::IntoEnumIterator;

use crate::engine::{Limit, Summary};
use crate::handshake::{Cause, Confidence, Verdict};
use crate::listener::comparison::{BaselineComparison, Change};
use crate::listener::{CauseCount, Listener};

/// Subject of a condition: what an attempt or a listener must have to meet it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    /// An attempt with this verdict.
    Verdict(Verdict),
    /// An attempt or a listener with this cause.
    Cause(Cause),
    /// An attempt that failed, stalled or lied, or a listener that the kernel saw overflow.
    Problem,
    /// An attempt that completed late, or to which the server answered late.
    Late,
    /// A listener that is worse than in the baseline.
    Worse,
}

impl Subject {
    /// The word for [`Subject::Problem`].
    const PROBLEM: &'static str = "problem";
    /// The word for [`Subject::Late`].
    const LATE: &'static str = "late";
    /// The word for [`Subject::Worse`].
    const WORSE: &'static str = "worse";

    fn named(word: &str) -> Option<Self> {
        match word {
            Self::PROBLEM => Some(Self::Problem),
            Self::LATE => Some(Self::Late),
            Self::WORSE => Some(Self::Worse),
            _ => word.parse().map(Self::Verdict).ok().or_else(|| word.parse().map(Self::Cause).ok()),
        }
    }
}

/// Condition of `--fail-on`: a verdict, a cause, `problem` or `late`, with an optional least confidence; or `worse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    subject: Subject,
    least: Option<Confidence>,
}

/// A word that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownCondition {
    /// Neither a verdict nor a cause.
    #[error("'{0}' is no verdict, cause, 'late', 'problem' or 'worse'")]
    Subject(String),
    /// The confidence after the colon is unknown.
    #[error("':{0}' is no confidence: ':possible', ':likely' and ':confirmed' are")]
    Confidence(String),
    /// `worse` with a confidence.
    #[error("'worse' has no confidence")]
    Worse,
}

impl FromStr for Condition {
    type Err = UnknownCondition;

    fn from_str(text: &str) -> Result<Self, UnknownCondition> {
        let (word, least) = match text.split_once(':') {
            None => (text, None),
            Some((word, confidence)) => match confidence.parse() {
                Ok(least) => (word, Some(least)),
                Err(_) => return Err(UnknownCondition::Confidence(confidence.to_owned())),
            },
        };
        let subject = Subject::named(word).ok_or_else(|| UnknownCondition::Subject(word.to_owned()))?;
        if subject == Subject::Worse && least.is_some() {
            return Err(UnknownCondition::Worse);
        }
        Ok(Self { subject, least })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.subject {
            Subject::Verdict(verdict) => verdict.name(),
            Subject::Cause(cause) => cause.name(),
            Subject::Problem => Subject::PROBLEM,
            Subject::Late => Subject::LATE,
            Subject::Worse => Subject::WORSE,
        };
        f.write_str(word)?;
        self.least.map_or(Ok(()), |least| write!(f, ":{}", least.name()))
    }
}

impl Condition {
    /// Every word without a confidence, for help and completions.
    pub fn words() -> impl Iterator<Item = &'static str> {
        let verdicts = Verdict::iter().map(Verdict::name);
        let own = [Subject::PROBLEM, Subject::LATE, Subject::WORSE].into_iter();
        own.chain(verdicts).chain(Cause::iter().map(Cause::name))
    }

    /// The cause that it is about, and the least confidence; `None` where it is about something else.
    #[must_use]
    pub fn cause(self) -> Option<(Cause, Option<Confidence>)> {
        match self.subject {
            Subject::Cause(cause) => Some((cause, self.least)),
            Subject::Verdict(_) | Subject::Problem | Subject::Late | Subject::Worse => None,
        }
    }

    /// True for `worse`, which needs a baseline.
    #[must_use]
    pub fn needs_baseline(self) -> bool {
        self.subject == Subject::Worse
    }

    fn is_met(self, summary: &Summary, comparison: Option<&BaselineComparison<'_>>) -> bool {
        if self.subject == Subject::Worse {
            return comparison.and_then(BaselineComparison::result) == Some(Change::Worse);
        }
        summary.listeners.iter().any(|listener| self.is_met_at(listener))
    }

    /// True if a limit of the captures would hide what meets the condition, so that nothing shows that it is not met.
    fn is_voided(self, summary: &Summary) -> bool {
        let (coverage, lacks_acks) = (&summary.coverage, summary.packets.survey.lacks_bare_acks());
        let lacks_direction = coverage.one_direction();
        match self.subject {
            // Neither needs an ACK to show.
            Subject::Verdict(Verdict::Refused | Verdict::Unreachable)
            | Subject::Cause(Cause::PortClosed | Cause::HostUnreachable) => {
                coverage.is_all_of(lacks_direction)
            }
            Subject::Late if summary.limits().iter().any(Limit::is_of_clock) => true,
            Subject::Verdict(_) | Subject::Cause(_) | Subject::Problem | Subject::Late | Subject::Worse => {
                coverage.is_all_of(lacks_direction.union(lacks_acks))
            }
        }
    }

    fn is_met_at(self, listener: &Listener) -> bool {
        let sure = |confidence: Option<Confidence>| confidence.is_some() && confidence >= self.least;
        // The kernel may have counted an overflow that no attempt shows.
        let counted = listener.cause.filter(|_| sure(listener.confidence));
        let explained = |cause: &CauseCount, verdict| sure(cause.surest(verdict));
        match (self.subject, self.least) {
            (Subject::Cause(wanted), _) => {
                let count = listener.causes.iter().find(|count| count.cause == wanted);
                counted == Some(wanted)
                    || count.is_some_and(|count| Verdict::iter().any(|verdict| explained(count, verdict)))
            }
            (Subject::Verdict(wanted), None) => listener.verdicts.get(wanted) > 0,
            (Subject::Verdict(wanted), Some(_)) => {
                listener.causes.iter().any(|count| explained(count, wanted))
            }
            // Not a matter of one listener of this analysis alone.
            (Subject::Worse, _) => false,
            (Subject::Late, None) => listener.late > 0,
            (Subject::Late, Some(_)) => listener.causes.iter().any(|count| sure(count.surest_late)),
            (Subject::Problem, _) if counted == Some(Cause::AcceptQueueOverflow) => true,
            (Subject::Problem, None) => listener.problems() > 0,
            (Subject::Problem, Some(_)) => {
                listener.causes.iter().filter(|count| !count.cause.is_harmless()).any(|count| {
                    let is_problem =
                        |v: Verdict| v.is_problem() || count.cause.breaks_completed() && v.is_completed();
                    Verdict::iter().any(|v| is_problem(v) && explained(count, v))
                })
            }
        }
    }
}

/// Result of comparing the analysis with the conditions of `--fail-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// No condition was given, or none is met.
    Passed,
    /// A condition is met.
    Failed,
    /// Conditions were given, and there is no attempt to judge by them: none at all, or all are undetermined.
    NothingToJudge,
    /// No condition is met, and limits of the captures would hide it if one were.
    Voided(Condition),
    /// `worse` was given, and no listener has attempts to judge in both analyses.
    NothingToCompare,
}

/// Compares the results with the conditions, by the final verdict and cause of each attempt, as in the report.
pub(super) fn judge(
    conditions: &[Condition],
    summary: &Summary,
    comparison: Option<&BaselineComparison<'_>>,
) -> Judgement {
    let judged = summary.verdicts.total() - summary.verdicts.get(Verdict::Undetermined);
    if conditions.iter().any(|condition| condition.is_met(summary, comparison)) {
        Judgement::Failed
    } else if !conditions.is_empty() && judged == 0 {
        Judgement::NothingToJudge
    } else if conditions.iter().any(|condition| condition.needs_baseline())
        && comparison.is_none_or(|comparison| comparison.result().is_none())
    {
        Judgement::NothingToCompare
    } else {
        let voided = conditions.iter().find(|condition| condition.is_voided(summary));
        voided.map_or(Judgement::Passed, |&condition| Judgement::Voided(condition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::Tally;
    use crate::report::samples;

    fn judged(words: &str, (summary, _): &samples::Sample) -> Judgement {
        let conditions: Vec<Condition> = words.split(',').map(|word| word.parse().unwrap()).collect();
        judge(&conditions, summary, None)
    }

    #[test]
    fn a_condition_is_a_verdict_or_a_cause_and_perhaps_how_sure() {
        let overflow = samples::overflow_mixed();
        for met in [
            "problem",
            "problem:likely",
            "unanswered",
            "synack-retransmitted:likely",
            "accept-queue-overflow",
            "accept-queue-overflow:likely",
            "refused,completed",
        ] {
            assert_eq!(judged(met, &overflow), Judgement::Failed, "{met}");
        }
        for unmet in ["refused", "port-closed", "accept-queue-overflow:confirmed", "problem:confirmed"] {
            assert_eq!(judged(unmet, &overflow), Judgement::Passed, "{unmet}");
        }
        let possible = samples::ipv6();
        assert_eq!(judged("problem", &possible), Judgement::Failed);
        assert_eq!(judged("problem:likely", &possible), Judgement::Passed);
    }

    #[test]
    fn no_attempts_are_no_pass() {
        assert_eq!(judged("problem", &samples::midstream()), Judgement::NothingToJudge);
        assert_eq!(judge(&[], &samples::midstream().0, None), Judgement::Passed);
        let (mut unclear, attempts) = samples::overflow_mixed();
        unclear.listeners.clear();
        unclear.verdicts = Tally::default();
        attempts.iter().for_each(|_| unclear.verdicts.add(Verdict::Undetermined));
        assert_eq!(judge(&["problem".parse().unwrap()], &unclear, None), Judgement::NothingToJudge);
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for word in Condition::words() {
            assert_eq!(word.parse::<Condition>().unwrap().to_string(), word);
            for sure in ["possible", "likely", "confirmed"].map(|least| format!("{word}:{least}")) {
                if word == "worse" {
                    assert!(sure.parse::<Condition>().unwrap_err().to_string().contains("no confidence"));
                    continue;
                }
                assert_eq!(sure.parse::<Condition>().unwrap().to_string(), sure);
            }
        }
        assert!("problem:maybe".parse::<Condition>().unwrap_err().to_string().contains("':likely'"));
        assert!("problems".parse::<Condition>().is_err());
    }
}
