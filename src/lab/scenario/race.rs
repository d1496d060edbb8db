//! `race`: does `connect()` return before the RST arrives? (DOMAIN §6)
//!
//! One victim a round. Its SYN finds room; its SYN-ACK waits on the path until another connection has
//! taken that room; then SYN-ACK, ACK and RST follow each other as fast as the round trip allows.

use std::time::Duration;

use super::{Parameters, ScenarioOutcome};
use crate::handshake::{ConnectOutcome as Believed, Verdict};
use crate::lab::analysis::BothEnds;
use crate::lab::burner::Burner;
use crate::lab::comparison::Comparison;
use crate::lab::experiment::{Experiment, LabClients, LabError, Setup, Trace, doing};
use crate::packet::Span;
use crate::race::{Call, Probe, WaitMode};

/// The swept round trips in microseconds.
const ROUND_TRIPS: [u64; 10] = [0, 10, 20, 50, 100, 200, 400, 700, 1_000, 2_000];
/// Victims per point.
const ROUNDS: usize = 40;
/// Victims per point of the curve, which divides all of one mode and load.
const GROUP: usize = 25;
/// The limit of the queue: small, since it must be filled first.
const BACKLOG: u32 = 4;
/// From here on every connect must succeed on an idle machine (DOMAIN §6).
pub(super) const SAFE: Span = Span::from_micros(200);
/// Per cent that count as all: other programs, another lab for one, take the CPU when they like. Two labs
/// at once on two CPUs leave 97 to 98 %.
const NEARLY_ALL: usize = 90;

/// Other load of the CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuLoad {
    /// Nothing.
    Idle,
    /// One spinning thread per CPU.
    Busy,
}

/// One victim: the window it had, and whether `connect()` got away in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Victim {
    window: Span,
    succeeded: bool,
}

/// The share of successes at one setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Mode of `connect()`: `blocking` or `non-blocking`.
    pub mode: &'static str,
    /// Other load of the machine.
    pub load: CpuLoad,
    /// The path's round trip in seconds.
    pub round_trip: f64,
    /// The median time between SYN-ACK and RST at the client, in seconds.
    pub window: f64,
    /// Connects.
    pub connects: usize,
    /// Connects that returned success.
    pub succeeded: usize,
}

impl Point {
    /// The share of successes, 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.succeeded as f64 / self.connects.max(1) as f64
    }
}

/// The share of successes among connects whose windows were about the same, whatever the round trip.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Mode of `connect()`: `blocking` or `non-blocking`.
    pub mode: &'static str,
    /// Other load of the machine.
    pub load: CpuLoad,
    /// Their median time between SYN-ACK and RST at the client, in seconds.
    pub window: f64,
    /// Connects.
    pub connects: usize,
    /// Connects that returned success.
    pub succeeded: usize,
}

/// The measurement, by setting and by window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curve {
    /// By mode and load, each in order of round trip.
    pub points: Vec<Point>,
    /// By mode and load, each in order of window: the curve.
    pub windows: Vec<Share>,
}

pub(super) fn run(parameters: &Parameters) -> Result<ScenarioOutcome, LabError> {
    let mut comparison = Comparison::new(
        "race",
        format!("{ROUNDS} connects per point against an RST one round trip after the SYN-ACK, 0 to 2 ms"),
    );
    let mut curve = Curve::default();
    let mut victims = Vec::new();
    let mut traces = Vec::new();
    for load in [CpuLoad::Idle, CpuLoad::Busy] {
        let _burner = (load == CpuLoad::Busy).then(Burner::start);
        for mode in [WaitMode::Blocking, WaitMode::NonBlocking] {
            let mut all = Vec::new();
            for round_trip in ROUND_TRIPS.map(Duration::from_micros) {
                let (seen, joined, trace) = measure(parameters, mode, round_trip)?;
                if load == CpuLoad::Idle && round_trip.is_zero() {
                    traces.push((format!("race-{}", mode.name()), trace));
                }
                curve.points.push(point(mode, load, round_trip, &seen));
                all.extend_from_slice(&seen);
                victims.push((load, round_trip, joined, seen));
            }
            curve.windows.extend(shares(mode, load, all));
        }
    }
    compare(&mut comparison, &victims);
    comparison.notes.extend(answer(&victims));
    Ok(ScenarioOutcome { comparison, traces, curve: Some(curve) })
}

/// One point: the victims, how many of them the packets account for, and the packets.
fn measure(
    parameters: &Parameters,
    mode: WaitMode,
    round_trip: Duration,
) -> Result<(Vec<Victim>, usize, Trace), LabError> {
    let setup = Setup { backlog: BACKLOG, abort: true, round_trip, ..parameters.setup() };
    let (calls, trace) = setup.run(|experiment| {
        experiment.fill(BACKLOG)?;
        (0..ROUNDS).map(|_| round(experiment, parameters, mode)).collect::<Result<Vec<Call>, _>>()
    })?;
    let views = BothEnds::of(&trace).map_err(doing("analyse the packets"))?;
    let window = |call: &Call| {
        let attempt = views.client.attempt(call)?;
        let reset = attempt.verdict == Verdict::ResetAfterAck && attempt.connect.outcome == Believed::Raced;
        attempt.connect.window.filter(|_| reset)
    };
    let victims: Vec<Victim> = calls
        .iter()
        .filter_map(|call| Some(Victim { window: window(call)?, succeeded: call.succeeded() }))
        .collect();
    // Joined: reset in the packets, and an error of the call, at once or in the next operation.
    let failed = |call: &&Call| call.result.is_err() || call.death().is_some();
    let joined = calls.iter().filter(failed).filter(|call| window(call).is_some()).count();
    Ok((victims, joined, trace))
}

