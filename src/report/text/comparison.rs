//! The comparison with a baseline: the result in a sentence, a line for each listener that changed, and why.

use std::io::{self, Write};

use super::paint::Emphasis;
use super::style::TextStyle;
use super::words::{columns, pad, wrap};
use crate::listener::comparison::{BaselineComparison, Change, ListenerChange};
use crate::printable::printable;
use crate::report::wording;
use crate::words::{count, verb};

/// Lines written without `--all`.
const LINES: usize = 10;

const GAP: &str = "  ";

/// Writes the comparison. `quiet`: only what became worse.
pub(super) fn write(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    comparison: &BaselineComparison<'_>,
    quiet: bool,
) -> io::Result<()> {
    if quiet && comparison.result() != Some(Change::Worse) {
        return Ok(());
    }
    for line in wrap(&wording::compared(comparison), style.width, "", "") {
        writeln!(out, "{}", style.paint.apply(emphasis(comparison.result()), &line))?;
    }
    for limit in &comparison.baseline.limits {
        style.write_labelled(out, Emphasis::Warning, "", "baseline", &printable(limit))?;
    }
    let changed: Vec<&ListenerChange> = comparison
        .listeners
        .iter()
        .filter(|listener| style.all || listener.change != Change::Unchanged)
        .filter(|listener| !quiet || listener.change == Change::Worse)
        .collect();
    let shown = if style.all { changed.len() } else { LINES.min(changed.len()) };
    write_table(out, style, &changed[..shown])?;
    let more = (changed.len() - shown) as u64;
    if more > 0 {
        let text = format!(
            "... {} more {} new, gone or different: --all",
            count(more, "server"),
            verb(more, "is", "are")
        );
        writeln!(out, "{}", style.paint.apply(Emphasis::Faint, &text))?;
    }
    Ok(())
}

fn emphasis(result: Option<Change>) -> Emphasis {
    match result {
        Some(Change::Worse) => Emphasis::Alarm,
        Some(Change::Better) => Emphasis::Good,
        Some(_) => Emphasis::Note,
        None => Emphasis::Warning,
    }
}

fn write_table(out: &mut impl Write, style: &TextStyle<'_>, listeners: &[&ListenerChange]) -> io::Result<()> {
    if listeners.is_empty() {
        return Ok(());
    }
    let headings = ["SERVER", "CHANGE", "ATTEMPTS", "FAILED", "LATE", "CONNECT P99"].map(str::to_owned);
    let cells = listeners.iter().map(|listener| {
        let [attempts, failed, late, connect] = wording::change_cells(listener, " -> ");
        let change = listener.change.name().to_owned();
        [listener.server.to_string(), change, attempts, failed, late, connect]
    });
    let rows: Vec<[String; 6]> = std::iter::once(headings).chain(cells).collect();
    let mut widths = [0; 6];
    for row in &rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = columns(cell).max(*width));
    }
    // The last column is left out where the terminal is too narrow for it.
    let mut kept = widths.len();
    while kept > 1 && widths[..kept].iter().sum::<usize>() + (kept - 1) * GAP.len() > style.width {
        kept -= 1;
    }
    writeln!(out)?;
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(widths).take(kept).map(|(cell, width)| pad(cell, width)).collect();
        let line = cells.join(GAP);
        let listener = index.checked_sub(1).and_then(|index| listeners.get(index));
        let tone = listener.map_or(Emphasis::Strong, |listener| emphasis(Some(listener.change)));
        writeln!(out, "{}", style.paint.apply(tone, line.trim_end()))?;
        for shift in listener.iter().flat_map(|listener| &listener.shifts) {
            for line in wrap(&wording::shift(shift), style.width, "  ", "    ") {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}
