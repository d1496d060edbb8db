//! `hsanalyze -i IFACE`: packets in, problems reported as they are settled, the report at the end.
//!
//! One thread does everything in turn: it takes what has arrived, and once a second it counts drops, reads the kernel's
//! figures of its queues, and reports what was settled since.

mod config;
mod display;
mod dropped;
mod episodes;
#[cfg(feature = "metrics")]
mod exporter;
mod kernel;
mod lines;
mod reporter;
#[cfg(feature = "tui")]
mod screen;
mod signals;
mod source;
mod uncaptured;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::Context;

pub use self::config::{LiveConfig, LiveInput, SaveConfig};
use self::display::LiveDisplay;
#[cfg(feature = "metrics")]
use self::exporter::MetricsExporter;
use self::kernel::{KernelPoller, NetnsAccess};
use self::lines::LineDisplay;
use self::reporter::LiveReporter;
use self::signals::Signals;
use self::source::{OpenInput, RecordedSource};
use super::analyse::BaselineFile;
use super::{Status, analyse, raise_descriptor_limit, refuse_one_file_for_two};
use crate::capture::{self, FollowedFile, LiveCapture, Rotation, Saver, Source, devices};
use crate::clock;
use crate::engine::packets::SharedRecorder;
use crate::engine::{Analysis, AnalysisOptions, Summary};
use crate::listener::Listeners;
use crate::packet::Timestamp;
use crate::printable::printable;
#[cfg(feature = "parquet")]
use crate::report::ReportFormat;
use crate::report::status::LiveCounts;
#[cfg(feature = "tui")]
use crate::report::wanted_by_environment;
use crate::report::{ReportOptions, Verbosity};
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
    #[cfg(feature = "tui")]
    if config.screen {
        screen::require_terminal()?;
    }
    let analyse = &config.analyse;
    let results = [("-o", &analyse.output), ("--write", &analyse.packets), ("--report", &analyse.page)];
    let results = results.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?)));
    if let Some(save) = &config.save {
        let numbered = save.rotation != Rotation::default();
        for (option, path) in results.clone() {
            refuse_one_file_for_two(("-w", &save.path), numbered, (option, path))?;
        }
    }
    if let (Some(save), Some(baseline)) = (&config.save, &analyse.baseline) {
        let numbered = save.rotation != Rotation::default();
        refuse_one_file_for_two(("-w", &save.path), numbered, ("--baseline", baseline))?;
    }
    if let LiveInput::File(path) = &config.input {
        for (option, written) in results.clone() {
            refuse_one_file_for_two((option, written), false, ("--follow", path))?;
        }
    }
    #[cfg(feature = "parquet")]
    if let (ReportFormat::Parquet, Some(directory)) = (analyse.format, &analyse.output)
        && !directory.is_dir()
    {
        // Made now it would be root's, and the rights to make it later are given up.
        anyhow::bail!("-o {}: a live capture needs a directory that exists", directory.display());
    }
    let signals = Signals::catch().context("catching signals")?;
    sandbox::raise_capabilities();
    let input = open(config, &signals)?;
    // Before privileges go: descriptors of other network namespaces are opened while they may be entered, a dozen each.
    raise_descriptor_limit();
    let kernel = match &input {
        OpenInput::Interface(_) => {
            KernelPoller::new(&config.netns, NetnsAccess::take(&config.netns), config.with_bpf)
        }
        // It may have come from another machine.
        OpenInput::File(_) => KernelPoller::without_kernel(),
    };
    // Before, too: a port below 1024 needs a privilege, and Landlock allows no further ones.
    #[cfg(feature = "metrics")]
    let metrics = config.metrics.map(MetricsExporter::bind).transpose()?;
    let writes = results.map(|(_, path)| path).chain(config.save.as_ref().map(|save| &save.path));
    let baseline = BaselineFile::open(analyse.baseline.as_deref())?;
    let plan = SandboxPlan { user: config.user.clone(), writes: writes.cloned().collect() };
    let applied = sandbox::confine(&plan)?;
    if config.analyse.verbosity == Verbosity::Verbose {
        let notes = match &input {
            OpenInput::Interface(live) => [live.notes(), &kernel.notes()].concat(),
            OpenInput::File(_) => Vec::new(),
        };
        notes.iter().chain(&applied).for_each(|note| say(note));
    }
    if config.analyse.verbosity != Verbosity::Quiet {
        say(&greeting(config, &input));
    }
    // After, so that its thread has no privileges either.
    #[cfg(feature = "metrics")]
    let exporter =
        metrics.map(|listener| MetricsExporter::serve(listener, config.analyse.verbosity)).transpose()?;
    let saver = match (&config.save, &config.input, &input) {
        (Some(save), LiveInput::Interface(options), OpenInput::Interface(live)) => {
            let (link, snap) = (live.link(), options.snap_length);
            let saver = Saver::create(&save.path, save.rotation, link, snap, clock::now());
            Some(saver.with_context(|| format!("cannot write {}", save.path.display()))?)
        }
        _ => None,
    };
    let mut session = Session {
        config,
        signals,
        source: RecordedSource::new(input, saver, config.count),
        kernel,
        unsaved: false,
    };
    let exit = session.signals.exit();
    let prepare = |unfinished| exit.leave_nothing(unfinished);
    let status = analyse::run_with(
        &config.analyse,
        Some(recent(config)),
        baseline,
        prepare,
        |options, recorder, sink| {
            session.source.record(recorder.clone());
            let display = display(config, options, &session.source, recorder)?;
            let mut reporter = LiveReporter::new(options, sink, display);
            #[cfg(feature = "metrics")]
            exporter.into_iter().for_each(|exporter| reporter.export(exporter));
            session.run(&mut reporter)
        },
    )?;
    Ok(if session.unsaved { Status::Damaged } else { status })
}

