//! `hsanalyze -i IFACE`: packets in, problems reported as they are settled, the report at the end.
//!
//! One thread does everything in turn: it takes what has arrived, and once a second it counts drops, reads the kernel's
//! figures of its queues, and reports what was settled since.

mod config;
mod episodes;
mod kernel;
mod reporter;
mod signals;
mod source;

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Context;

pub use self::config::{LiveConfig, SaveConfig};
use self::kernel::KernelPoller;
use self::reporter::LiveReporter;
use self::signals::Signals;
use self::source::RecordedSource;
use super::{Status, analyse, raise_descriptor_limit, refuse_one_file_for_two};
use crate::capture::{self, Rotation, Saver, Source, devices};
use crate::clock;
use crate::engine::{Analysis, AnalysisOptions, Summary};
use crate::listener::Listeners;
use crate::packet::Timestamp;
use crate::printable::printable;
use crate::report::Verbosity;
use crate::report::output::Output;
use crate::report::status::{LiveCounts, StatusLine};
use crate::sandbox::{self, SandboxPlan};

/// Interval at which drops are counted, the kernel is read and settled attempts are reported.
const TICK: Duration = Duration::from_secs(1);

/// Longest time that packets which arrived before the end take through the kernel's buffer.
const LINGER: Duration = Duration::from_millis(600);

/// Captures until a signal or a limit ends it, and writes the report.
///
/// # Errors
///
/// The capture cannot be opened, privileges cannot be given up, or the output cannot be written. An interface
/// that goes away and packets that cannot be saved are no error but a [`Status`].
pub fn run(config: &LiveConfig) -> anyhow::Result<Status> {
    let analyse = &config.analyse;
    let results = [("-o", &analyse.output), ("--write", &analyse.packets), ("--report", &analyse.page)];
    let results = results.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?)));
    if let Some(save) = &config.save {
        let numbered = save.rotation != Rotation::default();
        for (option, path) in results.clone() {
            refuse_one_file_for_two(("-w", &save.path), numbered, (option, path))?;
        }
    }
    let signals = Signals::catch().context("catching signals")?;
    let live = capture::LiveCapture::open(&config.capture)?;
    // Before privileges go: descriptors of other network namespaces are opened while they may be entered, a dozen each.
    raise_descriptor_limit();
    let kernel = KernelPoller::new(&config.netns, config.with_bpf);
    let writes = results.map(|(_, path)| path).chain(config.save.as_ref().map(|save| &save.path));
    let plan = SandboxPlan { user: config.user.clone(), writes: writes.cloned().collect() };
    let applied = sandbox::confine(&plan)?;
    if config.analyse.verbosity == Verbosity::Verbose {
        live.notes().iter().chain(&applied).chain(&kernel.notes()).for_each(|note| say(note));
    }
    if config.analyse.verbosity != Verbosity::Quiet {
        let (link, snap) = (live.link(), config.capture.snap_length);
        say(&format!("capturing on {}, link type {link}, snapshot length {snap} bytes", live.device()));
    }
    let saver = match &config.save {
        Some(save) => {
            let (link, snap) = (live.link(), config.capture.snap_length);
            let saver = Saver::create(&save.path, save.rotation, link, snap, clock::now());
            Some(saver.with_context(|| format!("cannot write {}", save.path.display()))?)
        }
        None => None,
    };
    let mut session = Session {
        config,
        signals,
        source: RecordedSource::new(live, saver, config.count),
        kernel,
        unsaved: false,
    };
    let exit = session.signals.exit();
    let prepare = |output: &Output| exit.leave_nothing(output.unfinished());
    let status = analyse::run_with(&config.analyse, true, prepare, |options, recorder, sink| {
        session.source.record(recorder);
        let mut reporter = LiveReporter::new(config, options, sink, clock::now());
        session.run(&mut reporter)
    })?;
    Ok(if session.unsaved { Status::Damaged } else { status })
}

/// Lists the devices on `out`, numbered as `-i` takes them.
///
/// # Errors
///
/// libpcap cannot list them, or the output's.
pub fn list(out: &mut impl Write) -> anyhow::Result<()> {
    let devices = devices().map_err(|reason| anyhow::anyhow!("the interfaces cannot be listed: {reason}"))?;
    for (device, number) in devices.iter().zip(1..) {
        writeln!(out, "{number}.{}", printable(&device.to_string()))?;
    }
    Ok(out.flush()?)
}

/// A capture in progress.
struct Session<'a> {
    config: &'a LiveConfig,
    signals: Signals,
    source: RecordedSource,
    kernel: KernelPoller,
    /// Packets that were to be saved were not.
    unsaved: bool,
}

