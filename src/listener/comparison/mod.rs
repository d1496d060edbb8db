//! Comparison of the listeners of an analysis with those of an earlier one, the baseline: what became worse or better.
//!
//! Owns the rule of `worse` and `better` (`docs/COMPARE.md`). Does not own how a baseline is read, nor the sentences
//! (`report`).

mod chance;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use strum::{EnumIter, IntoStaticStr};

pub use self::chance::Portion;
use self::chance::chance_of_rise;
use super::{Listener, Percentiles};
use crate::handshake::{Cause, Confidence, Verdict};
use crate::packet::Endpoint;

/// Probability that any listener is called worse by chance alone, over all listeners and shares that are compared: each of
/// these gets an equal part of it (Bonferroni's correction). The same for better.
pub const FALSE_ALARM: f64 = 0.01;

/// A share that differs beyond chance and yet by less than this many parts of one, and by less than a factor of two, is no
/// change: of millions of attempts, the least difference is beyond chance.
const LEAST_CHANGE: f64 = 0.01;

/// A cause that is new counts if the baseline would have shown it with this probability, had it been as frequent then.
const SHOWN_BEFORE: f64 = 0.95;

/// The figures of a listener that are compared.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ComparedFigures {
    /// All attempts.
    pub attempts: u64,
    /// Attempts that are not undetermined: the shares are parts of these.
    pub judged: u64,
    /// Attempts that failed or lied, and did not just come late.
    pub failed: u64,
    /// Attempts that completed late, or were answered late.
    pub late: u64,
    /// The causes that explain some of them.
    pub causes: Vec<ComparedCause>,
    /// First SYN to the SYN-ACK that the client took.
    pub connect_time: Option<Percentiles>,
}

/// A cause, and what of a listener's attempts it explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComparedCause {
    /// The cause.
    pub cause: Cause,
    /// The highest confidence of an attempt.
    pub confidence: Confidence,
    /// The attempts that it explains.
    pub attempts: u64,
}

impl ComparedFigures {
    /// The figures of a listener of an analysis.
    #[must_use]
    pub fn of(listener: &Listener) -> Self {
        let causes = listener.causes.iter().filter_map(|count| {
            let confidence = count.confidence()?;
            Some(ComparedCause { cause: count.cause, confidence, attempts: count.verdicts.total() })
        });
        Self {
            attempts: listener.verdicts.total(),
            judged: listener.verdicts.total() - listener.verdicts.get(Verdict::Undetermined),
            failed: listener.failed,
            late: listener.late,
            causes: causes.collect(),
            connect_time: listener.connect_time,
        }
    }

    /// Attempts that failed.
    #[must_use]
    pub fn failed(&self) -> Portion {
        Portion::new(self.failed, self.judged)
    }

    /// Attempts that came late.
    #[must_use]
    pub fn late(&self) -> Portion {
        Portion::new(self.late, self.judged)
    }

    /// Attempts that failed or came late.
    fn troubled(&self) -> Portion {
        Portion::new(self.failed.saturating_add(self.late), self.judged)
    }

    /// Attempts that this cause explains.
    #[must_use]
    pub fn explained_by(&self, cause: Cause) -> Portion {
        Portion::new(self.cause(cause).map_or(0, |known| known.attempts), self.judged)
    }

    /// Attempts with this cause, before and after.
    #[must_use]
    pub fn cause(&self, cause: Cause) -> Option<&ComparedCause> {
        self.causes.iter().find(|known| known.cause == cause)
    }

    fn can_be_judged(&self) -> bool {
        self.judged > 0
    }
}

/// Figures of a listener that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComparedShare {
    /// The attempts that failed.
    Failed,
    /// The attempts that came late.
    Late,
    /// The attempts that this cause explains.
    Cause(Cause),
}

impl ComparedShare {
    /// The share in a listener's figures.
    #[must_use]
    pub fn of(self, figures: &ComparedFigures) -> Portion {
        match self {
            Self::Failed => figures.failed(),
            Self::Late => figures.late(),
            Self::Cause(cause) => figures.explained_by(cause),
        }
    }
}

/// A difference beyond chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// The difference.
    pub share: ComparedShare,
    /// Its share before.
    pub before: Portion,
    /// Its share now.
    pub after: Portion,
}

