//! Layout that all parts of one report share: width, colours, labels.

use std::io::{self, Write};

use super::clock::Clock;
use super::paint::{Emphasis, Painter};
use super::words;
use crate::handshake::Cause;

/// Layout that all parts of one report share.
pub(super) struct TextStyle<'a> {
    pub(super) paint: Painter,
    pub(super) clock: &'a Clock,
    pub(super) width: usize,
    pub(super) verbose: bool,
    pub(super) all: bool,
    pub(super) several_captures: bool,
}

impl TextStyle<'_> {
    /// Columns of a label and the space after it.
    pub(super) const LABEL: usize = 9;

    /// A label and its text, wrapped beside it.
    pub(super) fn write_labelled(
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
    pub(super) fn cause_emphasis(&self, cause: Option<Cause>) -> Emphasis {
        emphasis_of(cause)
    }

    /// The one of two tones that stands out more.
    pub(super) fn graver(&self, a: Emphasis, b: Emphasis) -> Emphasis {
        if a == Emphasis::Alarm || (a == Emphasis::Warning && b != Emphasis::Alarm) { a } else { b }
    }
}

/// Emphasis of a problem with this cause.
pub(super) fn emphasis_of(cause: Option<Cause>) -> Emphasis {
    match cause {
        Some(cause) if cause.is_meant() => Emphasis::Note,
        Some(Cause::SynScan) | None => Emphasis::Warning,
        Some(_) => Emphasis::Alarm,
    }
}
