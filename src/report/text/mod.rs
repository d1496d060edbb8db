//! `--format text`: the report for people. What is wrong comes first, in words to act on; then the
//! listeners, then the problem attempts; doubts are written, not hidden.
//!
//! Runs in constant memory: of the attempts only the worst few and some counters are kept, or with `--all` as many as
//! somebody may read. Does not own any judgement: verdicts, causes, diagnosis and
//! advice are its input.

mod attempts;
mod clock;
mod comparison;
mod conclusion;
mod header;
mod listeners;
mod overview;
mod paint;
mod stream;
mod style;
mod vantages;
mod words;
mod worst;

use std::io::{self, Write};

pub(super) use self::attempts::{cause, connect};
pub(super) use self::clock::{Clock, length};
pub(super) use self::conclusion::conclusion;
pub(super) use self::header::{HeaderCounts, first, input_facts};
pub(super) use self::overview::cause as cause_name;
pub(super) use self::paint::Emphasis;
pub use self::paint::wanted_by_environment;
pub use self::stream::AttemptLines;
pub(super) use self::style::TextStyle;
#[cfg(feature = "tui")]
pub(super) use self::style::{attempt_emphasis, emphasis_of};
pub(super) use self::words::{columns, pad, wrap};
pub use self::worst::Offer;
use self::worst::sort_by_server;
pub(super) use self::worst::{FirstAttempts, ListedAttempts};
use super::{MAX_LISTED, ReportOptions, Verbosity};
use crate::engine::Summary;
use crate::handshake::Attempt;
use crate::listener::comparison::BaselineComparison;
use crate::listener::{AttemptFilter, Listeners, VerdictSet};

/// Collects what the report will need of the attempts.
#[derive(Debug, Clone)]
pub(super) struct TextReport {
    options: ReportOptions,
    wanted: AttemptFilter,
    listed: Listed,
    counts: HeaderCounts,
}

/// The attempts that are listed.
#[derive(Debug, Clone)]
enum Listed {
    Worst(ListedAttempts),
    /// `--all`
    First(FirstAttempts),
}

impl TextReport {
    /// An empty report.
    #[must_use]
    pub(super) fn new(options: ReportOptions) -> Self {
        let default = if options.all { VerdictSet::ALL } else { VerdictSet::problems() };
        let wanted = options.listed.or_verdicts(default);
        let listed = match options.all {
            true => Listed::First(FirstAttempts::new(MAX_LISTED)),
            false => Listed::Worst(ListedAttempts::new(options.worst)),
        };
        Self { options, wanted, listed, counts: HeaderCounts::default() }
    }

    /// Counts an attempt, listed or not.
    pub(super) fn count(&mut self, attempt: &Attempt) {
        self.counts.add(attempt);
    }

    /// Lists an attempt, if it is among those wanted by the cause that it has now.
    pub(super) fn list(&mut self, attempt: &Attempt) {
        if !self.wanted.lists(attempt) {
            return;
        }
        match &mut self.listed {
            Listed::Worst(worst) => _ = worst.offer(attempt),
            Listed::First(first) => first.add(attempt),
        }
    }

    /// Writes the report. `listeners` know the final cause of each listed attempt.
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    pub(super) fn write(
        self,
        out: &mut impl Write,
        summary: &Summary,
        listeners: &Listeners,
        comparison: Option<&BaselineComparison<'_>>,
    ) -> io::Result<()> {
        let Self { options, wanted, listed, counts } = self;
        let quiet = options.verbosity == Verbosity::Quiet;
        TextStyle::with(&options, header::first(summary), |style| {
            let style = TextStyle { several_captures: summary.captures.len() > 1, ..*style };
            if quiet {
                if let Some(comparison) = comparison {
                    comparison::write(out, &style, comparison, true)?;
                }
                return listeners::write_quiet(out, &style, summary);
            }
            let (more, (mut attempts, left_out)) = match listed {
                Listed::Worst(worst) => ("--all", worst.into_order()),
                Listed::First(first) => ("--format csv, json or ndjson", first.into_order()),
            };
            sort_by_server(&mut attempts);
            attempts.iter_mut().for_each(|attempt| attempt.inference = listeners.infer(attempt).into());
            // The cause of one that was listed by what was known then may be another by now.
            attempts.retain(|attempt| wanted.lists_cause_of(attempt));
            header::write_input(out, &style, summary, &counts)?;
            header::write_limits(out, &style, summary, &counts)?;
            conclusion::write(out, &style, summary, &counts)?;
            if let Some(comparison) = comparison {
                comparison::write(out, &style, comparison, false)?;
            }
            listeners::write(out, &style, summary, &attempts)?;
            attempts::write(out, &style, &attempts, (left_out, more))?;
            if attempts.is_empty() && options.listed != AttemptFilter::default() {
                writeln!(out)?;
                let none = "No attempt to list has the verdicts and causes asked for.";
                wrap(none, style.width, "", "").iter().try_for_each(|line| writeln!(out, "{line}"))?;
            }
            if style.verbose {
                header::write_packets(out, &style, summary)?;
            }
            Ok(())
        })
    }
}