impl Shift {
    /// True if there is more of it than before.
    #[must_use]
    pub fn is_rise(&self) -> bool {
        self.after.share() > self.before.share()
    }
}

/// Outcome of the comparison for a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Change {
    /// A share of trouble rose beyond chance.
    Worse,
    /// A share of trouble fell beyond chance, and none rose.
    Better,
    /// Nothing differs beyond chance.
    Unchanged,
    /// The baseline has no attempt to it that can be judged.
    New,
    /// Only the baseline has attempts to it that can be judged.
    Gone,
}

impl Change {
    /// The name in every output.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A listener before and now.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerChange {
    /// The listener.
    pub server: Endpoint,
    /// The outcome.
    pub change: Change,
    /// Its figures in the baseline; `None` if it is not there.
    pub before: Option<ComparedFigures>,
    /// Its figures in the analysis; `None` if it is not there.
    pub after: Option<ComparedFigures>,
    /// Differences beyond chance.
    pub shifts: Vec<Shift>,
}

/// The earlier analysis.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Baseline {
    /// The name of its file.
    pub name: String,
    /// The program and version that wrote it.
    pub tool: String,
    /// Limits of its captures, in sentences.
    pub limits: Vec<String>,
    /// Its listeners. Scans, and the sum of the listeners past the bound, are none.
    pub listeners: BTreeMap<Endpoint, ComparedFigures>,
}

/// An analysis compared with an earlier one.
#[derive(Debug, Clone, PartialEq)]
pub struct BaselineComparison<'a> {
    /// The earlier one.
    pub baseline: &'a Baseline,
    /// All listeners of both, the worst change first, then by address.
    pub listeners: Vec<ListenerChange>,
}

impl<'a> BaselineComparison<'a> {
    /// Compares the listeners of an analysis with the baseline's. Those without an address, as scans, are left out.
    #[must_use]
    pub fn new(baseline: &'a Baseline, listeners: &[Listener]) -> Self {
        let mut pairs: BTreeMap<Endpoint, (Option<&ComparedFigures>, Option<ComparedFigures>)> =
            baseline.listeners.iter().map(|(&server, before)| (server, (Some(before), None))).collect();
        for listener in listeners {
            if let Some(server) = listener.server {
                pairs.entry(server).or_default().1 = Some(ComparedFigures::of(listener));
            }
        }
        let judged = |figures: Option<&ComparedFigures>| figures.is_some_and(ComparedFigures::can_be_judged);
        let shares: usize = pairs
            .values()
            .filter_map(|(before, after)| Some(compared_shares((*before)?, after.as_ref()?).len()))
            .sum();
        let rule = Rule::for_shares(shares);
        let mut listeners: Vec<ListenerChange> = pairs
            .into_iter()
            .map(|(server, (before, after))| {
                let shifts = match (before, &after) {
                    (Some(before), Some(after)) => rule.shifts(before, after),
                    _ => Vec::new(),
                };
                let change = match (judged(before), judged(after.as_ref())) {
                    (true, true) if shifts.iter().any(Shift::is_rise) => Change::Worse,
                    (true, true) if !shifts.is_empty() => Change::Better,
                    (true, true) | (false, false) => Change::Unchanged,
                    (false, true) => Change::New,
                    (true, false) => Change::Gone,
                };
                ListenerChange { server, change, before: before.cloned(), after, shifts }
            })
            .collect();
        listeners.sort_by_key(|listener| listener.change);
        Self { baseline, listeners }
    }

    /// The listeners with this change.
    pub fn with(&self, change: Change) -> impl Iterator<Item = &ListenerChange> {
        self.listeners.iter().filter(move |listener| listener.change == change)
    }

    /// Number of listeners with this change.
    #[must_use]
    pub fn count(&self, change: Change) -> u64 {
        self.with(change).count() as u64
    }

    /// Outcome for all listeners: worse if a listener is, else better if one is. `None` if no listener can be compared.
    #[must_use]
    pub fn result(&self) -> Option<Change> {
        let shared = [Change::Worse, Change::Better, Change::Unchanged];
        shared.into_iter().find(|&change| self.count(change) > 0).filter(|_| self.can_be_judged())
    }

