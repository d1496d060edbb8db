//! Backlogs to choose from, each with what the simulation predicts of it.

use std::collections::BTreeSet;

use super::answer::{Answer, Size};
use super::load::Load;
use super::simulate::{Service, SimulationResult};

/// Doublings of the limit that are tried at most: beyond 256 times what it was, no queue is the answer.
const DOUBLINGS: u32 = 8;

/// Changes by the user, to be simulated.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WhatIf {
    /// Backlogs to try besides the others.
    pub backlogs: Vec<u32>,
    /// An accept rate in place of the one seen.
    pub accept_rate: Option<f64>,
    /// Number of workers that accept, each at that rate.
    pub workers: Option<u32>,
}

impl WhatIf {
    /// True if these changes alter the accept rate that was seen.
    #[must_use]
    pub fn changes_application(&self) -> bool {
        self.accept_rate.is_some() || self.workers.is_some()
    }

    /// The application to simulate; `None` where no rate is known.
    #[must_use]
    pub fn service(&self, size: &Size) -> Option<Service> {
        let seen = size.accepts.map(|accepts| accepts.service(accepts.planned()));
        let base = match (self.accept_rate, seen) {
            (Some(per_second), _) => Service { per_second, batch: 1 },
            (None, Some(seen)) => seen,
            // An application that accepted nothing would go on doing so.
            (None, None) if matches!(size.answer, Answer::NothingAccepted { .. }) => {
                Service { per_second: 0.0, batch: 1 }
            }
            (None, None) => return None,
        };
        let workers = f64::from(self.workers.unwrap_or(1).max(1));
        Some(Service { per_second: base.per_second * workers, ..base })
    }
}

/// A backlog, and what would have come of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The queue's limit.
    pub backlog: u32,
    /// True for the limit that the queue had.
    pub is_limit: bool,
    /// True for the backlog that would hold the load.
    pub is_answer: bool,
    /// The prediction.
    pub outcome: SimulationResult,
}

/// The limit seen, its doublings up to the answer, the answer, and the user's own limits, in order of size. Empty where
/// no rate is known.
#[must_use]
pub fn candidates(load: &Load, size: &Size, what_if: &WhatIf) -> Vec<Candidate> {
    let Some(service) = what_if.service(size) else { return Vec::new() };
    let limit = size.limit.map(|limit| limit.value);
    let answer = needed(load, size, what_if, service);
    let mut backlogs: BTreeSet<u32> = what_if.backlogs.iter().copied().chain(limit).chain(answer).collect();
    if let Some(limit) = limit.filter(|&limit| limit > 0) {
        let most = answer.unwrap_or(limit.saturating_mul(4));
        let doubled = (1..=DOUBLINGS).map(|n| limit.saturating_mul(1 << n));
        backlogs.extend(doubled.take_while(|&backlog| backlog < most));
    }
    let candidate = |backlog| Candidate {
        backlog,
        is_limit: limit == Some(backlog),
        is_answer: answer == Some(backlog),
        outcome: load.simulate(service, Some(backlog)),
    };
    backlogs.into_iter().map(candidate).collect()
}

/// The backlog that holds the load: the answer, or, of an application that is another, the queue that it would have
/// made.
fn needed(load: &Load, size: &Size, what_if: &WhatIf, service: Service) -> Option<u32> {
    if what_if.changes_application() {
        return Some(load.fullest(service).longest);
    }
    match size.answer {
        Answer::Backlog { backlog, .. } => Some(backlog),
        Answer::Outrun { held_by, .. } => Some(held_by),
        Answer::MoreThanLimit { .. } | Answer::NothingAccepted { .. } | Answer::Unknown(_) => None,
    }
}
