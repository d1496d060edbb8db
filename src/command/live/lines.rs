//! A live run as lines, with a status line below them.

use std::io::{self, IsTerminal, Write};

use indexmap::IndexMap;
use indexmap::map::Entry;

use super::config::LiveConfig;
use super::display::{LiveDisplay, LiveNow};
use crate::handshake::Attempt;
use crate::listener::{AttemptFilter, EpisodeReport, EpisodeState, VerdictSet};
use crate::packet::{Endpoint, Timestamp};
use crate::report::status::StatusLine;
use crate::report::{AttemptLines, ReportFormat, ReportOptions, Verbosity};
use crate::words::count;

/// Most lines of episodes that are written at once, for each state: a scan of many ports would fill the screen.
const MAX_LINES: usize = 10;

/// Writes lines for people: on standard error where standard output is a program's.
pub(super) struct LineDisplay {
    line: StatusLine,
    lines: AttemptLines,
    /// Standard output is free for lines: the report is text, or goes to a file.
    free: bool,
    /// Single attempts are written as lines, too.
    singles: bool,
    quiet: bool,
    shown: AttemptFilter,
    /// Lines of single attempts in this second.
    second: SingleLines,
}

impl LineDisplay {
    pub(super) fn new(config: &LiveConfig, options: &ReportOptions, input: &str, now: Timestamp) -> Self {
        let analyse = &config.analyse;
        let free = analyse.format == ReportFormat::Text || analyse.output.is_some();
        let quiet = analyse.verbosity == Verbosity::Quiet;
        Self {
            line: StatusLine::new(input, !quiet && io::stderr().is_terminal()),
            lines: AttemptLines::new(options, now),
            free,
            singles: free && (analyse.all || analyse.verbosity == Verbosity::Verbose),
            quiet,
            shown: analyse.listed.or_verdicts(VerdictSet::problems()),
            second: SingleLines::default(),
        }
    }

    /// The lines of these episodes, those that begin first.
    fn episode_lines(&self, reports: &[EpisodeReport], now: Timestamp) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        for state in [EpisodeState::Begun, EpisodeState::Ongoing, EpisodeState::Ended] {
            if self.quiet && state == EpisodeState::Ongoing {
                continue;
            }
            let mut of_state: Vec<&EpisodeReport> =
                reports.iter().filter(|report| report.state == state).collect();
            // The worst first, if not all fit.
            of_state.sort_by_key(|report| {
                std::cmp::Reverse((report.episode.verdicts.problems(), report.drops.unwrap_or(0)))
            });
            for report in of_state.iter().take(MAX_LINES) {
                self.lines.episode(&mut text, now, report)?;
            }
            if let Some(more) = of_state.len().checked_sub(MAX_LINES).filter(|&more| more > 0) {
                let verb = match state {
                    EpisodeState::Begun => "begin",
                    EpisodeState::Ongoing => "go on",
                    EpisodeState::Ended => "ended",
                };
                writeln!(text, "... {} more {verb}", count(more as u64, "episode"))?;
            }
        }
        Ok(text)
    }
}

impl LiveDisplay for LineDisplay {
    fn attempt(&mut self, attempt: &Attempt, settled: bool) -> io::Result<()> {
        if self.singles && self.shown.lists(attempt) {
            self.second.add(&self.lines, attempt, settled)?;
        }
        Ok(())
    }

    fn episodes(&mut self, reports: &[EpisodeReport], now: Timestamp) -> io::Result<()> {
        let text = std::mem::take(&mut self.second).finish()?;
        self.line.aside(|| write_lines(&text))?;
        if self.quiet && !self.free {
            return Ok(());
        }
        let text = self.episode_lines(reports, now)?;
        if self.free {
            return self.line.aside(|| write_lines(&text));
        }
        // A closed standard error ends nothing.
        self.line.aside(|| {
            let _ = io::stderr().write_all(&text);
        });
        Ok(())
    }

    fn update(&mut self, now: &LiveNow<'_>) -> io::Result<()> {
        self.line.show(now.counts);
        Ok(())
    }

    fn notice(&mut self, text: &str) {
        self.line.aside(|| super::say(text));
    }

    fn report_so_far(&mut self, text: &[u8]) {
        // A closed standard error ends nothing.
        self.line.aside(|| {
            let _ = io::stderr().write_all(text);
        });
    }
}

/// Lines of single attempts in one second: one for each server, and how many more there were.
#[derive(Default)]
struct SingleLines {
    text: Vec<u8>,
    /// Attempts without a line, by server, in order of its line.
    more: IndexMap<Endpoint, u64>,
}

impl SingleLines {
    fn add(&mut self, lines: &AttemptLines, attempt: &Attempt, settled: bool) -> io::Result<()> {
        match self.more.entry(attempt.server) {
            Entry::Occupied(mut more) => {
                *more.get_mut() += 1;
                Ok(())
            }
            Entry::Vacant(first) => {
                first.insert(0);
                match settled {
                    true => lines.settled(&mut self.text, attempt),
                    false => lines.provisional(&mut self.text, attempt),
                }
            }
        }
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        for (server, more) in self.more.into_iter().filter(|&(_, more)| more > 0) {
            writeln!(self.text, "... and {} to {server}", count(more, "more attempt"))?;
        }
        Ok(self.text)
    }
}

fn write_lines(text: &[u8]) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    stdout.flush()
}
