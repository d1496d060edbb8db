//! Output of `hsanalyze size`: the answer in full, backlogs to choose from, and the load over time.
//!
//! Owns layout, plots and rows. Does not own the estimate (`listener::size`) nor its sentences (`wording`).

mod plot;
#[cfg(test)]
mod tests;
mod text;

use std::io::{self, Write};

pub use plot::{draw_svg, draw_text};
pub use text::write_text;

use crate::listener::Listener;
use crate::listener::size::{Candidate, Load, Series, Service, SimulationResult, Size, WhatIf};
use crate::packet::{Endpoint, Span};

/// Everything that is known of one listener's queue.
#[derive(Debug)]
pub struct SizeReport {
    /// The listener.
    pub server: Endpoint,
    /// Record of the listener, with the cause of its trouble.
    pub listener: Option<Listener>,
    /// Other listeners that turned clients away.
    pub others: Vec<Endpoint>,
    /// The load.
    pub load: Load,
    /// The estimate.
    pub size: Size,
    /// Changes to try in predictions: other backlogs, another accept rate, more workers.
    pub what_if: WhatIf,
    /// The application that predictions are made for; `None` where its rate is not known.
    pub service: Option<Service>,
    /// Backlogs to choose from.
    pub candidates: Vec<Candidate>,
    /// The load over time.
    pub series: Option<Series>,
    /// Results of replaying the same arrivals against a real listener in the lab.
    pub replays: Vec<Replayed>,
}

/// Result of replaying the arrivals against a real listener in the lab with one backlog.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// The backlog that it was given.
    pub backlog: u32,
    /// ListenOverflows as the kernel counted them.
    pub overflows: u64,
    /// Clients that connected by a retry.
    pub late: u64,
    /// Clients that did not connect while they were watched.
    pub lost: u64,
    /// Clients that were started.
    pub clients: u64,
    /// The longest delay of a start beyond its time: how well this machine kept to the arrivals.
    pub behind: Span,
    /// The prediction for these clients, which may be fewer than those of the capture.
    pub predicted: SimulationResult,
}

/// Writes the candidates as CSV.
///
/// # Errors
///
/// Those of `out`.
pub fn write_csv(report: &SizeReport, out: &mut impl Write) -> io::Result<()> {
    let mut rows = csv::Writer::from_writer(out);
    rows.write_record([
        "backlog",
        "is_limit",
        "is_answer",
        "overflows",
        "turned_away",
        "late",
        "lost",
        "longest_queue",
        "longest_wait",
        "replay_overflows",
        "replay_late",
        "replay_lost",
    ])?;
    for candidate in &report.candidates {
        let replay = report.replays.iter().find(|replay| replay.backlog == candidate.backlog);
        let replayed = |value: fn(&Replayed) -> u64| replay.map(|r| value(r).to_string()).unwrap_or_default();
        let outcome = &candidate.outcome;
        rows.write_record([
            candidate.backlog.to_string(),
            candidate.is_limit.to_string(),
            candidate.is_answer.to_string(),
            outcome.overflows.to_string(),
            outcome.turned_away.to_string(),
            outcome.late.to_string(),
            outcome.lost.to_string(),
            outcome.longest.to_string(),
            outcome.longest_wait.as_secs_f64().to_string(),
            replayed(|replay| replay.overflows),
            replayed(|replay| replay.late),
            replayed(|replay| replay.lost),
        ])?;
    }
    rows.flush()
}
