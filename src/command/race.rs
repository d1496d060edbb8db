//! `hsanalyze race`: connects, captures meanwhile, and joins both.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use nix::errno::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};

use super::{Status, raise_descriptor_limit};
use crate::capture::Recording;
use crate::clock::now;
use crate::kernel::{ListenerDelta, Snapshot, local_addresses};
use crate::packet::{Span, Timestamp};
use crate::race::{
    Call, ConnectPace, ConnectPlan, ConnectResult, Packets, Probe, Race, Route, Sniffer, WaitMode, route,
    run as connect_all,
};
use crate::report::{write_race_csv, write_race_json};
use crate::sandbox;
use crate::words::count;

/// The silence that makes an attempt `unanswered` and not cut off (docs/DOMAIN.md §4), and a little more.
const PROOF: Span = Span::from_millis(1_100);

/// Configuration of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaceConfig {
    /// `HOST:PORT`.
    pub target: String,
    /// The address to connect from.
    pub source: Option<IpAddr>,
    /// Number of connects, and their pace.
    pub pace: ConnectPace,
    /// Blocking or not.
    pub mode: WaitMode,
    /// Time-out of each connect.
    pub timeout: Duration,
    /// Bytes each sends once connected.
    pub send: usize,
    /// Time each watches its connection.
    pub watch: Duration,
    /// The form of the report.
    pub format: RaceFormat,
    /// Results that make the exit status 1.
    pub fail_on: Vec<ConnectResult>,
    /// Do not announce the connects on standard error.
    pub quiet: bool,
}

/// The form of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RaceFormat {
    /// For people.
    Text,
    /// One document.
    Json,
    /// One line per connect.
    Csv,
}

/// Makes the connects and reports. The status is [`Status::Finding`] if a connect had a result of `fail_on`.
///
/// # Errors
///
/// The target has no address or no route, sockets ran out, or the output failed. Missing capture rights
/// are no error: the report names them.
pub fn run(config: &RaceConfig, out: &mut impl Write) -> anyhow::Result<Status> {
    let target = resolve(config).with_context(|| config.target.clone())?;
    let Route { source, interface } =
        route(target, config.source).with_context(|| format!("route to {target}"))?;
    let what = format!(
        "{} from {source} to {target}, {} at a time, over {interface}",
        count(config.pace.count as u64, &format!("{} connect", config.mode.name())),
        config.pace.concurrency.min(config.pace.count)
    );
    if !config.quiet {
        writeln!(io::stderr(), "hsanalyze: making {what}")?;
    }
    // Ctrl-C ends the race and is followed by the report; a second one ends the program.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    let waiting = report_stopping(config)?;
    raise_descriptor_limit();
    sandbox::raise_capabilities();
    let sniffer = Sniffer::start(&interface, target);
    let before = is_here(target).then(Snapshot::take).and_then(Result::ok);
    let plan = ConnectPlan {
        target,
        source: SocketAddr::new(source, 0),
        mode: config.mode,
        timeout: config.timeout,
        send: config.send,
        watch: config.watch,
        probe: Probe::SoError,
    };
    let calls = connect_all(&plan, config.pace, &stop).context("connect")?;
    if sniffer.is_ok() {
        thread::sleep(silence_to_come(&calls, now()));
    }
    waiting.close();
    let (packets, missing) = match sniffer.and_then(Sniffer::finish) {
        Ok(recording) => seen(packets(recording, before, target)?, &calls, &interface),
        Err(error) => (None, Some(error.to_string())),
    };
    let what = match calls.len() {
        made if made < config.pace.count => format!("{what}; stopped after {made}"),
        _ => what,
    };
    let race = Race::new(calls, packets);
    match config.format {
        RaceFormat::Text => {
            let terminal = terminal_size::terminal_size_of(io::stdout());
            let terminal = terminal.map(|(width, _)| usize::from(width.0));
            race.write_text(&what, missing.as_deref(), terminal, out)?;
        }
        RaceFormat::Json => write_race_json(&race, &what, missing.as_deref(), out)?,
        RaceFormat::Csv => {
            if let Some(missing) = &missing {
                writeln!(io::stderr(), "hsanalyze: no capture: {missing}")?;
            }
            write_race_csv(&race, out)?;
        }
    }
    out.flush()?;
    let found = config.fail_on.iter().any(|&result| race.count(result) > 0);
    Ok(if found { Status::Finding } else { Status::Done })
}