/// Opens what packets come from.
fn open(config: &LiveConfig, signals: &Signals) -> anyhow::Result<OpenInput> {
    Ok(match &config.input {
        LiveInput::Interface(options) => OpenInput::Interface(Box::new(LiveCapture::open(options)?)),
        LiveInput::File(path) => {
            let begun = Instant::now();
            let waits =
                || !signals.end_wanted() && config.duration.is_none_or(|duration| begun.elapsed() < duration);
            let file = FollowedFile::open(path, config.analyse.filter.clone(), waits);
            OpenInput::File(Box::new(file?))
        }
    })
}

/// The display of the run.
fn display(
    config: &LiveConfig,
    options: &ReportOptions,
    source: &RecordedSource,
    recorder: Option<SharedRecorder>,
) -> io::Result<Box<dyn LiveDisplay>> {
    #[cfg(feature = "tui")]
    if config.screen {
        // The report may go to a file, the screen does not.
        let colour = config.analyse.colour.or_else(wanted_by_environment);
        let options = ReportOptions { colour, ..options.clone() };
        let screen = screen::ScreenDisplay::open(&options, &source.name(), recorder);
        return Ok(Box::new(screen?));
    }
    let _ = recorder;
    Ok(Box::new(LineDisplay::new(config, options, &source.name(), source.wall())))
}

/// Problem attempts whose packets are kept for the display.
const fn recent(config: &LiveConfig) -> usize {
    #[cfg(feature = "tui")]
    if config.screen {
        return crate::report::screen::MAX_ATTEMPTS;
    }
    let _ = config;
    0
}

