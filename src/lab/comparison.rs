//! Comparison of docs/DOMAIN.md with this kernel's behaviour in one scenario.
//!
//! Owns the comparison and its table. Does not own how a scenario comes to its numbers.

use std::fmt::Display;
use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};

use crate::kernel::{Counter, Counters};

/// Comparison of one statement of docs/DOMAIN.md with this kernel's behaviour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedRow {
    /// The section of docs/DOMAIN.md that makes it.
    pub section: &'static str,
    /// The measured quantity.
    pub subject: String,
    /// The expected value.
    pub expected: String,
    /// The observed value.
    pub kernel: String,
    /// True if they agree.
    pub agree: bool,
}

/// The result of one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// The experiment in a sentence.
    pub what: String,
    /// The comparison.
    pub rows: Vec<ComparedRow>,
    /// The kernel's counters, by run; those that stayed 0 are left out.
    pub counters: Vec<(String, Vec<(&'static str, u64)>)>,
    /// Lines that explain, or show a curve.
    pub notes: Vec<String>,
}

impl Comparison {
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
        self.rows.push(ComparedRow {
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

    /// True if every row agrees.
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
            writeln!(out, "{}", wrapped(note, "", "      "))?;
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

/// Columns of the terminal that the comparison go to.
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
        let mut comparison = Comparison::new("queue", "fills a queue".to_owned());
        comparison.equal("1", "limit", 16, 16);
        assert!(comparison.agree());
        comparison.equal("1", "most waiting", 17, 16);
        assert!(!comparison.agree());
        let mut text = Vec::new();
        comparison.write_text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().any(|line| line.contains("most waiting") && line.contains("NO")), "{text}");
    }
}
