//! `--format markdown`: a summary for the page of a CI job, an issue or a mail: GitHub's dialect, tables included.
//!
//! Lists no attempts. Runs in constant memory.

use std::io::{self, Write};

use super::text::{self, HeaderCounts, TextStyle};
use super::{ReportOptions, wording};
use crate::engine::Summary;
use crate::handshake::Attempt;
use crate::listener::Listener;
use crate::listener::comparison::{BaselineComparison, Change, ListenerChange};
use crate::printable::printable;
use crate::words::{count, number};

/// Rows of a table, and listeners that are explained, without `--all`. A job's summary holds one mebibyte.
const ROWS: usize = 20;

/// Collects what the summary will need of the attempts.
pub(super) struct MarkdownReport {
    options: ReportOptions,
    counts: HeaderCounts,
}

impl MarkdownReport {
    /// An empty summary.
    pub(super) fn new(options: ReportOptions) -> Self {
        Self { options, counts: HeaderCounts::default() }
    }

    /// Adds one attempt.
    pub(super) fn attempt(&mut self, attempt: &Attempt) {
        self.counts.add(attempt);
    }

    /// Writes the summary.
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    pub(super) fn write(
        &self,
        out: &mut impl Write,
        summary: &Summary,
        comparison: Option<&BaselineComparison<'_>>,
    ) -> io::Result<()> {
        let rows = if self.options.all { usize::MAX } else { ROWS };
        if let Some(comparison) = comparison {
            write_comparison(out, comparison, rows)?;
        }
        TextStyle::with(&self.options, text::first(summary), |style| {
            let (_, conclusion) = text::conclusion(style, summary, &self.counts);
            writeln!(out, "### {}\n", escaped(&conclusion))?;
            writeln!(out, "{}\n", escaped(&text::input_facts(summary)))?;
            if let Some(first) = text::first(summary) {
                writeln!(out, "From {}.\n", escaped(&style.clock.date_and_zone(first)))?;
            }
            Ok::<(), io::Error>(())
        })?;
        for limit in summary.limits() {
            writeln!(out, "> **Limit:** {}\n", escaped(&wording::limit(&limit)))?;
        }
        write_listeners(out, summary, rows)
    }
}

fn write_comparison(
    out: &mut impl Write,
    comparison: &BaselineComparison<'_>,
    rows: usize,
) -> io::Result<()> {
    let mark = match comparison.result() {
        Some(Change::Worse) => "❌ ",
        Some(Change::Better) => "✅ ",
        Some(_) => "",
        None => "⚠️ ",
    };
    writeln!(out, "## {mark}{}\n", escaped(&wording::compared(comparison)))?;
    for limit in &comparison.baseline.limits {
        writeln!(out, "> **Limit of the baseline:** {}\n", escaped(&printable(limit)))?;
    }
    if comparison.listeners.is_empty() {
        return Ok(());
    }
    let headings = ["Server", "Change", "Attempts", "Failed", "Late", "Connect p99"];
    write_table(out, headings, comparison.listeners.iter().map(change_row), rows)?;
    for listener in comparison.listeners.iter().filter(|listener| !listener.shifts.is_empty()).take(rows) {
        writeln!(out, "`{}`:\n", listener.server)?;
        for shift in &listener.shifts {
            writeln!(out, "- {}", escaped(&wording::shift(shift)))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn change_row(listener: &ListenerChange) -> [String; 6] {
    let [attempts, failed, late, connect] = wording::change_cells(listener, " → ");
    [format!("`{}`", listener.server), listener.change.name().to_owned(), attempts, failed, late, connect]
}

/// A table of the listeners with a problem, and what each of them means.
fn write_listeners(out: &mut impl Write, summary: &Summary, rows: usize) -> io::Result<()> {
    let (bad, good): (Vec<&Listener>, Vec<&Listener>) =
        summary.listeners.iter().partition(|listener| listener.is_notable());
    if !bad.is_empty() {
        let row = |listener: &&Listener| {
            let figures = [listener.verdicts.total(), listener.failed, listener.late].map(number);
            let [attempts, failed, late] = figures;
            let cause = escaped(&text::cause_name(listener));
            [format!("`{}`", wording::server_name(listener)), attempts, failed, late, cause]
        };
        write_table(out, ["Server", "Attempts", "Failed", "Late", "Cause"], bad.iter().map(row), rows)?;
    }
    for (place, listener) in bad.iter().enumerate().take(rows) {
        writeln!(out, "**{}**\n", escaped(&wording::diagnosis(listener)))?;
        for (label, text) in wording::advice_below(listener, bad.get(..place).unwrap_or_default()) {
            writeln!(out, "- {label}: {}", escaped(&text))?;
        }
        writeln!(out)?;
    }
    if !bad.is_empty() && !good.is_empty() {
        writeln!(out, "{} without a problem.\n", count(good.len() as u64, "server"))?;
    }
    Ok(())
}

fn write_table<const N: usize>(
    out: &mut impl Write,
    headings: [&str; N],
    rows: impl ExactSizeIterator<Item = [String; N]>,
    most: usize,
) -> io::Result<()> {
    let more = rows.len().saturating_sub(most) as u64;
    writeln!(out, "| {} |", headings.join(" | "))?;
    writeln!(out, "|{}", "---|".repeat(N))?;
    for row in rows.take(most) {
        writeln!(out, "| {} |", row.join(" | "))?;
    }
    writeln!(out)?;
    if more > 0 {
        writeln!(out, "{} more: --all\n", count(more, "server"))?;
    }
    Ok(())
}

/// Text in which no character is taken for Markdown or HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '@' | '!' | '$' => {
                safe.push('\\');
                safe.push(character);
            }
            '\n' | '\r' => safe.push(' '),
            _ => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_no_markup() {
        assert_eq!(escaped("a|b_<img>`x`"), "a\\|b\\_&lt;img&gt;\\`x\\`");
        assert_eq!(escaped("two\nlines"), "two lines");
        assert_eq!(escaped("[x](http://y) @user"), "\\[x\\](http://y) \\@user");
    }
}
