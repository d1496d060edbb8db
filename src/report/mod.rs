//! Reports: text and Markdown for people, JSON, NDJSON, CSV and Parquet for programs.
//!
//! Exporters turn results into bytes for any [`Write`]; they never decide where to write. Does not
//! own any judgement: verdicts, causes and advice are its input.

pub mod annotated;
mod csv;
mod display_filter;
mod held;
mod json;
pub mod ladder;
mod markdown;
#[cfg(feature = "metrics")]
pub mod metrics;
mod ndjson;
mod new_file;
pub mod output;
pub mod page;
mod point_names;
pub mod progress;
pub mod queues;
mod record;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(feature = "tui")]
pub mod screen;
mod serialize;
pub mod size;
pub mod status;
#[cfg(feature = "parquet")]
pub mod tables;
#[cfg(test)]
mod tests;
mod text;
mod wording;

use std::io::{self, Write};
use std::{env, fs};

use jiff::tz::TimeZone;

use crate::engine::{Sink, Summary};
use crate::handshake::Attempt;
use crate::listener::comparison::BaselineComparison;
use crate::listener::{AttemptFilter, CausesWanted, EpisodeReport, Listeners};

pub use self::csv::COLUMNS;
pub use self::held::{HeldAttempts, SpillFile};
#[cfg(all(target_os = "linux", feature = "lab"))]
pub(crate) use self::record::write_lab;
pub use self::record::write_size_json;
pub use self::record::{BaselineError, read_baseline};
pub use self::record::{SCHEMA, TOOL, write_race_csv, write_race_json};
pub use self::text::{AttemptLines, Offer, wanted_by_environment};
pub(crate) use self::wording::undecided_attempts;

/// Attempts that a page, or a text of all, lists at most: problems before others. A page of them takes about 10 MB, and opens
/// in about a second; in memory they take 40 MB.
pub const MAX_LISTED: usize = 100_000;

/// The output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReportFormat {
    /// For people.
    #[default]
    Text,
    /// One document.
    Json,
    /// One object per line, as attempts are settled.
    NdJson,
    /// Attempts, flat.
    Csv,
    /// A summary for a page: of a CI job, an issue, a mail.
    Markdown,
    /// Attempts, listeners and episodes as tables, in a directory.
    #[cfg(feature = "parquet")]
    Parquet,
}

/// Length of the text report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbosity {
    /// Problems only: nothing at all when all is well.
    Quiet,
    /// The report.
    #[default]
    Normal,
    /// Also packets by use, and evidence and timing of each attempt listed.
    Verbose,
}

