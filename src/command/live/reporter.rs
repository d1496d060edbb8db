//! Reports attempts as they are settled, each with the kernel's figures of that time.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use super::config::LiveConfig;
use crate::engine::{Sink, Summary};
use crate::handshake::{Attempt, Confidence, Verdict};
use crate::kernel::KernelStats;
use crate::listener::Listeners;
use crate::packet::Timestamp;
use crate::report::status::StatusLine;
use crate::report::{AttemptLines, InterimReport, ReportFormat, ReportOptions, Verbosity, VerdictSet};
use crate::words::count;

/// Most problems that wait for the kernel's next figures; in a flood the others are reported at once.
const MOST_HELD: usize = 100_000;

/// Most attempts that look stuck and are reported in one second; in a flood the others are only counted.
const MOST_STUCK: usize = 25;

/// Sink of a live analysis. Problems wait for the kernel's next figures, a second at most: those of the moment in
/// which they happened decide how sure their cause is.
pub(super) struct LiveReporter<'a> {
    sink: &'a mut dyn Sink,
    interim: InterimReport,
    lines: AttemptLines,
    /// Standard output is free for lines: the report is text, or goes to a file.
    free: bool,
    shown: VerdictSet,
    provisional: bool,
    held: Vec<HeldLine>,
    /// Undecided attempts that are held, by their position in the input; what is decided meanwhile leaves.
    awaited: HashSet<u64>,
    /// Undecided attempts that were reported, by their position in the input, with what they showed then.
    announced: HashMap<u64, Verdict>,
    /// Attempts that look stuck and were held, and those that were not, since the last report.
    stuck: usize,
    stuck_not_held: usize,
}

enum HeldLine {
    Decided(Attempt),
    Provisional(Attempt),
}

impl<'a> LiveReporter<'a> {
    pub(super) fn new(
        config: &LiveConfig,
        options: &ReportOptions,
        sink: &'a mut dyn Sink,
        now: Timestamp,
    ) -> Self {
        let analyse = &config.analyse;
        let free = analyse.format == ReportFormat::Text || analyse.output.is_some();
        Self {
            sink,
            interim: InterimReport::new(options.clone()),
            lines: AttemptLines::new(options, now),
            free,
            shown: analyse.verdicts.unwrap_or_else(VerdictSet::problems),
            provisional: analyse.verbosity != Verbosity::Quiet,
            held: Vec::new(),
            awaited: HashSet::new(),
            announced: HashMap::new(),
            stuck: 0,
            stuck_not_held: 0,
        }
    }

    /// Reports everything that was held, with its cause as known to `listeners` now.
    pub(super) fn report(&mut self, listeners: &Listeners, line: &StatusLine) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        let not_held = std::mem::take(&mut self.stuck_not_held);
        self.stuck = 0;
        if held.is_empty() {
            return self.sink.drained();
        }
        let mut text = Vec::new();
        for held in held {
            match held {
                HeldLine::Decided(mut attempt) => {
                    attempt.inference = listeners.infer(&attempt);
                    self.announced.remove(&attempt.ordinal);
                    self.decided(&mut text, &attempt)?;
                }
                HeldLine::Provisional(mut attempt) => {
                    attempt.inference = listeners.infer(&attempt);
                    let undecided = self.awaited.contains(&attempt.ordinal);
                    if undecided && speaks(&attempt) {
                        let before = self.announced.insert(attempt.ordinal, attempt.verdict);
                        if before != Some(attempt.verdict) {
                            self.so_far(&mut text, &attempt)?;
                        }
                    }
                }
            }
        }
        self.awaited.clear();
        if not_held > 0 && self.free && self.provisional {
            writeln!(text, "... {} more look stuck so far", count(not_held as u64, "attempt"))?;
        }
        line.aside(|| write_lines(&text))?;
        self.sink.drained()
    }

    /// Reports listeners that have begun to overflow by the kernel's count: among the lines for people, or on standard
    /// error where standard output is a program's.
    pub(super) fn overflows(
        &self,
        begun: &[KernelStats],
        now: Timestamp,
        line: &StatusLine,
    ) -> io::Result<()> {
        if begun.is_empty() || !self.provisional {
            return Ok(());
        }
        let mut text = Vec::new();
        begun.iter().try_for_each(|word| self.lines.overflow(&mut text, now, word))?;
        if self.free {
            return line.aside(|| write_lines(&text));
        }
        // A closed standard error ends nothing.
        line.aside(|| {
            let _ = io::stderr().write_all(&text);
        });
        Ok(())
    }

    fn decided(&mut self, text: &mut Vec<u8>, attempt: &Attempt) -> io::Result<()> {
        if self.free && self.shown.contains(attempt.verdict) {
            self.lines.decided(text, attempt)?;
        }
        self.interim.attempt(attempt);
        self.sink.attempt(attempt)
    }

    fn so_far(&mut self, text: &mut Vec<u8>, attempt: &Attempt) -> io::Result<()> {
        if self.free && self.provisional && self.shown.contains(attempt.verdict) {
            self.lines.provisional(text, attempt)?;
        }
        self.sink.provisional(attempt)
    }

    /// Number of undecided attempts that were reported because they show an overflow.
    pub(super) fn undecided_overflows(&self) -> usize {
        self.announced.values().filter(|&&verdict| shows_overflow(verdict)).count()
    }

    /// Number of other undecided attempts that were reported because they look stuck.
    pub(super) fn undecided_stuck(&self) -> usize {
        self.announced.len() - self.undecided_overflows()
    }

    /// Writes the report so far.
    pub(super) fn write_so_far(
        &self,
        out: &mut impl Write,
        summary: &Summary,
        listeners: &Listeners,
    ) -> io::Result<()> {
        self.interim.write(out, summary, listeners)
    }
}