fn round(experiment: &mut Experiment, parameters: &Parameters, mode: WaitMode) -> Result<Call, LabError> {
    let victim = LabClients {
        count: 1,
        mode,
        timeout: Duration::from_secs(5),
        watch: Duration::from_secs(1),
        probe: Probe::SoError,
        ..parameters.clients(Duration::ZERO)
    };
    let running = experiment.start_held(victim)?;
    experiment.wait("the victim's request is there", Duration::from_secs(2), |e| Ok(e.requests()? == 1))?;
    // The filler takes the last place; its packets are not held.
    experiment.fill(1)?;
    experiment.path().release().map_err(doing("release the SYN-ACK"))?;
    let calls = experiment.collect(running)?;
    experiment.listener().accept().map_err(doing("accept"))?;
    calls.into_iter().next().ok_or_else(|| LabError::Stuck("the victim left no result".to_owned()))
}

/// Victims with about the same window, put together: the machine's own delays spread the windows of one round trip.
fn shares(mode: WaitMode, load: CpuLoad, mut victims: Vec<Victim>) -> Vec<Share> {
    victims.sort_by_key(|victim| victim.window);
    let groups = victims.chunks(GROUP);
    groups
        .map(|group| Share {
            mode: mode.name(),
            load,
            window: group.get(group.len() / 2).map_or(0.0, |victim| victim.window.as_secs_f64()),
            connects: group.len(),
            succeeded: group.iter().filter(|victim| victim.succeeded).count(),
        })
        .collect()
}

fn point(mode: WaitMode, load: CpuLoad, round_trip: Duration, victims: &[Victim]) -> Point {
    let windows = victims.iter().map(|victim| victim.window);
    let median = Span::median(windows.collect()).unwrap_or_default();
    Point {
        mode: mode.name(),
        load,
        round_trip: round_trip.as_secs_f64(),
        window: median.as_secs_f64(),
        connects: victims.len(),
        succeeded: victims.iter().filter(|victim| victim.succeeded).count(),
    }
}

/// In a sentence per load: the same packets give success or ECONNRESET by how fast the sleeper wakes.
fn answer(points: &[(CpuLoad, Duration, usize, Vec<Victim>)]) -> Vec<String> {
    let sentence = |(load, name): (CpuLoad, &str)| {
        let all = || points.iter().filter(|point| point.0 == load).flat_map(|point| &point.3);
        let enough = all().filter(|victim| victim.succeeded).map(|victim| victim.window).min()?;
        let too_short = all().filter(|victim| !victim.succeeded).map(|victim| victim.window).max()?;
        Some(format!(
            "  {name}: the shortest window in which a connect() woke in time: {enough}\n            \
             the longest in which one did not: {too_short}"
        ))
    };
    [(CpuLoad::Idle, "idle CPU"), (CpuLoad::Busy, "busy CPU")].into_iter().filter_map(sentence).collect()
}

fn compare(comparison: &mut Comparison, points: &[(CpuLoad, Duration, usize, Vec<Victim>)]) {
    let rounds = points.len() * ROUNDS;
    let joined: usize = points.iter().map(|(_, _, joined, _)| joined).sum();
    comparison.equal("6", "connects joined to a reset in their packets", rounds, joined);

    let at_zero = points.iter().filter(|(_, round_trip, ..)| round_trip.is_zero()).flat_map(|p| &p.3);
    let (won, lost): (Vec<&Victim>, Vec<&Victim>) = at_zero.partition(|victim| victim.succeeded);
    comparison.holds(
        "6",
        "no added delay",
        "some fail at once",
        format!("{} succeed, {} ECONNRESET", won.len(), lost.len()),
        !lost.is_empty(),
    );
    let idle = points.iter().filter(|(load, ..)| *load == CpuLoad::Idle).flat_map(|p| &p.3);
    let (safe, narrow): (Vec<&Victim>, Vec<&Victim>) = idle.partition(|victim| victim.window >= SAFE);
    let won = safe.iter().filter(|victim| victim.succeeded).count();
    comparison.holds(
        "6",
        "window of 200 µs or more, idle",
        format!("all {} succeed, but for a machine with other work", safe.len()),
        format!("{won} succeed"),
        won * 100 >= safe.len() * NEARLY_ALL,
    );
    let won = narrow.iter().filter(|victim| victim.succeeded).count();
    comparison.holds(
        "6",
        "window below 200 µs, idle",
        "both happen",
        format!("{won} succeed, {} ECONNRESET", narrow.len() - won),
        won > 0 && won < narrow.len(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_put_together_whatever_their_order() {
        let victim = |micros| Victim { window: Span::from_micros(micros), succeeded: micros >= 100 };
        let victims: Vec<Victim> = (0..60).map(|n| victim((n * 37) % 60 + 75)).collect();
        let shares = shares(WaitMode::Blocking, CpuLoad::Idle, victims);
        let seen: Vec<_> =
            shares.iter().map(|share| (share.window * 1e6, share.connects, share.succeeded)).collect();
        // 75 to 99 µs fail, 100 to 134 µs succeed.
        assert_eq!(seen.len(), 3);
        assert_eq!(
            (seen[0].1, seen[0].2, seen[1].1, seen[1].2, seen[2].1, seen[2].2),
            (25, 0, 25, 25, 10, 10)
        );
        assert!((seen[0].0 - 87.0).abs() < 1e-9 && (seen[2].0 - 130.0).abs() < 1e-9, "{seen:?}");
    }
}
