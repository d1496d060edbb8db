//! Reports episodes as they begin, go on and end, and attempts as they are settled, each with the kernel's figures of
//! that time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};

use super::display::{LiveDisplay, LiveNow};
use super::episodes::{LiveEpisodes, Problem};
#[cfg(feature = "metrics")]
use super::exporter::MetricsExporter;
use super::kernel::KernelPoller;
use crate::engine::{Sink, Summary};
use crate::handshake::{Attempt, Confidence, Verdict};
use crate::listener::{AttemptFilter, Listeners, VerdictSet};
use crate::packet::{Seeded, Timestamp};
use crate::report::status::LiveCounts;
use crate::report::{InterimReport, ReportOptions, undecided_attempts};

/// Most problems that wait for the kernel's next figures; in a flood the others are reported at once.
const MAX_HELD: usize = 100_000;

/// Most undecided attempts that were reported and are kept, for the report so far: about 4 MiB.
const MAX_KEPT: usize = 8192;

/// Most attempts that look stuck and are reported in one second; in a flood the others are only counted.
const MAX_STUCK: usize = 25;

/// Sink of a live analysis. Problems are held until the kernel's next figures, a second at most: these decide the
/// confidence in their cause.
pub(super) struct LiveReporter<'a> {
    sink: &'a mut dyn Sink,
    interim: InterimReport,
    display: Box<dyn LiveDisplay>,
    /// Attempts that are shown at once, besides problems.
    shown: AttemptFilter,
    #[cfg(feature = "metrics")]
    exporter: Option<MetricsExporter>,
    episodes: LiveEpisodes,
    /// Attempts for the episodes that were not held.
    not_held: Vec<Problem>,
    held: Vec<Held>,
    /// Undecided attempts that are held, by their position in the input; what is settled meanwhile leaves.
    awaited: HashSet<u64, Seeded>,
    /// Undecided attempts that were reported, by their position in the input, with what they showed then.
    announced: HashMap<u64, Announced, Seeded>,
    /// Those of them whose packets' record is kept, at most [`MAX_KEPT`].
    kept: usize,
    /// Attempts that look stuck and were held, and those that were not, since the last report.
    stuck: usize,
    stuck_not_held: usize,
}

/// An undecided attempt that was reported.
struct Announced {
    verdict: Verdict,
    /// Its record then; `None` of those past [`MAX_KEPT`].
    attempt: Option<Box<Attempt>>,
}

/// An attempt that waits for the kernel's next figures.
struct Held {
    attempt: Attempt,
    settled: bool,
}

impl<'a> LiveReporter<'a> {
    /// Reports to `sink`, and shows on `display` what goes wrong, and the attempts that `options` list.
    pub(super) fn new(
        options: &ReportOptions,
        sink: &'a mut dyn Sink,
        display: Box<dyn LiveDisplay>,
    ) -> Self {
        Self {
            sink,
            display,
            interim: InterimReport::new(options.clone()),
            shown: options.listed.or_verdicts(VerdictSet::problems()),
            #[cfg(feature = "metrics")]
            exporter: None,
            episodes: LiveEpisodes::default(),
            not_held: Vec::new(),
            held: Vec::new(),
            awaited: HashSet::default(),
            announced: HashMap::default(),
            kept: 0,
            stuck: 0,
            stuck_not_held: 0,
        }
    }

    /// Shows the run as metrics, too.
    #[cfg(feature = "metrics")]
    pub(super) fn export(&mut self, exporter: MetricsExporter) {
        self.exporter = Some(exporter);
    }

    /// Reports everything that was held, with its cause as known to `listeners` now, and the episodes; `now` is the time
    /// that events of this moment have.
    pub(super) fn report(
        &mut self,
        listeners: &Listeners,
        kernel: &mut KernelPoller,
        now: Timestamp,
    ) -> io::Result<()> {
        let mut held = std::mem::take(&mut self.held);
        self.stuck_not_held = 0;
        self.stuck = 0;
        let mut problems = std::mem::take(&mut self.not_held);
        for Held { attempt, settled } in &mut held {
            let settled = *settled;
            if !settled || listeners.may_know_more(attempt) {
                attempt.inference = listeners.infer(attempt).into();
            }
            if settled {
                self.retract(attempt.ordinal);
            } else if !self.awaited.contains(&attempt.ordinal) || !shows_enough(attempt) {
                continue;
            }
            problems.push(Problem::new(attempt, settled));
            if settled {
                self.settled(attempt)?;
            } else if self.announce(attempt) {
                self.sink.provisional(attempt)?;
            } else {
                continue;
            }
            self.display.attempt(attempt, settled)?;
        }
        self.awaited.clear();
        let reports = self.episodes.tick(problems.drain(..), kernel, now);
        self.held = emptied(held);
        self.not_held = emptied(problems);
        reports.iter().try_for_each(|report| self.sink.episode(report))?;
        self.display.episodes(&reports, now)?;
        self.sink.drained()
    }