/// A sentence on the capture: the interface with its link type, or the file.
fn greeting(config: &LiveConfig, input: &OpenInput) -> String {
    match (&config.input, input) {
        (LiveInput::Interface(options), OpenInput::Interface(live)) => format!(
            "capturing on {}, link type {}, snapshot length {} bytes",
            live.device(),
            live.link(),
            options.snap_length
        ),
        _ => format!("following {}", input.name()),
    }
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
        let begun = Instant::now();
        let mut next_tick = begun;
        let mut ending: Option<RequestedEnd> = None;
        loop {
            let status = analysis.step(&mut self.source, reporter)?;
            let now = Instant::now();
            if now >= next_tick {
                // A tick that comes late is followed by the next a whole interval later, not by a burst.
                next_tick = now + TICK;
                self.tick(&mut analysis, reporter)?;
            }
            if self.signals.report_wanted() {
                self.report_so_far(&mut analysis, reporter)?;
            }
            let over = self.config.duration.is_some_and(|duration| begun.elapsed() >= duration);
            let over = over || self.signals.end_wanted() || reporter.display().wants_end()?;
            if ending.is_none() && over {
                reporter.display().close();
                ending = Some(RequestedEnd { wall: clock::now(), until: now + LINGER });
            }
            let drained = ending.is_some_and(|ending| ending.is_over(now, self.source.now()));
            if status == capture::SourceStatus::End || drained {
                break;
            }
        }
        // Before, so that what is settled now is recorded with the kernel's latest figures; and after, for servers
        // of which nothing was settled until now.
        self.tick(&mut analysis, reporter)?;
        analysis.finish(reporter)?;
        self.tick(&mut analysis, reporter)?;
        self.kernel.record_uncaptured(analysis.listeners());
        Ok(analysis.into_parts(self.source.captures()))
    }

    /// Work of once a second, and before the end.
    fn tick(&mut self, analysis: &mut Analysis, reporter: &mut LiveReporter<'_>) -> io::Result<()> {
        let dropped = self.source.count_drops();
        if dropped.total() > 0 {
            analysis.listeners().capture_dropped();
        }
        if let Some(problem) = self.source.check_interface() {
            reporter.display().notice(&format!("warning: {problem}"));
        }
        if let Some(failure) = self.kernel.poll(analysis.listeners())
            && self.config.analyse.verbosity == Verbosity::Verbose
        {
            reporter.display().notice(&format!("the kernel is not asked any more: {failure}"));
        }
        if self.config.analyse.verbosity == Verbosity::Verbose {
            for note in self.kernel.news() {
                reporter.display().notice(&note);
            }
        }
        if let Some(lost) = self.kernel.lost_events() {
            reporter.display().notice(&format!("warning: {lost}"));
        }
        reporter.report(analysis.listeners(), &mut self.kernel, self.source.wall())?;
        if let Some(error) = self.source.flush() {
            self.unsaved = true;
            reporter.display().notice(&format!("error: {error}"));
        }
        let verdicts = analysis.listeners().verdicts();
        let counts = LiveCounts {
            packets: analysis.counts().total,
            attempts: verdicts.total(),
            undecided: analysis.undecided() as u64,
            problems: verdicts.problems(),
            worst_queue: self.kernel.worst_queue(),
            kernel_drops: self.kernel.drops(),
            dropped,
        };
        reporter.show(counts, &self.kernel, analysis.listeners())
    }

    /// The report so far, to standard error: standard output may be a stream for a program.
    fn report_so_far(&mut self, analysis: &mut Analysis, reporter: &mut LiveReporter<'_>) -> io::Result<()> {
        self.source.count_drops();
        let summary = analysis.summary(self.source.captures());
        let undecided = analysis.undecided();
        let listeners = &*analysis.listeners();
        let mut text = Vec::new();
        if summary.verdicts.total() == 0 && undecided > 0 {
            writeln!(text, "{}: no attempt is settled yet", self.source.name())?;
        } else {
            reporter.write_so_far(&mut text, &summary, listeners)?;
        }
        let so_far = reporter.provisional_causes(listeners);
        let known =
            if so_far.is_empty() { String::new() } else { format!("; by their packets so far: {so_far}") };
        writeln!(text, "\n(undecided at the moment: {undecided}{known})")?;
        reporter.display().report_so_far(&text);
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
