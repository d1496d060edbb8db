//! Layout that all parts of one report share: width, colours, labels.

use std::io::{self, Write};

use super::clock::Clock;
use super::paint::{Emphasis, Painter};
use super::words;
use crate::handshake::{Attempt, Cause, Verdict};
use crate::packet::Timestamp;
use crate::report::{ReportOptions, Verbosity};

/// Layout that all parts of one report share.
#[derive(Clone, Copy)]
pub(in crate::report) struct TextStyle<'a> {
    pub(in crate::report) paint: Painter,
    pub(in crate::report) clock: &'a Clock,
    pub(in crate::report) width: usize,
    pub(in crate::report) verbose: bool,
    pub(in crate::report) all: bool,
    pub(in crate::report) several_captures: bool,
}

impl TextStyle<'_> {
    /// Columns of a label and the space after it.
    pub(in crate::report) const LABEL: usize = 9;

    /// Runs `write` with the layout of `options`, and the date where it is not that of `first`.
    pub(in crate::report) fn with<R>(
        options: &ReportOptions,
        first: Option<Timestamp>,
        write: impl FnOnce(&TextStyle<'_>) -> R,
    ) -> R {
        let clock = Clock::new(options.zone.clone()).on_day_of(first);
        write(&TextStyle {
            paint: Painter::new(options.colour),
            clock: &clock,
            width: options.width,
            verbose: options.verbosity == Verbosity::Verbose,
            all: options.all,
            several_captures: false,
        })
    }

    /// Emphasis of an attempt by its verdict and cause.
    pub(in crate::report) fn attempt_emphasis(&self, attempt: &Attempt) -> Emphasis {
        attempt_emphasis(attempt)
    }

    /// A label and its text, wrapped beside it.
    pub(in crate::report) fn write_labelled(
        &self,
        out: &mut impl Write,
        emphasis: Emphasis,
        indent: &str,
        label: &str,
        text: &str,
    ) -> io::Result<()> {
        let label_width = Self::LABEL.max(label.len() + 1);
        let rest = format!("{indent}{}", " ".repeat(label_width));
        for (index, line) in words::wrap(text, self.width, &rest, &rest).iter().enumerate() {
            match line.strip_prefix(rest.as_str()) {
                Some(line) if index == 0 => {
                    let label = self.paint.apply(emphasis, &words::pad(label, label_width));
                    writeln!(out, "{indent}{label}{line}")?;
                }
                _ => writeln!(out, "{line}")?,
            }
        }
        Ok(())
    }

    /// Emphasis of a problem with this cause.
    pub(in crate::report) fn cause_emphasis(&self, cause: Option<Cause>) -> Emphasis {
        emphasis_of(cause)
    }

    /// The one of two tones that stands out more.
    pub(in crate::report) fn graver(&self, a: Emphasis, b: Emphasis) -> Emphasis {
        if a == Emphasis::Alarm || (a == Emphasis::Warning && b != Emphasis::Alarm) { a } else { b }
    }
}

/// Emphasis of an attempt by its verdict and cause.
pub(in crate::report) fn attempt_emphasis(attempt: &Attempt) -> Emphasis {
    match attempt.verdict {
        verdict if verdict.is_problem() => emphasis_of(attempt.inference.cause),
        Verdict::Undetermined => Emphasis::Warning,
        _ => Emphasis::Good,
    }
}

/// Emphasis of a problem with this cause.
pub(in crate::report) fn emphasis_of(cause: Option<Cause>) -> Emphasis {
    match cause {
        Some(cause) if cause.is_intended() => Emphasis::Note,
        Some(Cause::SynScan) | None => Emphasis::Warning,
        Some(_) => Emphasis::Alarm,
    }
}
