//! `--format text`: the report for people. What is wrong comes first, in words to act on; then the
//! listeners, then the problem attempts; doubt is said, not hidden.
//!
//! Runs in constant memory: of the attempts only the worst few and some counters are kept, unless
//! `--all` asks for every one of them. Does not own any judgement: verdicts, causes, diagnosis and
//! advice come decided.

mod attempts;
mod clock;
mod header;
mod listeners;
mod paint;
mod stream;
mod words;
mod worst;

use std::io::{self, Write};

use self::clock::Clock;
use self::header::Seen;
pub use self::paint::wanted_by_environment;
use self::paint::{Paint, Tone};
pub use self::stream::Stream;
use self::worst::Listed;
use super::{Options, Verbosity, VerdictSet};
use crate::engine::Summary;
use crate::handshake::{Attempt, Cause};
use crate::listener::Listeners;

/// Collects what the report will need of the attempts.
#[derive(Debug, Clone)]
pub(super) struct Report {
    options: Options,
    wanted: VerdictSet,
    listed: Listed,
    seen: Seen,
}

impl Report {
    /// An empty report.
    #[must_use]
    pub(super) fn new(options: Options) -> Self {
        let default = if options.all { VerdictSet::ALL } else { VerdictSet::problems() };
        let wanted = options.verdicts.unwrap_or(default);
        let limit = (!options.all).then_some(options.worst);
        Self { options, wanted, listed: Listed::new(limit), seen: Seen::default() }
    }

    /// Takes note of one attempt.
    pub(super) fn attempt(&mut self, attempt: &Attempt) {
        self.seen.add(attempt.vantage, attempt.verdict, attempt.reason);
        if self.wanted.contains(attempt.verdict) {
            self.listed.offer(attempt);
        }
    }

    /// Writes the report. `listeners` know the final cause of each listed attempt.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub(super) fn write(
        self,
        out: &mut impl Write,
        summary: &Summary,
        listeners: &Listeners,
    ) -> io::Result<()> {
        let Self { options, listed, seen, .. } = self;
        let clock = Clock::new(options.zone.clone()).on_day_of(header::first(summary));
        let view = View {
            paint: Paint::new(options.colour),
            clock: &clock,
            width: options.width,
            verbose: options.verbosity == Verbosity::Verbose,
            all: options.all,
            several_captures: summary.captures.len() > 1,
            problems: VerdictSet::problems(),
        };
        if options.verbosity == Verbosity::Quiet {
            return listeners::write_quiet(out, &view, summary);
        }
        let (mut attempts, left_out) = listed.into_reading_order();
        attempts.iter_mut().for_each(|attempt| attempt.inference = listeners.infer(attempt));
        header::write_input(out, &view, summary, &seen)?;
        header::write_conclusion(out, &view, summary)?;
        header::write_limits(out, &view, summary, &seen)?;
        listeners::write(out, &view, summary, &attempts)?;
        attempts::write(out, &view, &attempts, left_out)?;
        if view.verbose {
            header::write_packets(out, &view, summary)?;
        }
        Ok(())
    }
}

/// How the parts of one report are shown.
struct View<'a> {
    paint: Paint,
    clock: &'a Clock,
    width: usize,
    verbose: bool,
    all: bool,
    several_captures: bool,
    problems: VerdictSet,
}

impl View<'_> {
    /// Columns of a label and the space after it.
    const LABEL: usize = 9;

    /// A label and its text, wrapped beside it.
    fn write_labelled(
        &self,
        out: &mut impl Write,
        tone: Tone,
        indent: &str,
        label: &str,
        text: &str,
    ) -> io::Result<()> {
        let label_width = Self::LABEL.max(label.len() + 1);
        let rest = format!("{indent}{}", " ".repeat(label_width));
        for (index, line) in words::wrap(text, self.width, &rest, &rest).iter().enumerate() {
            match line.strip_prefix(rest.as_str()) {
                Some(line) if index == 0 => {
                    let label = self.paint.apply(tone, &words::pad(label, label_width));
                    writeln!(out, "{indent}{label}{line}")?;
                }
                _ => writeln!(out, "{line}")?,
            }
        }
        Ok(())
    }

    /// How much a problem with this cause should stand out.
    fn cause_tone(&self, cause: Option<Cause>) -> Tone {
        tone_of(cause)
    }

    /// The one of two tones that stands out more.
    fn graver(&self, a: Tone, b: Tone) -> Tone {
        if a == Tone::Alarm || (a == Tone::Warning && b != Tone::Alarm) { a } else { b }
    }
}

/// How much a problem with this cause should stand out.
fn tone_of(cause: Option<Cause>) -> Tone {
    match cause {
        Some(cause) if cause.is_meant() => Tone::Note,
        Some(Cause::SynScan) | None => Tone::Warning,
        Some(_) => Tone::Alarm,
    }
}