/// Use of colour in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColourChoice {
    /// On a terminal, unless the environment forbids it.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColourChoice {
    /// True if text is to be coloured; `auto` decides for [`ColourChoice::Auto`].
    pub fn or_else(self, auto: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Auto => auto(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Contents and layout of a report.
#[derive(Debug, Clone)]
pub struct ReportOptions {
    /// The format.
    pub format: ReportFormat,
    /// Text: list all attempts, not only the worst problems; at most [`MAX_LISTED`], problems first.
    pub all: bool,
    /// The run goes on until it is ended. NDJSON also has attempts that show an overflow, or look stuck, before they are
    /// settled, as `"type":"provisional"`. Text chooses attempts by the cause that is known when they are settled, and so
    /// holds few of them.
    pub live: bool,
    /// The attempts to list. Tallies are not restricted.
    pub listed: AttemptFilter,
    /// Text: its length.
    pub verbosity: Verbosity,
    /// Text: whether to colour.
    pub colour: bool,
    /// Text: whether to draw ladders with characters beyond ASCII.
    pub unicode: bool,
    /// Text: columns to wrap at.
    pub width: usize,
    /// Text: how many problem attempts to list without `all`.
    pub worst: usize,
    /// Text: the zone that times are shown in.
    pub zone: TimeZone,
}

impl ReportOptions {
    /// Problem attempts that the text report lists: they should fit on a screen together with the
    /// block of their listener.
    pub const WORST: usize = 10;

    /// Columns where the terminal's width is not known.
    pub const WIDTH: usize = 80;
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self {
            format: ReportFormat::default(),
            all: false,
            live: false,
            listed: AttemptFilter::default(),
            verbosity: Verbosity::default(),
            colour: false,
            unicode: false,
            width: Self::WIDTH,
            worst: Self::WORST,
            zone: TimeZone::UTC,
        }
    }
}

/// True if the locale's characters are Unicode in UTF-8 (locale(7): the first of these variables that is set counts).
#[must_use]
pub fn unicode_locale() -> bool {
    let variables = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter();
    let locale = variables.filter_map(env::var_os).find(|value| !value.is_empty());
    let locale = locale.unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// The zone that this machine's user reads times in: `TZ`, else `/etc/localtime` (tzfile(5)), else UTC.
///
/// The file is read as it is: looked up by name, as jiff does, it costs a walk through the directories of all zones,
/// a fifth of what the program needs to start.
#[must_use]
pub fn local_zone() -> TimeZone {
    let file = env::var_os("TZ").is_none().then(|| zone_of("/etc/localtime"));
    file.flatten().unwrap_or_else(TimeZone::system)
}

/// The zone that a file describes.
fn zone_of(file: &str) -> Option<TimeZone> {
    TimeZone::tzif(file, &fs::read(file).ok()?).ok()
}

/// Takes the attempts as they are settled, then the summary, and writes the chosen format.
///
/// NDJSON and CSV are written as attempts come, with the causes known by then, in constant memory;
/// so is text. JSON lists attempts in order of first packet with their final causes, and
/// so holds them all: in bounded memory, and the others in a temporary file. So does text that lists attempts of some causes.
pub struct Reporter<W: Write> {
    listed: AttemptFilter,
    live: bool,
    kind: AttemptWriter<W>,
}

enum AttemptWriter<W: Write> {
    /// The attempts are held where the list depends on their final causes.
    Text(W, Box<text::TextReport>, Option<Box<HeldAttempts>>),
    Json(W, Box<HeldAttempts>),
    NdJson(W),
    Csv(Box<csv::CsvRows<W>>),
    Markdown(W, Box<markdown::MarkdownReport>),
    #[cfg(feature = "parquet")]
    Tables(Box<tables::TablesReport>),
}

impl<W: Write> Reporter<W> {
    /// A reporter that writes to `out`, which should be buffered.
    ///
    /// # Errors
    ///
    /// The errors of `out`: CSV begins with its header row. Tables go to a directory: see [`Self::with_tables`].
    pub fn new(options: ReportOptions, out: W) -> io::Result<Self> {
        let spill = SpillFile::open(options.format, options.listed);
        Self::with_spill(options, out, spill)
    }

    /// The same with a file for attempts that do not fit into memory, which was opened before.
    ///
    /// # Errors
    ///
    /// As for [`Self::new`].
    pub fn with_spill(options: ReportOptions, out: W, spill: SpillFile) -> io::Result<Self> {
        let ReportOptions { listed, live, .. } = options;
        let kind = match options.format {
            ReportFormat::Text => {
                let held = listed.causes.filter(|_| !live).map(|_| Box::new(HeldAttempts::new(spill)));
                AttemptWriter::Text(out, Box::new(text::TextReport::new(options)), held)
            }
            ReportFormat::Json => AttemptWriter::Json(out, Box::new(HeldAttempts::new(spill))),
            ReportFormat::NdJson => AttemptWriter::NdJson(out),
            ReportFormat::Csv => AttemptWriter::Csv(Box::new(csv::CsvRows::begin(out)?)),
            ReportFormat::Markdown => {
                AttemptWriter::Markdown(out, Box::new(markdown::MarkdownReport::new(options)))
            }
            #[cfg(feature = "parquet")]
            ReportFormat::Parquet => return Err(io::Error::other("tables are written to a directory")),
        };
        Ok(Self { listed, live, kind })
    }

    /// A reporter that writes tables.
    #[cfg(feature = "parquet")]
    #[must_use]
    pub fn with_tables(options: &ReportOptions, tables: tables::TablesReport) -> Self {
        Self { listed: options.listed, live: false, kind: AttemptWriter::Tables(Box::new(tables)) }
    }

    /// Writes what is left to write, and flushes.
    ///
    /// `listeners` know the final cause of an attempt that was held back, which may have needed later attempts to the
    /// same listener. `comparison` is the one with a baseline, where there is one; CSV does not show it.
    ///
    /// # Errors
    ///
    /// The writer's errors.
    pub fn finish(
        self,
        summary: &Summary,
        listeners: &Listeners,
        comparison: Option<&BaselineComparison<'_>>,
    ) -> io::Result<()> {
        match self.kind {
            AttemptWriter::Text(mut out, mut report, held) => {
                if let Some(held) = held {
                    held.read(|mut attempt| {
                        attempt.inference = listeners.infer(&attempt).into();
                        report.list(&attempt);
                        Ok(())
                    })?;
                }
                report.write(&mut out, summary, listeners, comparison)?;
                out.flush()
            }
            AttemptWriter::Json(mut out, held) => {
                let list = |list: &mut json::ListAttempt<'_>| {
                    held.read(|mut attempt| {
                        attempt.inference = listeners.infer(&attempt).into();
                        if self.listed.lists_cause_of(&attempt) { list(&attempt) } else { Ok(()) }
                    })
                };
                json::write(&mut out, summary, list, comparison)?;
                out.flush()
            }
            AttemptWriter::NdJson(mut out) => {
                ndjson::write_summary(&mut out, summary, comparison)?;
                out.flush()
            }
            AttemptWriter::Csv(mut rows) => rows.flush(),
            AttemptWriter::Markdown(mut out, report) => {
                report.write(&mut out, summary, comparison)?;
                out.flush()
            }
            #[cfg(feature = "parquet")]
            AttemptWriter::Tables(tables) => tables.finish(summary),
        }
    }
}

impl<W: Write> Sink for Reporter<W> {
    fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
        let listed = self.listed.lists(attempt);
        let may_be_listed = self.listed.lists_verdict_of(attempt);
        match &mut self.kind {
            // It counts all attempts, and chooses by itself which to list.
            AttemptWriter::Text(_, report, held) => {
                report.count(attempt);
                match held {
                    Some(held) if may_be_listed => return held.push(attempt.clone()),
                    Some(_) => {}
                    None => report.list(attempt),
                }
            }
            AttemptWriter::Markdown(_, report) => report.attempt(attempt),
            AttemptWriter::Json(_, held) if may_be_listed => return held.push(attempt.clone()),
            AttemptWriter::NdJson(out) if listed => return ndjson::write_attempt(out, attempt),
            AttemptWriter::Csv(rows) if listed => return rows.attempt(attempt),
            #[cfg(feature = "parquet")]
            AttemptWriter::Tables(tables) if listed => return tables.attempt(attempt),
            AttemptWriter::Json(..) | AttemptWriter::NdJson(_) | AttemptWriter::Csv(_) => {}
            #[cfg(feature = "parquet")]
            AttemptWriter::Tables(_) => {}
        }
        Ok(())
    }

    fn provisional(&mut self, attempt: &Attempt) -> io::Result<()> {
        match &mut self.kind {
            AttemptWriter::NdJson(out) if self.live && self.listed.lists(attempt) => {
                ndjson::write_provisional(out, attempt)
            }
            AttemptWriter::Text(..)
            | AttemptWriter::Json(..)
            | AttemptWriter::NdJson(_)
            | AttemptWriter::Csv(_)
            | AttemptWriter::Markdown(..) => Ok(()),
            #[cfg(feature = "parquet")]
            AttemptWriter::Tables(_) => Ok(()),
        }
    }

    fn episode(&mut self, report: &EpisodeReport) -> io::Result<()> {
        match &mut self.kind {
            AttemptWriter::NdJson(out) => ndjson::write_episode(out, report),
            AttemptWriter::Text(..)
            | AttemptWriter::Json(..)
            | AttemptWriter::Csv(_)
            | AttemptWriter::Markdown(..) => Ok(()),
            #[cfg(feature = "parquet")]
            AttemptWriter::Tables(_) => Ok(()),
        }
    }

    fn causes_wanted(&self) -> CausesWanted {
        match &self.kind {
            AttemptWriter::Text(_, _, None) if self.listed.causes.is_some() => CausesWanted::AtOnce,
            AttemptWriter::Text(..) | AttemptWriter::Json(..) | AttemptWriter::Markdown(..) => {
                CausesWanted::AtEnd
            }
            AttemptWriter::NdJson(_) | AttemptWriter::Csv(_) => CausesWanted::AtOnce,
            #[cfg(feature = "parquet")]
            AttemptWriter::Tables(_) => CausesWanted::AtOnce,
        }
    }

    fn drained(&mut self) -> io::Result<()> {
        match &mut self.kind {
            AttemptWriter::Text(..) | AttemptWriter::Json(..) | AttemptWriter::Markdown(..) => Ok(()),
            AttemptWriter::NdJson(out) => out.flush(),
            AttemptWriter::Csv(rows) => rows.flush(),
            #[cfg(feature = "parquet")]
            AttemptWriter::Tables(_) => Ok(()),
        }
    }
}

/// A text report that can be written at any time, and again: what a live capture has found so far.
pub struct InterimReport(text::TextReport);

impl InterimReport {
    /// An empty report, bounded in memory whatever `options` set for the final one.
    #[must_use]
    pub fn new(options: ReportOptions) -> Self {
        Self(text::TextReport::new(ReportOptions { all: false, ..options }))
    }

    /// Adds one attempt.
    pub fn attempt(&mut self, attempt: &Attempt) {
        self.0.count(attempt);
        self.0.list(attempt);
    }

    /// Writes the report so far. `listeners` as for [`Reporter::finish`].
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    pub fn write(&self, out: &mut impl Write, summary: &Summary, listeners: &Listeners) -> io::Result<()> {
        self.0.clone().write(out, summary, listeners, None)?;
        out.flush()
    }
}
