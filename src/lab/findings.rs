//! What a scenario found: what docs/DOMAIN.md leads to expect beside what this kernel did.
//!
//! Owns the comparison and its table. Does not own how a scenario comes to its numbers.

use std::fmt::Display;
use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::kernel::{Counter, Counters};

/// One statement of docs/DOMAIN.md, tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The section of docs/DOMAIN.md that makes it.
    pub section: &'static str,
    /// What is looked at.
    pub subject: String,
    /// What it leads to expect.
    pub expected: String,
    /// What happened.
    pub kernel: String,
    /// Whether they agree.
    pub agree: bool,
}

/// What one scenario found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Its name.
    pub scenario: &'static str,
    /// What it did, in a sentence.
    pub what: String,
    /// The comparison.
    pub rows: Vec<Row>,
    /// The kernel's counters, by run; those that stayed 0 are left out.
    pub counters: Vec<(String, Vec<(&'static str, u64)>)>,
    /// Lines that explain, or show a curve.
    pub notes: Vec<String>,
}

impl Findings {
    /// Nothing found yet.
    #[must_use]
    pub const fn new(scenario: &'static str, what: String) -> Self {
        Self { scenario, what, rows: Vec::new(), counters: Vec::new(), notes: Vec::new() }
    }

    /// Compares numbers or words that must be equal.
    pub fn equal<T: Display + PartialEq>(
        &mut self,
        section: &'static str,
        subject: impl Into<String>,
        expected: T,
        kernel: T,
    ) {
        let agree = expected == kernel;
        self.holds(section, subject, expected.to_string(), kernel.to_string(), agree);
    }

    /// Compares by a rule of its own.
    pub fn holds(
        &mut self,
        section: &'static str,
        subject: impl Into<String>,
        expected: impl Into<String>,
        kernel: impl Into<String>,
        agree: bool,
    ) {
        self.rows.push(Row {
            section,
            subject: subject.into(),
            expected: expected.into(),
            kernel: kernel.into(),
            agree,
        });
    }

    /// Keeps the counters of a run.
    pub fn count(&mut self, run: impl Into<String>, counters: &Counters) {
        let grown = Counter::ALL
            .into_iter()
            .filter_map(|counter| Some((counter.name(), counters.get(counter).filter(|&n| n > 0)?)))
            .collect();
        self.counters.push((run.into(), grown));
    }

    /// Whether every row agrees.
    #[must_use]
    pub fn agree(&self) -> bool {
        self.rows.iter().all(|row| row.agree)
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        // Wrapped on a terminal, one line per row for other programs.
        if let Some(width) = columns() {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.saturating_sub(2));
        }
        table.set_header(["DOMAIN §", "WHAT", "EXPECTED", "THIS KERNEL DID", "AGREE"]);
        for row in &self.rows {
            let agree = if row.agree { "yes" } else { "NO" };
            table.add_row([row.section, &row.subject, &row.expected, &row.kernel, agree]);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table
    }

    /// Prints them for people.
    ///
    /// # Errors
    ///
    /// The output's.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        use colored::Colorize;
        let name = format!("lab {}", self.scenario);
        let head = wrapped(&format!("{name}  {}", self.what), "", "  ");
        // Coloured once wrapped: escapes have no width.
        writeln!(out, "{}", head.replacen(&name, &name.bold().to_string(), 1))?;
        for note in &self.notes {
            writeln!(out, "{note}")?;
        }
        writeln!(out)?;
        writeln!(
            out,
            "{}",
            self.table().lines().map(|line| format!("  {}\n", line.trim_end())).collect::<String>()
        )?;
        for (run, counters) in &self.counters {
            let counters: Vec<_> = counters.iter().map(|(name, n)| format!("{name} {n}")).collect();
            writeln!(
                out,
                "{}",
                wrapped(&format!("kernel counters, {run}: {}", counters.join(", ")), "  ", "    ")
            )?;
        }
        Ok(())
    }
}

/// Columns of the terminal that the findings go to.
fn columns() -> Option<u16> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0)
}

/// Wrapped on a terminal, one line for other programs.
fn wrapped(text: &str, first: &str, rest: &str) -> String {
    let width = columns().map_or(usize::MAX, usize::from);
    textwrap::fill(text, textwrap::Options::new(width).initial_indent(first).subsequent_indent(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_that_differs_is_a_disagreement() {
        let mut findings = Findings::new("queue", "fills a queue".to_owned());
        findings.equal("1", "limit", 16, 16);
        assert!(findings.agree());
        findings.equal("1", "most waiting", 17, 16);
        assert!(!findings.agree());
        let mut text = Vec::new();
        findings.write_text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().any(|line| line.contains("most waiting") && line.contains("NO")), "{text}");
    }
}