    /// True if a listener has attempts on both sides that can be judged, so that it could have become worse.
    #[must_use]
    pub fn can_be_judged(&self) -> bool {
        let judged =
            |figures: &Option<ComparedFigures>| figures.as_ref().is_some_and(ComparedFigures::can_be_judged);
        self.listeners.iter().any(|listener| judged(&listener.before) && judged(&listener.after))
    }
}

/// The shares that are compared: failed, late, and each cause of trouble that is at likely or better on one side.
fn compared_shares(before: &ComparedFigures, after: &ComparedFigures) -> Vec<ComparedShare> {
    let mut causes: Vec<Cause> = before
        .causes
        .iter()
        .chain(&after.causes)
        .filter(|known| known.confidence >= Confidence::Likely && !known.cause.is_intended())
        .map(|known| known.cause)
        .collect();
    causes.sort_unstable();
    causes.dedup();
    let causes = causes.into_iter().map(ComparedShare::Cause);
    [ComparedShare::Failed, ComparedShare::Late].into_iter().chain(causes).collect()
}

/// The rule, for a number of shares that are compared in all.
struct Rule {
    /// The probability of chance below which a share differs.
    level: f64,
}

impl Rule {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn for_shares(shares: usize) -> Self {
        Self { level: FALSE_ALARM / shares.max(1) as f64 }
    }

    /// Differences beyond chance.
    fn shifts(&self, before: &ComparedFigures, after: &ComparedFigures) -> Vec<Shift> {
        // Trouble that has only changed its kind is neither worse nor better.
        let trend = after.troubled().share() - before.troubled().share();
        let shift = |share: ComparedShare| Shift { share, before: share.of(before), after: share.of(after) };
        let follows = |shift: &Shift| match shift.share {
            ComparedShare::Failed => true,
            ComparedShare::Late | ComparedShare::Cause(_) if shift.is_rise() => trend > 0.0,
            ComparedShare::Late | ComparedShare::Cause(_) => trend < 0.0,
        };
        let differs = |shift: &Shift| {
            self.is_beyond_chance(shift)
                || matches!(shift.share, ComparedShare::Cause(cause) if is_of_a_state(cause)
                    && (is_new(cause, (before, after)) || is_new(cause, (after, before))))
        };
        compared_shares(before, after)
            .into_iter()
            .map(shift)
            .filter(|shift| differs(shift) && follows(shift))
            .collect()
    }

    fn is_beyond_chance(&self, shift: &Shift) -> bool {
        let (low, high) =
            if shift.is_rise() { (shift.before, shift.after) } else { (shift.after, shift.before) };
        let matters =
            high.share() - low.share() >= LEAST_CHANGE || high.share() >= 2.0 * low.share() && high.part > 0;
        matters && chance_of_rise(low, high) < self.level
    }
}

/// True if the second side has this cause at likely or better, and the first side has it not at all, though its attempts
/// would have shown it.
fn is_new(cause: Cause, (without, with): (&ComparedFigures, &ComparedFigures)) -> bool {
    let sure = with.cause(cause).is_some_and(|known| known.confidence >= Confidence::Likely);
    let shown = 1.0 - with.explained_by(cause).chance_of_none(without.judged);
    sure && without.cause(cause).is_none() && shown >= SHOWN_BEFORE
}

/// True if the cause is a state of the server or of the path, which a few attempts prove. Losses come by chance, and scans,
/// floods and clients' acts are somebody else's: of these, only the share counts.
const fn is_of_a_state(cause: Cause) -> bool {
    match cause {
        Cause::AcceptQueueOverflow
        | Cause::ListenerClosed
        | Cause::SynQueueOverflow
        | Cause::SynLimited
        | Cause::NatMismatch
        | Cause::FirewallReset
        | Cause::TwoAnswers
        | Cause::OptionBlocked
        | Cause::PathMtu
        | Cause::PortClosed
        | Cause::HostUnreachable
        | Cause::Filtered => true,
        Cause::DeferAccept
        | Cause::OldConnection
        | Cause::SynLost
        | Cause::SynackLost
        | Cause::AckLost
        | Cause::SynFlood
        | Cause::SynScan
        | Cause::HealthCheck
        | Cause::ClientGaveUp
        | Cause::ApplicationReset => false,
    }
}
