//! Lines of a live capture: of episodes as they begin, go on and end, and of single attempts.

use std::io::{self, Write};

use strum::IntoEnumIterator;

use super::attempts::{cause, connect, retries};
use super::clock::Clock;
use super::paint::{Emphasis, Painter};

use crate::handshake::{Attempt, Verdict};
use crate::kernel::KernelStats;
use crate::listener::{Episode, EpisodeReport, EpisodeState};
use crate::packet::Timestamp;
use crate::report::{ReportOptions, wording};
use crate::words::number;

/// Writes lines such as `01:47:03.130  10.9.0.1:35210 > 10.9.0.2:7777  synack-retransmitted, syn-ack 5,
/// accept-queue-overflow (likely); connect() succeeded`.
#[derive(Debug)]
pub struct AttemptLines {
    clock: Clock,
    paint: Painter,
}

impl AttemptLines {
    /// Lines with times of the zone in `options`, and the date where it is not that of `now`.
    #[must_use]
    pub fn new(options: &ReportOptions, now: Timestamp) -> Self {
        let clock = Clock::new(options.zone.clone()).on_day_of(Some(now));
        Self { clock, paint: Painter::new(options.colour) }
    }

    /// The line of a settled attempt.
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    pub fn settled(&self, out: &mut impl Write, attempt: &Attempt) -> io::Result<()> {
        self.line(out, attempt, "")
    }

    /// The line of an attempt that may still change.
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    pub fn provisional(&self, out: &mut impl Write, attempt: &Attempt) -> io::Result<()> {
        self.line(out, attempt, "so far ")
    }

    /// The line of an episode as it begins, goes on or ends.
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    pub fn episode(&self, out: &mut impl Write, now: Timestamp, report: &EpisodeReport) -> io::Result<()> {
        let episode = &report.episode;
        let kind = wording::episode(episode.cause, episode.confidence);
        let kind = self.paint.apply(super::style::emphasis_of(episode.cause), &kind);
        let since = episode.until.since(episode.from);
        let state = match report.state {
            EpisodeState::Begun => "begins".to_owned(),
            EpisodeState::Ongoing => format!("goes on since {}", self.clock.time(episode.from)),
            EpisodeState::Ended => format!("ended after {}", super::clock::length(since)),
        };
        let figures = [attempts(episode), queue(report), drops(report)];
        let figures: Vec<String> = figures.into_iter().flatten().collect();
        let who = match (report.scanner, &report.kernel) {
            (Some(client), _) => format!("{client} > {} and others", report.server),
            (None, Some(stats)) => format!("{}{}", report.server, listener(stats)),
            (None, None) => report.server.to_string(),
        };
        let colon = if figures.is_empty() { "" } else { ": " };
        writeln!(out, "{}  {who}  {kind} {state}{colon}{}", self.clock.time(now), figures.join("; "))
    }

    fn line(&self, out: &mut impl Write, attempt: &Attempt, so_far: &str) -> io::Result<()> {
        let emphasis = match (attempt.verdict.is_problem(), attempt.inference.cause) {
            (true, cause) => super::style::emphasis_of(cause),
            (false, _) => Emphasis::Good,
        };
        let mut words = vec![self.paint.apply(emphasis, attempt.verdict.name())];
        words.extend(Some(retries(attempt.retries)).filter(|retries| retries != "-"));
        words.extend(cause(attempt));
        writeln!(
            out,
            "{}  {} > {}  {so_far}{}; connect() {}",
            self.clock.time(attempt.start),
            attempt.client,
            attempt.server,
            words.join(", "),
            connect(attempt.connect)
        )
    }
}

/// `47 unanswered, 3 synack-retransmitted`.
fn attempts(episode: &Episode) -> Option<String> {
    let counts = Verdict::iter().map(|verdict| (verdict, episode.verdicts.get(verdict)));
    let counts = counts.filter(|&(_, attempts)| attempts > 0);
    let words: Vec<String> =
        counts.map(|(verdict, attempts)| format!("{} {verdict}", number(attempts))).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// `17 waiting (limit 16, and one more), for up to 4.1 s`.
fn queue(report: &EpisodeReport) -> Option<String> {
    let stats = report.kernel.as_ref()?;
    if !stats.listening {
        return Some("the listener is closed".to_owned());
    }
    let wait = stats.longest_wait.map_or_else(String::new, |wait| format!(", for up to {wait}"));
    Some(format!("{}{wait}", wording::queue(stats.recv_q, stats.send_q)))
}

/// `310 socket drops, 31 a second`.
fn drops(report: &EpisodeReport) -> Option<String> {
    let drops = report.drops.filter(|&drops| drops > 0)?;
    let rate = report.drops_per_second.filter(|_| report.state == EpisodeState::Ongoing);
    let rate = rate.map_or_else(String::new, |rate| format!(", {rate:.0} a second"));
    Some(format!("{}{rate}", wording::socket_drops(drops)))
}

/// ` (nginx[71] stopped in docker 3f2a1b0c9d8e, 1 of 4 sockets full)`, as far as known.
pub(super) fn listener(stats: &KernelStats) -> String {
    let published = stats.published.map(|published| format!("published as {published}"));
    let words = [Some(wording::listening(stats)).filter(|words| !words.is_empty()), published];
    let words: Vec<String> = words.into_iter().flatten().collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}
