//! `hsanalyze size`: how large the accept queue of a listener should have been.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};

use super::analyse::complain;
use super::{Status, raise_descriptor_limit};
use crate::capture::{CaptureOptions, Captures};
use crate::engine::{self, AnalysisOptions, Sink, Summary};
use crate::handshake::{Attempt, Cause};
use crate::listener::size::{Collector, KnownQueue, Series, WhatIf, candidates, size};
#[cfg(all(target_os = "linux", feature = "lab"))]
use crate::listener::size::{Load, Service};
use crate::listener::{CausesWanted, Listener};
use crate::packet::Endpoint;
use crate::report::output::Output;
use crate::report::size::{Replayed, SizeReport, draw_svg, write_csv, write_text};
use crate::report::write_size_json;

/// Configuration of the command.
#[derive(Debug, Clone, PartialEq)]
pub struct SizeConfig {
    /// At least one; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// A BPF filter expression, not compiled yet.
    pub filter: Option<String>,
    /// The listener; the worst one when `None`.
    pub server: Option<Endpoint>,
    /// Facts about its queue that the packets do not show: its limit, sockets, SYN cookies.
    pub known: KnownQueue,
    /// Changes to try in predictions: other backlogs, another accept rate, more workers.
    pub what_if: WhatIf,
    /// Replay the arrivals against a real listener.
    pub replay: bool,
    /// The form of the report.
    pub format: SizeFormat,
    /// File for the drawing.
    pub drawing: Option<PathBuf>,
}

/// The form of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeFormat {
    /// For people.
    Text,
    /// A single JSON document.
    Json,
    /// The candidates, one row each.
    Csv,
}