    /// Shows the figures of the moment.
    pub(super) fn show(
        &mut self,
        counts: LiveCounts,
        kernel: &KernelPoller,
        listeners: &Listeners,
    ) -> io::Result<()> {
        let now = LiveNow { counts, kernel, listeners, episodes: &self.episodes };
        #[cfg(feature = "metrics")]
        if let Some(exporter) = &mut self.exporter {
            exporter.update(&now);
        }
        self.display.update(&now)
    }

    /// The display of the run.
    pub(super) fn display(&mut self) -> &mut dyn LiveDisplay {
        &mut *self.display
    }

    fn settled(&mut self, attempt: &Attempt) -> io::Result<()> {
        #[cfg(feature = "metrics")]
        if let Some(exporter) = &mut self.exporter {
            exporter.count(attempt);
        }
        self.interim.attempt(attempt);
        self.sink.attempt(attempt)
    }

    /// Remembers an undecided attempt as reported; false if it was reported with this verdict before.
    fn announce(&mut self, attempt: &Attempt) -> bool {
        let before = self.announced.get(&attempt.ordinal);
        let is_new = before.is_none_or(|before| before.verdict != attempt.verdict);
        let may_keep = before.is_some_and(|before| before.attempt.is_some()) || self.kept < MAX_KEPT;
        self.kept += usize::from(may_keep && before.is_none_or(|before| before.attempt.is_none()));
        let kept = may_keep.then(|| Box::new(attempt.clone()));
        self.announced.insert(attempt.ordinal, Announced { verdict: attempt.verdict, attempt: kept });
        is_new
    }

    /// Forgets an undecided attempt; false if it was not reported.
    fn retract(&mut self, ordinal: u64) -> bool {
        let announced = self.announced.remove(&ordinal);
        let kept = announced.as_ref().is_some_and(|announced| announced.attempt.is_some());
        self.kept -= usize::from(kept);
        announced.is_some()
    }

    /// The verdicts and causes of undecided attempts by their packets so far and all that `listeners` know by now, as far as
    /// they show an overflow or look stuck: `3 synack-retransmitted, a full accept queue (likely); 8 unanswered`.
    pub(super) fn provisional_causes(&self, listeners: &Listeners) -> String {
        let mut alike = BTreeMap::new();
        for Announced { verdict, attempt } in self.announced.values() {
            let inference = attempt.as_ref().map(|attempt| listeners.infer(attempt)).unwrap_or_default();
            let cause = inference.cause.zip(inference.confidence);
            *alike.entry((*verdict, cause)).or_default() += 1;
        }
        undecided_attempts(&alike)
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
        let waits = attempt.verdict.is_problem() || self.shown.lists(attempt);
        if waits && self.held.len() < MAX_HELD {
            self.held.push(Held { attempt: attempt.clone(), settled: true });
            return Ok(());
        }
        if self.retract(attempt.ordinal) {
            self.display.attempt(attempt, true)?;
        }
        let problem = Problem::new(attempt, true);
        // Of a second's undecided attempts that were not held none is counted yet.
        if problem.is_trouble() || self.stuck_not_held > 0 || self.episodes.counts(attempt.ordinal) {
            self.not_held.push(problem);
        }
        self.settled(attempt)
    }