impl Session<'_> {
    fn run(&mut self, reporter: &mut LiveReporter<'_>) -> anyhow::Result<(Summary, Listeners)> {
        let options = analyse::engine_options(&self.config.analyse);
        let mut analysis = Analysis::new(&AnalysisOptions { reports_stuck: true, ..options });
        let shown = self.config.analyse.verbosity != Verbosity::Quiet && io::stderr().is_terminal();
        let mut line = StatusLine::new(self.source.device(), shown);
        let begun = Instant::now();
        let mut next_tick = begun;
        let mut ending: Option<RequestedEnd> = None;
        loop {
            let status = analysis.step(&mut self.source, reporter)?;
            let now = Instant::now();
            if now >= next_tick {
                // A tick that comes late is followed by the next a whole interval later, not by a burst.
                next_tick = now + TICK;
                self.tick(&mut analysis, reporter, &mut line)?;
            }
            if self.signals.report_wanted() {
                self.report_so_far(&mut analysis, reporter, &line)?;
            }
            let over = self.config.duration.is_some_and(|duration| begun.elapsed() >= duration);
            if ending.is_none() && (over || self.signals.end_wanted()) {
                ending = Some(RequestedEnd { wall: clock::now(), until: now + LINGER });
            }
            let drained = ending.is_some_and(|ending| ending.is_over(now, self.source.now()));
            if status == capture::SourceStatus::End || drained {
                break;
            }
        }
        // Before, so that what is settled now is recorded with the kernel's latest figures; and after, for servers
        // of which nothing was settled until now.
        self.tick(&mut analysis, reporter, &mut line)?;
        analysis.finish(reporter)?;
        self.tick(&mut analysis, reporter, &mut line)?;
        Ok(analysis.into_parts(self.source.captures()))
    }

    /// Work of once a second, and before the end.
    fn tick(
        &mut self,
        analysis: &mut Analysis,
        reporter: &mut LiveReporter<'_>,
        line: &mut StatusLine,
    ) -> io::Result<()> {
        let dropped = self.source.count_drops();
        if dropped > 0 {
            analysis.listeners().capture_dropped();
        }
        if let Some(problem) = self.source.check_interface() {
            line.aside(|| say(&format!("warning: {problem}")));
        }
        if let Some(failure) = self.kernel.poll(analysis.listeners())
            && self.config.analyse.verbosity == Verbosity::Verbose
        {
            line.aside(|| say(&format!("the kernel is not asked any more: {failure}")));
        }
        if let Some(lost) = self.kernel.lost_events() {
            line.aside(|| say(&format!("warning: {lost}")));
        }
        reporter.report(analysis.listeners(), &mut self.kernel, line)?;
        if let Some(error) = self.source.flush() {
            self.unsaved = true;
            line.aside(|| say(&format!("error: {error}")));
        }
        let verdicts = analysis.listeners().verdicts();
        line.show(LiveCounts {
            packets: analysis.counts().total,
            attempts: verdicts.total(),
            undecided: analysis.undecided() as u64,
            problems: verdicts.problems(),
            worst_queue: self.kernel.worst_queue(),
            kernel_drops: self.kernel.drops(),
            dropped,
        });
        Ok(())
    }

    /// The report so far, to standard error: standard output may be a stream for a program.
    fn report_so_far(
        &mut self,
        analysis: &mut Analysis,
        reporter: &LiveReporter<'_>,
        line: &StatusLine,
    ) -> io::Result<()> {
        self.source.count_drops();
        let summary = analysis.summary(self.source.captures());
        let undecided = analysis.undecided();
        let listeners = &*analysis.listeners();
        let mut text = Vec::new();
        if summary.verdicts.total() == 0 && undecided > 0 {
            writeln!(text, "{}: no attempt is decided yet", self.source.device())?;
        } else {
            reporter.write_so_far(&mut text, &summary, listeners)?;
        }
        let so_far = reporter.provisional_causes(listeners);
        let known =
            if so_far.is_empty() { String::new() } else { format!("; by their packets so far: {so_far}") };
        writeln!(text, "\n(undecided at the moment: {undecided}{known})")?;
        // A closed standard error ends nothing.
        line.aside(|| {
            let _ = io::stderr().write_all(&text);
        });
        Ok(())
    }
}

/// An end that was requested: what arrived before it still counts.
#[derive(Debug, Clone, Copy)]
struct RequestedEnd {
    wall: Timestamp,
    until: Instant,
}

impl RequestedEnd {
    fn is_over(&self, now: Instant, source: Option<Timestamp>) -> bool {
        now >= self.until || source.is_some_and(|source| source >= self.wall)
    }
}

/// A line on standard error, whose loss ends nothing.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "hsanalyze: {}", printable(text));
}
