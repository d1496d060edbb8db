//! `hsanalyze FILE...`: captures in, report out.

use std::fs::{self, File, Metadata};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

pub use super::config::AnalyseConfig;
use super::fail_on::{Judgement, judge};
use super::given_time::GivenTime;
use super::outputs::{OutputDestination, Outputs};
use super::{Status, raise_descriptor_limit, wanted};
use crate::capture::{self, CaptureInfo, CaptureOptions, Captures, OpenError, OpenReason, Source};
use crate::engine::packets::{Recorded, SharedRecorder};
use crate::engine::{self, AnalysisOptions, Sink, Summary};
use crate::listener::Listeners;
use crate::listener::comparison::{Baseline, BaselineComparison};
use crate::packet::{CapturePoint, Frames, Period, Span, Timestamp};
use crate::printable::printable;
use crate::report::output::Output;
use crate::report::progress::ReadingBar;
use crate::report::{ReportOptions, Verbosity, local_zone, read_baseline, unicode_locale};
use crate::sandbox::{self, AnalysisNeeds};

/// Analyses the captures that the configuration names, and writes the report.
///
/// # Errors
///
/// The filter does not compile, or the output cannot be written; damaged and missing captures are no
/// error but a [`Status`].
pub fn run(config: &AnalyseConfig) -> anyhow::Result<Status> {
    let interrupt = Arc::new(Interrupt::default());
    let baseline = BaselineFile::open(config.baseline.as_deref())?;
    let prepare = |unfinished: Vec<PathBuf>| {
        // Before the first byte of a capture is read, which may be hostile, and before there is a second thread.
        let writes = [&config.output, &config.packets, &config.page].into_iter().flatten().cloned().collect();
        let names = config.filter.is_some();
        sandbox::confine_to_files(&AnalysisNeeds { reads: config.files.clone(), writes, names });
        catch_signals(config, unfinished, &interrupt)
    };
    run_with(config, None, baseline, prepare, |_, recorder, sink| analyse(config, &interrupt, recorder, sink))
}

/// The report of an earlier analysis, opened while the program may still open any file.
pub(super) struct BaselineFile {
    name: String,
    file: File,
}

impl BaselineFile {
    /// The file at this path, if one is given.
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Option<Self>> {
        let open = |path: &Path| -> anyhow::Result<Self> {
            let file = File::open(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => anyhow!("not found"),
                _ => error.into(),
            });
            let file = file.with_context(|| cannot_compare(&path.display().to_string()))?;
            Ok(Self { name: path.display().to_string(), file })
        };
        path.map(open).transpose()
    }

    fn read(self) -> anyhow::Result<Baseline> {
        read_baseline(&self.name, self.file).with_context(|| cannot_compare(&self.name))
    }
}

fn cannot_compare(name: &str) -> String {
    format!("cannot compare with {name}")
}

/// State of the first Ctrl-C while a pipe is read.
#[derive(Debug, Default)]
pub(super) struct Interrupt {
    /// True once reading has begun; before that, Ctrl-C ends the program, as by default.
    reading: AtomicBool,
    /// True once Ctrl-C was pressed during reading.
    came: AtomicBool,
    /// True when reading must end: a moment after the Ctrl-C, so that what the writer still wrote is read.
    stop: AtomicBool,
}

impl Interrupt {
    /// True if the writer of a pipe that has just ended was interrupted. A terminal interrupts both at once, so that
    /// the end of the pipe may be read a little before the signal is handled.
    fn has_ended_a_pipe(&self) -> bool {
        const DELIVERY: Duration = Duration::from_millis(50);
        if !self.came.load(Ordering::Relaxed) {
            thread::sleep(DELIVERY);
        }
        self.came.load(Ordering::Relaxed)
    }
}

/// The engine at work on files.
fn analyse(
    config: &AnalyseConfig,
    interrupt: &Interrupt,
    recorder: Option<SharedRecorder>,
    sink: &mut dyn Sink,
) -> anyhow::Result<(Summary, Listeners)> {
    let options = CaptureOptions { filter: config.filter.clone(), points: config.points.clone() };
    raise_descriptor_limit();
    let (captures, errors) = Captures::open(&config.files, &options)?;
    // A file that cannot be opened is reported as damaged, and keeps its place among the captures. A
    // report of nothing at all is none.
    if errors.len() == config.files.len()
        && let Some((last, others)) = errors.split_last()
    {
        let explained =
            |error: &OpenError| error.to_string() + &hint_at_command(config, error).unwrap_or_default();
        others.iter().for_each(|error| complain(&explained(error)));
        return Err(anyhow!(explained(last)));
    }
    errors
        .iter()
        .filter_map(|error| Some((error, hint_at_command(config, error)?)))
        .for_each(|(error, hint)| warn(&format!("{error}{hint}")));
    interrupt.reading.store(true, Ordering::Relaxed);
    let shown = config.verbosity != Verbosity::Quiet && io::stderr().is_terminal();
    let progress = shown.then(|| ReadingBar::new(captures.progress().map(|(_, total)| total)));
    let mut source = Recorded::new(ObservedCaptures { captures, progress, interrupt }, recorder);
    engine::analyse(&mut source, &engine_options(config), sink).with_context(|| target(config))
}