/// Writes what is waited for if a race that is to end takes more than half a second; stops when the handle is closed.
fn report_stopping(config: &RaceConfig) -> io::Result<Handle> {
    const NOTICE_AFTER: Duration = Duration::from_millis(500);
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (waiting, quiet) = (signals.handle(), config.quiet);
    let longest = config.timeout.saturating_add(config.watch);
    let handle = waiting.clone();
    thread::Builder::new().name("stopping".to_owned()).spawn(move || {
        if signals.forever().next().is_none() || quiet {
            return;
        }
        thread::sleep(NOTICE_AFTER);
        if !waiting.is_closed() {
            let _ = writeln!(
                io::stderr(),
                "hsanalyze: stopping; connects that have begun are waited for, {longest:?} at most (again to end at once)"
            );
        }
    })?;
    Ok(handle)
}

/// True if the server runs on this machine, so that its kernel counts its drops.
fn is_here(target: SocketAddr) -> bool {
    local_addresses().is_ok_and(|local| local.contains(target.ip()))
}

/// Time to go on capturing. After connects that gave up only the silence of a second proves that no answer came, and they
/// repeat their SYNs no more. Of others the server acknowledges the FIN, a round trip later.
fn silence_to_come(calls: &[Call], now: Timestamp) -> Duration {
    const MAX_LINGER: Span = Span::from_secs(1);
    let gave_up = calls.iter().filter(|call| call.result == Err(Errno::ETIMEDOUT));
    let silence = gave_up.map(|call| call.returned.plus(PROOF)).max();
    let succeeded = calls.iter().filter(|call| call.succeeded());
    let round_trip = succeeded.map(|call| call.returned.since(call.started)).max();
    let answers = round_trip.map(|round_trip| now.plus(round_trip.scaled(2, 1).min(MAX_LINGER)));
    silence.max(answers).map_or(Duration::ZERO, |until| {
        Duration::from_nanos(u64::try_from(until.since(now).as_nanos()).unwrap_or(0))
    })
}

/// The packets, or that there are none.
fn seen(packets: Packets, calls: &[Call], interface: &str) -> (Option<Packets>, Option<String>) {
    if packets.summary.packets.tcp > 0 || calls.is_empty() {
        return (Some(packets), None);
    }
    // Without any answer there may have been no packets.
    let answered = |call: &Call| matches!(call.result, Ok(()) | Err(Errno::ECONNREFUSED | Errno::ECONNRESET));
    let why = if calls.iter().any(answered) { "they take" } else { "none left, or they take" };
    (None, Some(format!("no packet of the connects passed {interface}: {why} another way")))
}

/// Analyses the capture, with the kernel's count where the server runs here.
fn packets(recording: Recording, before: Option<Snapshot>, target: SocketAddr) -> io::Result<Packets> {
    let mut packets = Packets::of(recording)?;
    let after = before.is_some().then(Snapshot::take).and_then(Result::ok);
    if let Some(delta) =
        before.zip(after).and_then(|(before, after)| ListenerDelta::between(before, after, target))
    {
        packets.apply_kernel(&delta);
    }
    Ok(packets)
}

/// The first address of the target, of the source's family where there is a source.
fn resolve(config: &RaceConfig) -> io::Result<SocketAddr> {
    config
        .target
        .to_socket_addrs()?
        .find(|address| config.source.is_none_or(|source| source.is_ipv4() == address.is_ipv4()))
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no address of the source's family"))
}
