//! The overview: a line for each listener with a problem, before the blocks that explain them.

use std::io::{self, Write};

use super::paint::Emphasis;
use super::style::TextStyle;
use super::words::{columns, pad, wrap};
use crate::listener::Listener;
use crate::report::wording;
use crate::words::number;

/// Lines written without `--all`.
const LINES: usize = 10;

const GAP: &str = "  ";

/// A line of the table, as text.
struct Row {
    server: String,
    attempts: String,
    failed: String,
    late: String,
    cause: String,
    since: String,
    emphasis: Emphasis,
}

impl Row {
    fn of(listener: &Listener, style: &TextStyle<'_>) -> Self {
        Self {
            server: wording::server_name(listener),
            attempts: number(listener.verdicts.total()),
            failed: number(listener.failed),
            late: number(listener.late),
            cause: cause(listener),
            since: listener.since.map(|since| style.clock.time(since)).unwrap_or_default(),
            emphasis: style.cause_emphasis(listener.cause),
        }
    }

    fn headings() -> Self {
        let [server, attempts, failed, late, cause, since] =
            ["SERVER", "ATTEMPTS", "FAILED", "LATE", "CAUSE", "SINCE"].map(str::to_owned);
        Self { server, attempts, failed, late, cause, since, emphasis: Emphasis::Strong }
    }
}

/// Writes the table of these listeners, in their order.
pub(super) fn write(out: &mut impl Write, style: &TextStyle<'_>, listeners: &[&Listener]) -> io::Result<()> {
    if listeners.is_empty() {
        return Ok(());
    }
    let shown = if style.all { listeners.len() } else { LINES };
    let rows: Vec<Row> = std::iter::once(Row::headings())
        .chain(listeners.iter().take(shown).map(|listener| Row::of(listener, style)))
        .collect();
    let widest = |cell: fn(&Row) -> &str| rows.iter().map(|row| columns(cell(row))).max().unwrap_or(0);
    let server = widest(|row| &row.server);
    let attempts = widest(|row| &row.attempts);
    let failed = widest(|row| &row.failed);
    let late = widest(|row| &row.late);
    let cause = widest(|row| &row.cause);
    let since = widest(|row| &row.since);
    let before_cause = server + attempts + failed + late + 4 * GAP.len();
    let known = listeners.iter().any(|listener| listener.since.is_some());
    let has_since = known && before_cause + cause + GAP.len() + since <= style.width;
    writeln!(out)?;
    for row in &rows {
        let Row { failed: failures, late: delayed, .. } = row;
        let first = format!(
            "{}{GAP}{:>attempts$}{GAP}{failures:>failed$}{GAP}{delayed:>late$}{GAP}",
            pad(&row.server, server),
            row.attempts,
        );
        let rest = if has_since {
            format!("{}{GAP}{}", pad(&row.cause, cause), row.since)
        } else {
            row.cause.clone()
        };
        write_row(out, style, row.emphasis, &first, rest.trim_end())?;
    }
    Ok(())
}

/// The last column goes on below where the terminal is too narrow for it.
fn write_row(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    emphasis: Emphasis,
    first: &str,
    rest: &str,
) -> io::Result<()> {
    if columns(first) + columns(rest) <= style.width {
        return writeln!(out, "{first}{}", style.paint.apply(emphasis, rest));
    }
    writeln!(out, "{}", first.trim_end())?;
    for line in wrap(rest, style.width, "    ", "    ") {
        writeln!(out, "{}", style.paint.apply(emphasis, &line))?;
    }
    Ok(())
}

/// `accept queue overflow, abort=0 (likely)`.
pub(in crate::report) fn cause(listener: &Listener) -> String {
    let Some(cause) = listener.cause else { return "none found".to_owned() };
    let name = cause.name().replace('-', " ");
    let abort = listener.abort_on_overflow.map(|abort| format!(", abort={}", u8::from(abort)));
    let confidence = listener.confidence.map(|sure| format!(" ({})", sure.name()));
    format!("{name}{}{}", abort.unwrap_or_default(), confidence.unwrap_or_default())
}