    fn provisional(&mut self, attempt: &Attempt) -> io::Result<()> {
        if !shows_overflow(attempt.verdict) {
            if !attempt.verdict.is_problem() {
                return Ok(());
            }
            if self.stuck >= MAX_STUCK {
                self.stuck_not_held += 1;
                self.not_held.push(Problem::new(attempt, false));
                return Ok(());
            }
            self.stuck += 1;
        }
        if self.held.len() < MAX_HELD {
            self.awaited.insert(attempt.ordinal);
            self.held.push(Held { attempt: attempt.clone(), settled: false });
        }
        Ok(())
    }

    fn drained(&mut self) -> io::Result<()> {
        self.sink.drained()
    }
}

/// The list without its entries, whose memory is used again in the next second; but not that of a flood.
fn emptied<T>(mut list: Vec<T>) -> Vec<T> {
    /// Entries that there stays room for.
    const ROOM: usize = 8192;
    list.clear();
    list.shrink_to(ROOM);
    list
}

/// True if a provisional verdict shows an overflow, and not only that the attempt is stuck.
fn shows_overflow(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::SynackRetransmitted | Verdict::ResetAfterAck | Verdict::AckIgnored)
}

/// True if an undecided attempt shows enough: an overflow that the kernel confirms, or that shows twice.
fn shows_enough(attempt: &Attempt) -> bool {
    let twice = match attempt.verdict {
        Verdict::SynackRetransmitted => attempt.retries.after_ack >= 2,
        _ => true,
    };
    twice || attempt.inference.confidence == Some(Confidence::Confirmed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::EpisodeReport;
    use crate::report::samples;

    /// Shows nothing.
    struct NoDisplay;

    impl LiveDisplay for NoDisplay {
        fn attempt(&mut self, _: &Attempt, _: bool) -> io::Result<()> {
            Ok(())
        }

        fn episodes(&mut self, _: &[EpisodeReport], _: Timestamp) -> io::Result<()> {
            Ok(())
        }

        fn update(&mut self, _: &LiveNow<'_>) -> io::Result<()> {
            Ok(())
        }

        fn notice(&mut self, _: &str) {}

        fn report_so_far(&mut self, _: &[u8]) {}
    }

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
    fn a_provisional_overflow_is_not_reported_once_it_has_completed() {
        let attempts = samples::overflow_mixed().1;
        let with = |verdict| attempts.iter().find(|attempt| attempt.verdict == verdict).unwrap().clone();
        let doubtful = with(Verdict::SynackRetransmitted);
        let completed = Attempt { ordinal: doubtful.ordinal, ..with(Verdict::Completed) };
        let listeners = Listeners::new(8);
        let mut reported = Reported::default();
        let mut reporter = LiveReporter::new(&ReportOptions::default(), &mut reported, Box::new(NoDisplay));
        reporter.provisional(&doubtful).unwrap();
        reporter.attempt(&completed).unwrap();
        reporter.report(&listeners, &mut KernelPoller::without_kernel(), Timestamp::default()).unwrap();
        assert_eq!(reporter.provisional_causes(&listeners), "");
        reporter.provisional(&doubtful).unwrap();
        reporter.report(&listeners, &mut KernelPoller::without_kernel(), Timestamp::default()).unwrap();
        assert_eq!(
            reporter.provisional_causes(&listeners),
            "1 synack-retransmitted, a full accept queue (likely)"
        );
        assert_eq!(reported.0, [(true, Verdict::Completed), (false, Verdict::SynackRetransmitted)]);
    }

    #[test]
    fn attempts_that_look_stuck_are_reported_once_and_few_at_a_time() {
        let attempts = samples::overflow_mixed().1;
        let stuck = attempts.iter().find(|attempt| attempt.verdict == Verdict::Unanswered).unwrap();
        let listeners = Listeners::new(8);
        let mut reported = Reported::default();
        let mut reporter = LiveReporter::new(&ReportOptions::default(), &mut reported, Box::new(NoDisplay));
        for _ in 0..2 {
            for ordinal in 0..100 {
                reporter.provisional(&Attempt { ordinal, ..stuck.clone() }).unwrap();
            }
            assert_eq!(reporter.stuck_not_held, 75);
            reporter.report(&listeners, &mut KernelPoller::without_kernel(), Timestamp::default()).unwrap();
        }
        let so_far = reporter.provisional_causes(&listeners);
        assert!(so_far.starts_with("25 unanswered"), "{so_far}");
        assert_eq!(reported.0, [(false, Verdict::Unanswered); 25]);
    }
}