/// A hint where this is the first file, is missing, and has nearly a command's name.
fn hint_at_command(config: &AnalyseConfig, error: &OpenError) -> Option<String> {
    let (command, first) = config.similar_command.zip(config.files.first())?;
    let is_first = matches!(error.reason, OpenReason::Missing) && Path::new(&error.path) == first;
    is_first.then(|| format!("; did you mean the command '{command}'?"))
}

pub(super) fn engine_options(config: &AnalyseConfig) -> AnalysisOptions {
    let time = |given: Option<GivenTime>| given.map(|given| given.in_zone(&local_zone()));
    AnalysisOptions {
        counted: Period { begin: time(config.begin), end: time(config.end) },
        threads: config.threads,
        max_attempts: config.max_attempts.get(),
        path: config.path,
        ..AnalysisOptions::default()
    }
}

/// Captures with a progress bar, whose reading ends at an interrupt.
struct ObservedCaptures<'a> {
    captures: Captures,
    progress: Option<ReadingBar>,
    interrupt: &'a Interrupt,
}

impl Source for ObservedCaptures<'_> {
    fn read(&mut self, max: usize, sink: &mut dyn FnMut(Frames<'_>)) -> capture::SourceStatus {
        if self.interrupt.stop.load(Ordering::Relaxed) {
            return capture::SourceStatus::End;
        }
        if let Some(progress) = &mut self.progress
            && let Some((done, _)) = self.captures.progress()
        {
            progress.at(done);
        }
        let status = self.captures.read(max, sink);
        let ended = status == capture::SourceStatus::End;
        if ended && self.captures.has_unfinished_pipe() && self.interrupt.has_ended_a_pipe() {
            self.captures.accept_unfinished_pipes();
        }
        status
    }

    fn now(&self) -> Option<Timestamp> {
        self.captures.now()
    }

    fn duplicates_after(&self) -> Option<Span> {
        self.captures.duplicates_after()
    }

    fn captures(&self) -> Vec<CaptureInfo> {
        self.captures.captures()
    }
}

/// Opens the output, has `engine` analyse the captures into it, and finishes the report.
///
/// `prepare` sees the names of unfinished files before that, to catch signals; what is read from then on may be hostile.
/// `engine` gets a recorder if it has to record packets; it
/// returns the summary and the listeners, which know the final cause of an attempt that a report held back. A `live` run
/// reports attempts before they are settled, too, and has the packets of so many of the latest problem attempts at hand.
pub(super) fn run_with<E>(
    config: &AnalyseConfig,
    live: Option<usize>,
    baseline: Option<BaselineFile>,
    prepare: impl FnOnce(Vec<PathBuf>) -> io::Result<()>,
    engine: E,
) -> anyhow::Result<Status>
where
    E: FnOnce(&ReportOptions, Option<SharedRecorder>, &mut dyn Sink) -> anyhow::Result<(Summary, Listeners)>,
{
    if let Some(path) = &config.output {
        refuse_input(path, config)?;
    }
    let mut destination = OutputDestination::open(config).with_context(|| target(config))?;
    let output_option = config.output.as_deref().map(|path| ("-o", path));
    let packets_option = config.packets.as_deref().map(|path| ("--write", path));
    let page_option = config.page.as_deref().map(|path| ("--report", path));
    if let Some(packets) = packets_option {
        check_file(packets, config, output_option)?;
    }
    if let Some(page) = page_option {
        check_file(page, config, output_option.into_iter().chain(packets_option))?;
    }
    // The time zone's file is read, and one for what does not fit into memory is open, before the program is confined to its
    // own files.
    let options = ReportOptions { live: live.is_some(), ..options(config, &destination.output) };
    prepare(destination.unfinished()).context("catching signals")?;
    let baseline = baseline.map(BaselineFile::read).transpose()?;
    let mut outputs = Outputs::new(config, &options, live.unwrap_or(0), &mut destination)
        .with_context(|| target(config))?;
    let (summary, listeners) = engine(&options, outputs.recorder(), &mut outputs)?;
    report_unknown_points(config, &summary);
    let comparison = baseline.as_ref().map(|baseline| BaselineComparison::new(baseline, &summary.listeners));
    let judgement = judge(&config.fail_on, &summary, comparison.as_ref());
    let shown = outputs.finish(&summary, &listeners, comparison.as_ref()).with_context(|| target(config))?;
    if let Some(shown) = shown {
        shown.write(config, &options, (&summary, &listeners), &mut destination.output)?;
    }
    destination.output.commit().with_context(|| target(config))?;
    Ok(status(judgement, &summary))
}