/// Analyses the captures and writes the answer.
///
/// # Errors
///
/// Nothing can be read, no listener is there, the lab could not be set up, or an output not be written.
pub fn run(config: &SizeConfig, width: usize, out: &mut impl Write) -> anyhow::Result<Status> {
    if let Some(path) = &config.drawing {
        Output::probe(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    #[cfg(all(target_os = "linux", feature = "lab"))]
    if config.replay {
        // Before the first thread: only a single-threaded process can enter a user namespace.
        crate::lab::acquire_privilege().context("--replay")?;
    }
    raise_descriptor_limit();
    let (summary, loads) = collect(config)?;
    let mut report = report(config, &summary, loads)?;
    if config.replay {
        report.replays = replay(&report).context("--replay")?;
    }
    match config.format {
        SizeFormat::Text => write_text(&report, width, out)?,
        SizeFormat::Json => write_size_json(&report, out)?,
        SizeFormat::Csv => write_csv(&report, out)?,
    }
    out.flush()?;
    if let Some(path) = &config.drawing {
        let series = report
            .series
            .as_ref()
            .ok_or_else(|| anyhow!("{}: there is nothing to draw", undrawn(&report)))?;
        let answer = report.candidates.iter().find(|candidate| candidate.is_answer);
        let limit = report.size.limit.map(|limit| limit.value);
        draw_svg(series, limit, answer.map(|answer| answer.backlog), path)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let damaged = summary.captures.iter().filter_map(|capture| capture.damaged.as_deref());
    let damages = damaged.inspect(|damage| complain(damage)).count();
    Ok(if damages > 0 { Status::Damaged } else { Status::Done })
}

/// Reason why there is no series to draw.
const fn undrawn(report: &SizeReport) -> &'static str {
    if report.size.drops == 0 {
        "nothing was dropped"
    } else if report.service.is_none() {
        "the accept rate is not known (--accept-rate)"
    } else {
        "the queue never empties at this accept rate"
    }
}

/// The loads of all listeners.
#[derive(Default)]
struct Loads(HashMap<Endpoint, Collector>);

impl Sink for Loads {
    fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
        self.0.entry(attempt.server).or_default().add(attempt);
        Ok(())
    }

    fn causes_wanted(&self) -> CausesWanted {
        CausesWanted::AtEnd
    }
}

fn collect(config: &SizeConfig) -> anyhow::Result<(Summary, Loads)> {
    let options = CaptureOptions { filter: config.filter.clone(), ..CaptureOptions::default() };
    let (mut captures, mut errors) = Captures::open(&config.files, &options)?;
    if errors.len() == config.files.len()
        && let Some(last) = errors.pop()
    {
        errors.iter().for_each(|error| complain(&error.to_string()));
        return Err(last.into());
    }
    let mut loads = Loads::default();
    // A single thread: only a single-threaded process can enter the lab's user namespace.
    let options = AnalysisOptions::default().with_threads(1);
    let (summary, _) = engine::analyse(&mut captures, &options, &mut loads)?;
    Ok((summary, loads))
}

fn report(config: &SizeConfig, summary: &Summary, mut loads: Loads) -> anyhow::Result<SizeReport> {
    let server = choose(config.server, summary, &loads)?;
    let turned_away = |server: &&Endpoint| loads.0.get(server).is_some_and(|load| load.drops() > 0);
    let servers: Vec<Endpoint> = summary.listeners.iter().filter_map(|listener| listener.server).collect();
    let others = servers.iter().filter(|&&other| other != server).filter(turned_away).copied().collect();
    let last = summary.captures.iter().filter_map(|capture| capture.last).max();
    let mut load = loads.0.remove(&server).unwrap_or_default().load(last);
    load.known = config.known.clone();
    let listener = find(summary, server).cloned();
    let cause = listener.as_ref().and_then(|listener| listener.cause);
    let confidence = listener.as_ref().and_then(|listener| listener.confidence);
    let size = size(&load).given_cause(cause, confidence);
    let service = config.what_if.service(&size);
    Ok(SizeReport {
        server,
        listener,
        others,
        candidates: candidates(&load, &size, &config.what_if),
        series: service.and_then(|service| Series::of(&load, &load.fullest_traced(service))),
        service,
        what_if: config.what_if.clone(),
        size,
        load,
        replays: Vec::new(),
    })
}

fn find(summary: &Summary, server: Endpoint) -> Option<&Listener> {
    summary.listeners.iter().find(|listener| listener.server == Some(server))
}

/// The listener that the user named, or the worst one: that overflows, else that left most SYNs and ACKs without an
/// answer.
fn choose(asked: Option<Endpoint>, summary: &Summary, loads: &Loads) -> anyhow::Result<Endpoint> {
    if let Some(server) = asked {
        if loads.0.contains_key(&server) {
            return Ok(server);
        }
        let known: Vec<String> = summary
            .listeners
            .iter()
            .filter_map(|listener| listener.server)
            .take(5)
            .map(|server| server.to_string())
            .collect();
        bail!("nobody connects to {server} in these packets; the servers in them: {}", known.join(", "));
    }
    let overflows = |listener: &&Listener| listener.cause == Some(Cause::AcceptQueueOverflow);
    let worst = summary.listeners.iter().filter(overflows).find_map(|listener| listener.server);
    let drops = || loads.0.iter().map(|(&server, load)| (load.drops(), server)).max();
    worst
        .or_else(|| drops().map(|(_, server)| server))
        .ok_or_else(|| anyhow!("no attempt to connect is in these packets"))
}

/// Replays the arrivals with the limit, with the answer and with the user's changes.
#[cfg(all(target_os = "linux", feature = "lab"))]
fn replay(report: &SizeReport) -> anyhow::Result<Vec<Replayed>> {
    use crate::packet::Span;

    let service =
        report.service.ok_or_else(|| anyhow!("the accept rate is not known: give it with --accept-rate"))?;
    /// Most clients replayed: each takes three descriptors, and a port of one address.
    const MAX_CLIENTS: usize = 5_000;
    /// Longest time replayed.
    const MAX_TIME: Span = Span::from_secs(60);
    let arrivals = report.load.worst_stretch(service, MAX_CLIENTS, MAX_TIME);
    if arrivals.is_empty() {
        bail!("no client's first SYN is in the capture: there is nothing to replay");
    }
    // The prediction for the same clients.
    let stretch = Load { arrivals: arrivals.to_vec(), waiting: 0, ..report.load.clone() };
    let asked = |backlog| report.what_if.backlogs.contains(&backlog);
    let tried = report.candidates.iter().filter(|c| c.is_limit || c.is_answer || asked(c.backlog));
    tried
        .map(|candidate| {
            let replay = experiment(report, service, arrivals, candidate.backlog)?;
            let outcome = replay.run()?;
            Ok(Replayed {
                backlog: candidate.backlog,
                overflows: outcome.overflows,
                late: outcome.late,
                lost: outcome.lost,
                clients: replay.starts.len() as u64,
                behind: outcome.behind.into(),
                predicted: stretch.simulate(service, Some(candidate.backlog)),
            })
        })
        .collect()
}

/// The replay of these arrivals with this backlog: the workers accept at the rate of `service` together.
#[cfg(all(target_os = "linux", feature = "lab"))]
fn experiment(
    report: &SizeReport,
    service: Service,
    arrivals: &[crate::packet::Timestamp],
    backlog: u32,
) -> anyhow::Result<crate::lab::Replay> {
    use std::time::Duration;

    use crate::lab::{AcceptPolicy, Replay};
    use crate::packet::Span;

    /// Time for which clients may take to connect after the last has started: some retries.
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
    /// Long enough for SYNs to pass each other, and short enough for any capture.
    const ROUND_TRIPS: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(500));
    let load = &report.load;
    let duration = |span: Span| Duration::from_nanos(u64::try_from(span.as_nanos()).unwrap_or(0));
    let sockets = load.known.queues();
    // Of several sockets each has the same number of workers, at least one.
    let workers = (report.what_if.workers.unwrap_or(1) / sockets).max(1);
    let per_second = service.per_second / f64::from(sockets * workers);
    let accept = if per_second > 0.0 {
        let every = f64::from(service.batch.max(1)) / per_second;
        AcceptPolicy::Batches(service.batch.max(1), Duration::try_from_secs_f64(every)?)
    } else {
        AcceptPolicy::Never
    };
    let first = arrivals.first().copied().unwrap_or_default();
    Ok(Replay {
        starts: arrivals.iter().map(|at| duration(at.since(first))).collect(),
        backlog,
        accept,
        workers: workers as usize,
        sockets: sockets as usize,
        others: accept,
        round_trip: duration(load.round_trip).clamp(ROUND_TRIPS.0, ROUND_TRIPS.1),
        abort: load.abort,
        syncookies: load.cookies().on,
        connect_timeout: CONNECT_TIMEOUT,
    })
}

#[cfg(not(all(target_os = "linux", feature = "lab")))]
fn replay(_: &SizeReport) -> anyhow::Result<Vec<Replayed>> {
    bail!("this build has no lab")
}
