//! `--format ndjson`: one attempt per line as soon as it is settled, then the listeners, then a summary.

use std::io::{self, Write};

use serde::Serialize;

use super::record::{AttemptRecord, ComparisonRecord, EpisodeReportRecord, ListenerRecord, OverviewRecord};
use crate::engine::Summary;
use crate::handshake::Attempt;
use crate::listener::EpisodeReport;
use crate::listener::comparison::BaselineComparison;
use crate::report::serialize;

/// Every line is an object whose first member, `type`, names its kind.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum NdjsonLine<'a> {
    Attempt(AttemptRecord<'a>),
    Provisional(AttemptRecord<'a>),
    Episode(Box<EpisodeReportRecord<'a>>),
    Listener(Box<ListenerRecord<'a>>),
    Comparison(ComparisonRecord<'a>),
    Summary(OverviewRecord<'a>),
}

fn write_line(out: &mut impl Write, line: &NdjsonLine<'_>) -> io::Result<()> {
    /// Bytes of most lines.
    const TYPICAL: usize = 2048;
    // The serializer writes each name and each mark by itself: several hundred calls, which are cheap in memory.
    let mut text = Vec::with_capacity(TYPICAL);
    serialize::compact(&mut text, line)?;
    text.push(b'\n');
    out.write_all(&text)
}

/// Writes the line of one attempt.
///
/// # Errors
///
/// The errors of `out`.
pub(super) fn write_attempt(out: &mut impl Write, attempt: &Attempt) -> io::Result<()> {
    write_line(out, &NdjsonLine::Attempt(attempt.into()))
}

/// Writes the line of a provisional attempt that shows an overflow; the line of the settled attempt follows.
///
/// # Errors
///
/// The errors of `out`.
pub(super) fn write_provisional(out: &mut impl Write, attempt: &Attempt) -> io::Result<()> {
    write_line(out, &NdjsonLine::Provisional(attempt.into()))
}

/// Writes the line of an episode as it begins, goes on or ends.
///
/// # Errors
///
/// The errors of `out`.
pub(super) fn write_episode(out: &mut impl Write, report: &EpisodeReport) -> io::Result<()> {
    write_line(out, &NdjsonLine::Episode(Box::new(report.into())))
}

/// Writes the closing lines: one per listener, the comparison if there is one, then the summary.
///
/// # Errors
///
/// The errors of `out`.
pub(super) fn write_summary(
    out: &mut impl Write,
    summary: &Summary,
    comparison: Option<&BaselineComparison<'_>>,
) -> io::Result<()> {
    for listener in &summary.listeners {
        write_line(out, &NdjsonLine::Listener(Box::new(listener.into())))?;
    }
    if let Some(comparison) = comparison {
        write_line(out, &NdjsonLine::Comparison(comparison.into()))?;
    }
    write_line(out, &NdjsonLine::Summary(summary.into()))
}