/// Refuses to write to a file that is read.
fn refuse_input(path: &Path, config: &AnalyseConfig) -> anyhow::Result<()> {
    if is_input(path, &config.files) {
        bail!("cannot write {}: it is one of the captures to analyse", path.display());
    }
    if config.baseline.as_ref().is_some_and(|baseline| is_input(path, std::slice::from_ref(baseline))) {
        bail!("cannot write {}: it is the baseline to compare with", path.display());
    }
    Ok(())
}

/// Reports names of `--path` that no point has, and of `--point` whose file is not read: they order and name nothing.
fn report_unknown_points(config: &AnalyseConfig, summary: &Summary) {
    let known: Vec<CapturePoint> =
        summary.captures.iter().flat_map(|capture| capture.points.iter().copied()).collect();
    let names: Vec<&str> = known.iter().map(|point| point.name()).collect();
    for point in config.path.points().filter(|point| !known.contains(point)) {
        let there = match names.as_slice() {
            [] => "points are not told apart in this capture".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        warn(&format!("--path {point}: no point has this name; {there}"));
    }
    for point in
        config.points.iter().filter(|point| config.files.iter().all(|file| file != Path::new(&point.file)))
    {
        let (name, file) = (&point.name, Path::new(&point.file).display());
        warn(&format!("--point {name}: {file} is none of the captures, as they are given"));
    }
}

/// Sees to it that the file that an option names can be written, and is neither an input nor one of the other outputs.
fn check_file<'a>(
    (option, path): (&str, &Path),
    config: &AnalyseConfig,
    others: impl IntoIterator<Item = (&'a str, &'a Path)>,
) -> anyhow::Result<()> {
    refuse_input(path, config)?;
    for other in others {
        super::refuse_one_file_for_two((option, path), false, other)?;
    }
    Output::probe(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Sees to it that a signal which ends the program leaves no unfinished report behind; and that the first Ctrl-C or
/// SIGTERM while a pipe is read ends the reading and not the report: it has ended whoever writes there, too. What that
/// had not written yet has a moment to arrive.
fn catch_signals(
    config: &AnalyseConfig,
    unfinished: Vec<PathBuf>,
    interrupt: &Arc<Interrupt>,
) -> io::Result<()> {
    const MOMENT: Duration = Duration::from_millis(500);
    let stdin = config.files.iter().any(|file| file.as_os_str() == "-");
    let piped = stdin || config.files.iter().any(|file| is_pipe(file));
    if unfinished.is_empty() && !piped {
        return Ok(());
    }
    // Somebody writes to standard input already; a named pipe may wait for its first writer.
    interrupt.reading.store(stdin, Ordering::Relaxed);
    let mut signals = Signals::new(wanted(&[SIGHUP, SIGINT, SIGTERM, SIGXFSZ]))?;
    let mut interrupt = Some(Arc::clone(interrupt)).filter(|_| piped);
    thread::spawn(move || {
        for signal in signals.forever() {
            let reading = |interrupt: &mut Arc<Interrupt>| interrupt.reading.load(Ordering::Relaxed);
            if matches!(signal, SIGINT | SIGTERM)
                && let Some(interrupt) = interrupt.take_if(reading)
            {
                interrupt.came.store(true, Ordering::Relaxed);
                thread::spawn(move || {
                    thread::sleep(MOMENT);
                    interrupt.stop.store(true, Ordering::Relaxed);
                });
                continue;
            }
            // A file that cannot be removed stays; the program ends all the same.
            for path in &unfinished {
                let _ = fs::remove_file(path);
            }
            let _ = emulate_default_handler(signal);
        }
    });
    Ok(())
}

fn is_pipe(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.file_type().is_fifo() || meta.file_type().is_socket())
}

/// Metadata of a file; `-` is standard input.
fn metadata(path: &Path) -> io::Result<Metadata> {
    if path.as_os_str() == "-" { capture::stdin()?.metadata() } else { fs::metadata(path) }
}

/// True if the regular file `output` is one of `files`, under any name: it would be lost.
fn is_input(output: &Path, files: &[PathBuf]) -> bool {
    let identity = |meta: io::Result<Metadata>| {
        let meta = meta.ok().filter(Metadata::is_file)?;
        Some((meta.dev(), meta.ino()))
    };
    let Some(output) = identity(fs::metadata(output)) else { return false };
    files.iter().any(|file| identity(metadata(file)) == Some(output))
}

fn options(config: &AnalyseConfig, output: &Output) -> ReportOptions {
    ReportOptions {
        format: config.format,
        all: config.all,
        live: false,
        listed: config.listed,
        verbosity: config.verbosity,
        colour: config.colour.or_else(|| output.wants_colour()),
        unicode: unicode_locale(),
        width: output.width(),
        worst: ReportOptions::WORST,
        zone: local_zone(),
    }
}

/// Exit status of an analysis. Damage comes before the results of `--fail-on`: those may be incomplete.
fn status(judgement: Judgement, summary: &Summary) -> Status {
    let mut status = match judgement {
        Judgement::Passed => Status::Done,
        Judgement::Failed => Status::Finding,
        Judgement::NothingToJudge => {
            complain("--fail-on has nothing to judge: no attempts");
            Status::NothingToJudge
        }
        Judgement::Voided(condition) => {
            complain(&format!(
                "--fail-on {condition} cannot be judged: the capture lacks what would show it, see its limits"
            ));
            Status::NothingToJudge
        }
        Judgement::NothingToCompare => {
            complain("--fail-on worse has nothing to judge: no server has attempts in both analyses");
            Status::NothingToJudge
        }
    };
    for damage in summary.captures.iter().filter_map(|capture| capture.damaged.as_deref()) {
        status = Status::Damaged;
        complain(damage);
    }
    status
}

fn warn(problem: &str) {
    // Nothing can be done about a closed standard error.
    let _ = writeln!(io::stderr(), "hsanalyze: warning: {}", printable(problem));
}

pub(super) fn complain(error: &str) {
    // Nothing can be done about a closed standard error.
    let _ = writeln!(io::stderr(), "hsanalyze: error: {}", printable(error));
}

fn target(config: &AnalyseConfig) -> String {
    match &config.output {
        Some(path) => format!("cannot write {}", path.display()),
        None => "cannot write to standard output".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parse};
    use crate::report::samples::{self, Sample};

    fn config(arguments: &str, output: &Path) -> AnalyseConfig {
        let output = ["-o", output.to_str().unwrap()];
        let arguments = ["hsanalyze", "in.pcap"].into_iter().chain(arguments.split_whitespace());
        match parse(arguments.chain(output)) {
            Ok(Command::Analyse(config)) => config,
            other => panic!("{other:?}"),
        }
    }

    /// Runs with an engine that finds `sample`, and returns the output too.
    fn run_on(arguments: &str, sample: Sample) -> (Status, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let status = run_with(
            &config(arguments, &path),
            None,
            None,
            |_| Ok(()),
            |_, _, sink| {
                sample.1.iter().try_for_each(|attempt| sink.attempt(attempt))?;
                Ok((sample.0, Listeners::new(0)))
            },
        );
        (status.unwrap(), fs::read_to_string(path).unwrap())
    }

    #[test]
    fn the_exit_status_follows_the_options() {
        assert_eq!(run_on("", samples::overflow_mixed()).0, Status::Done);
        assert_eq!(run_on("--fail-on problem", samples::overflow_mixed()).0, Status::Finding);
        assert_eq!(run_on("--fail-on refused", samples::overflow_mixed()).0, Status::Done);
        assert_eq!(run_on("--fail-on problem", samples::healthy()).0, Status::Done);
        assert_eq!(run_on("--fail-on completed", samples::healthy()).0, Status::Finding);
        assert_eq!(run_on("--fail-on completed", samples::damaged()).0, Status::Damaged);
        assert_eq!(run_on("--fail-on problem", samples::midstream()).0, Status::NothingToJudge);
        assert_eq!(run_on("", samples::midstream()).0, Status::Done);
    }

    #[test]
    fn a_file_gets_eighty_columns_and_colour_only_on_demand() {
        let (_, plain) = run_on("", samples::overflow_mixed());
        assert!(plain.contains("ACCEPT QUEUE OVERFLOWS"));
        assert!(plain.lines().all(|line| line.len() <= 80));
        assert!(!plain.contains('\u{1b}'));
        let (_, coloured) = run_on("--color always", samples::overflow_mixed());
        assert!(coloured.contains('\u{1b}'));
    }

    #[test]
    fn a_failed_analysis_keeps_the_old_report() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        fs::write(&path, "old").unwrap();
        let failed = run_with(
            &config("--format csv", &path),
            None,
            None,
            |_| Ok(()),
            |_, _, sink| {
                sink.attempt(&samples::healthy().1[0])?;
                Err(anyhow::anyhow!("the disk is on fire"))
            },
        );
        assert_eq!(failed.unwrap_err().to_string(), "the disk is on fire");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn an_output_that_cannot_be_written_fails_before_the_analysis() {
        let path = Path::new("/nonexistent/out");
        let failed = run_with(
            &config("", path),
            None,
            None,
            |_| Ok(()),
            |_, _, _| -> anyhow::Result<(Summary, Listeners)> { panic!("the analysis must not begin") },
        );
        assert_eq!(failed.unwrap_err().to_string(), "cannot write /nonexistent/out");
    }
}