impl Sink for LiveReporter<'_> {
    fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
        self.awaited.remove(&attempt.ordinal);
        let waits = attempt.verdict.is_problem() || self.shown.contains(attempt.verdict);
        if waits && self.held.len() < MOST_HELD {
            self.held.push(HeldLine::Decided(attempt.clone()));
            return Ok(());
        }
        let mut text = Vec::new();
        self.announced.remove(&attempt.ordinal);
        self.decided(&mut text, attempt)?;
        write_lines(&text)
    }

    fn provisional(&mut self, attempt: &Attempt) -> io::Result<()> {
        if !shows_overflow(attempt.verdict) {
            if !attempt.verdict.is_problem() {
                return Ok(());
            }
            if self.stuck >= MOST_STUCK {
                self.stuck_not_held += 1;
                return Ok(());
            }
            self.stuck += 1;
        }
        if self.held.len() < MOST_HELD {
            self.awaited.insert(attempt.ordinal);
            self.held.push(HeldLine::Provisional(attempt.clone()));
        }
        Ok(())
    }

    fn drained(&mut self) -> io::Result<()> {
        self.sink.drained()
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

/// True if a provisional verdict shows an overflow, and not only that the attempt is stuck.
fn shows_overflow(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::SynackRetransmitted | Verdict::ResetAfterAck | Verdict::AckIgnored)
}

/// True if an undecided attempt shows enough: an overflow that the kernel confirms, or that shows twice.
fn speaks(attempt: &Attempt) -> bool {
    let twice = match attempt.verdict {
        Verdict::SynackRetransmitted => attempt.retries.after_ack >= 2,
        _ => true,
    };
    twice || attempt.inference.confidence == Some(Confidence::Confirmed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parse};
    use crate::report::samples;

    /// Reported attempts: whether each was settled, and its verdict.
    #[derive(Default)]
    struct Reported(Vec<(bool, Verdict)>);

    impl Sink for Reported {
        fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
            self.0.push((true, attempt.verdict));
            Ok(())
        }

        fn provisional(&mut self, attempt: &Attempt) -> io::Result<()> {
            self.0.push((false, attempt.verdict));
            Ok(())
        }
    }

    #[test]
    fn what_looked_like_an_overflow_is_not_told_of_once_it_has_completed() {
        let Ok(Command::Live(config)) = parse(["hsanalyze", "-i", "lo", "--format", "ndjson"]) else {
            panic!("these are arguments of a live capture");
        };
        let attempts = samples::overflow_mixed().1;
        let with = |verdict| attempts.iter().find(|attempt| attempt.verdict == verdict).unwrap().clone();
        let doubtful = with(Verdict::SynackRetransmitted);
        let completed = Attempt { ordinal: doubtful.ordinal, ..with(Verdict::Completed) };
        let (listeners, line) = (Listeners::new(8), StatusLine::new("lo", false));
        let mut reported = Reported::default();
        let mut reporter =
            LiveReporter::new(&config, &ReportOptions::default(), &mut reported, Timestamp::default());
        reporter.provisional(&doubtful).unwrap();
        reporter.attempt(&completed).unwrap();
        reporter.report(&listeners, &line).unwrap();
        assert_eq!(reporter.undecided_overflows(), 0);
        reporter.provisional(&doubtful).unwrap();
        reporter.report(&listeners, &line).unwrap();
        assert_eq!(reporter.undecided_overflows(), 1);
        assert_eq!(reported.0, [(true, Verdict::Completed), (false, Verdict::SynackRetransmitted)]);
    }

    #[test]
    fn attempts_that_look_stuck_are_reported_once_and_few_at_a_time() {
        let Ok(Command::Live(config)) = parse(["hsanalyze", "-i", "lo", "--format", "ndjson"]) else {
            panic!("these are arguments of a live capture");
        };
        let attempts = samples::overflow_mixed().1;
        let stuck = attempts.iter().find(|attempt| attempt.verdict == Verdict::Unanswered).unwrap();
        let (listeners, line) = (Listeners::new(8), StatusLine::new("lo", false));
        let mut reported = Reported::default();
        let mut reporter =
            LiveReporter::new(&config, &ReportOptions::default(), &mut reported, Timestamp::default());
        for _ in 0..2 {
            for ordinal in 0..100 {
                reporter.provisional(&Attempt { ordinal, ..stuck.clone() }).unwrap();
            }
            assert_eq!(reporter.stuck_not_held, 75);
            reporter.report(&listeners, &line).unwrap();
        }
        assert_eq!((reporter.undecided_overflows(), reporter.undecided_stuck()), (0, 25));
        assert_eq!(reported.0, [(false, Verdict::Unanswered); 25]);
    }
}
