//! The words of `--verdict`, `--cause` and `--fail-on`: their parsers know all of them, for completions and suggestions.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use strum::IntoEnumIterator;

use crate::command::{Condition, UnknownCondition};
use crate::handshake::{Cause, Confidence, Verdict};
use crate::listener::{AttemptFilter, CauseSet, VerdictSet};

/// The word for all verdicts of attempts that failed, stalled or lied.
const PROBLEM: &str = "problem";

/// The values of `--verdict`.
pub(super) fn verdict_names() -> PossibleValuesParser {
    let verdicts = Verdict::iter().map(Verdict::name);
    PossibleValuesParser::new(verdicts.chain([PROBLEM]))
}

/// A cause, and the least confidence in it that counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct CauseWord(Cause, Confidence);

/// Parser of words that may carry a confidence.
#[derive(Clone)]
pub(super) struct ConditionParser<T> {
    /// The words without a confidence.
    words: fn() -> Vec<&'static str>,
    /// The meaning of such a condition; `None` for a word of another option.
    meaning: fn(Condition) -> Option<T>,
}

impl ConditionParser<Condition> {
    /// The values of `--fail-on`.
    pub(super) const FAIL_ON: Self = Self { words: || Condition::words().collect(), meaning: Some };
}

impl ConditionParser<CauseWord> {
    /// The values of `--cause`.
    pub(super) const CAUSE: Self = Self {
        words: || Cause::iter().map(Cause::name).collect(),
        meaning: |condition| {
            let (cause, least) = condition.cause()?;
            Some(CauseWord(cause, least.unwrap_or(Confidence::Possible)))
        },
    };
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for ConditionParser<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let word = value.to_string_lossy();
        let unknown = match word.parse::<Condition>() {
            Ok(condition) => match (self.meaning)(condition) {
                Some(meaning) => return Ok(meaning),
                None => UnknownCondition::Subject(word.into_owned()),
            },
            Err(error) => error,
        };
        Err(match unknown {
            // clap suggests the word that was meant.
            UnknownCondition::Subject(_) => PossibleValuesParser::new((self.words)())
                .parse_ref(command, argument, value)
                .map_or_else(|error| error, |_| command.clone().error(ErrorKind::InvalidValue, &unknown)),
            UnknownCondition::Confidence(_) | UnknownCondition::Worse => {
                let option = argument.and_then(clap::Arg::get_long).unwrap_or_default();
                let message = format!("invalid value '{}' for '--{option}': {unknown}", value.display());
                command.clone().error(ErrorKind::InvalidValue, message)
            }
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.words)().into_iter().map(PossibleValue::new)))
    }
}

/// The attempts that these words of `--verdict`, which clap has checked, and of `--cause` choose.
pub(super) fn chosen(verdicts: &[String], causes: &[CauseWord]) -> AttemptFilter {
    let causes = causes.iter().map(|&CauseWord(cause, least)| (cause, least));
    AttemptFilter {
        verdicts: (!verdicts.is_empty()).then(|| verdict_set(verdicts)),
        causes: (causes.len() > 0).then(|| causes.collect::<CauseSet>()),
    }
}

fn verdict_set(names: &[String]) -> VerdictSet {
    let mut set = VerdictSet::EMPTY;
    for name in names {
        if name == PROBLEM {
            set.extend(Verdict::iter().filter(|verdict| verdict.is_problem()));
        }
        set.extend(name.parse::<Verdict>());
    }
    set
}
