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
    let known = listeners.iter().any(|listener| listener.since.is_some());
    let counts = attempts + failed + late + 3 * GAP.len();
    let since = if known { since + GAP.len() } else { 0 };
    let layout = if server + GAP.len() + counts + cause + since <= style.width {
        Layout::One
    } else if known && server + GAP.len() + counts + since + CAUSE <= style.width {
        Layout::CauseWrapped
    } else if known && INDENT.len() + counts + cause + since <= style.width {
        Layout::ServerAbove
    } else if known && server + GAP.len() + counts + since <= style.width + GAP.len() {
        Layout::CauseBelow
    } else {
        Layout::Narrow
    };
    writeln!(out)?;
    for row in &rows {
        let Row { failed: failures, late: delayed, .. } = row;
        let counts =
            format!("{:>attempts$}{GAP}{failures:>failed$}{GAP}{delayed:>late$}{GAP}", row.attempts,);
        let first = format!("{}{GAP}{counts}", pad(&row.server, server));
        let rest = format!("{}{GAP}{}", pad(&row.cause, cause), row.since);
        let apply = |text: &str| style.paint.apply(row.emphasis, text.trim_end());
        match layout {
            Layout::One => writeln!(out, "{first}{}", apply(&rest))?,
            Layout::CauseWrapped => {
                let before = format!("{first}{}{GAP}", pad(&row.since, since - GAP.len()));
                let indent = " ".repeat(columns(&before));
                let lines = wrap(&row.cause, style.width - indent.len(), "", "");
                for (index, line) in lines.iter().enumerate() {
                    writeln!(out, "{}{}", if index == 0 { &before } else { &indent }, apply(line))?;
                }
            }
            Layout::ServerAbove => {
                writeln!(out, "{}", row.server)?;
                writeln!(out, "{INDENT}{counts}{}", apply(&rest))?;
            }
            Layout::CauseBelow => {
                writeln!(out, "{first}{}", row.since)?;
                write_below(out, style, row)?;
            }
            Layout::Narrow if columns(&first) + columns(&row.cause) <= style.width => {
                writeln!(out, "{first}{}", apply(&row.cause))?;
            }
            Layout::Narrow => {
                writeln!(out, "{}", first.trim_end())?;
                write_below(out, style, row)?;
            }
        }
    }
    Ok(())
}

/// Lines that a listener takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// All columns.
    One,
    /// All columns, the cause last and in several lines.
    CauseWrapped,
    /// The server; then the others. For long addresses.
    ServerAbove,
    /// All but the cause; then the cause.
    CauseBelow,
    /// No time; the cause below where there is no room. For narrow terminals.
    Narrow,
}

/// Fewest columns of a cause in several lines.
const CAUSE: usize = 20;

/// Space before what stands below a server.
const INDENT: &str = "  ";

fn write_below(out: &mut impl Write, style: &TextStyle<'_>, row: &Row) -> io::Result<()> {
    for line in wrap(&row.cause, style.width, "    ", "    ") {
        writeln!(out, "{}", style.paint.apply(row.emphasis, &line))?;
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
