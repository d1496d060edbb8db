//! `defer-accept`: a listener that ignores the bare ACK on purpose (DOMAIN §3).

use std::time::Duration;

use super::{Parameters, ScenarioOutcome, ScenarioRun, side_by_side};
use crate::handshake::{Attempt, Cause};
use crate::kernel::Counter;
use crate::lab::comparison::Comparison;
use crate::lab::experiment::{LabClients, LabError, Setup};
use crate::race::Probe;

/// The tried periods in seconds, each one that the kernel's retransmission schedule has: 1, 1 + 2 and 1 + 2 + 4.
const PERIODS: [u32; 3] = [1, 3, 7];
/// Few clients: the listener does not overflow.
const CLIENTS: usize = 8;

pub(super) fn run(parameters: &Parameters) -> Result<ScenarioOutcome, LabError> {
    let mut comparison = Comparison::new(
        "defer-accept",
        format!("{CLIENTS} clients of a listener with TCP_DEFER_ACCEPT and an empty queue"),
    );
    let settings = [(PERIODS[0], 0), (PERIODS[1], 0), (PERIODS[2], 0), (PERIODS[1], parameters.data.max(1))];
    let runs = side_by_side(&settings, |&(period, send)| {
        let setup = Setup { backlog: 64, defer_accept: Some(period), ..parameters.setup() };
        ScenarioRun::of(&setup, |experiment| {
            let watch = Duration::from_secs(u64::from(period)) * 5 / 4 + Duration::from_secs(2);
            let clients =
                LabClients { count: CLIENTS, send, probe: Probe::SoError, ..parameters.clients(watch) };
            let running = experiment.start_together(clients)?;
            experiment.collect(running)
        })
    })?;
    let mut traces = Vec::new();
    for ((period, send), run) in settings.into_iter().zip(runs) {
        let of = |what: &str| format!("{what}, {period} s, {send} bytes sent");
        if send == 0 {
            compare_silent(&mut comparison, period, &run);
        } else {
            comparison.equal("3", of("SYN-ACK repeats"), 0, most_repeats(&run));
            comparison.equal("3", of("connections waiting at once"), CLIENTS, established(&run));
        }
        let overflow = |a: &&Attempt| a.inference.cause == Some(Cause::AcceptQueueOverflow);
        let overflows = attempts(&run).filter(overflow).count();
        comparison.equal("3", of("attempts taken for an overflow"), 0, overflows);
        comparison.equal("3", of("ListenOverflows"), 0, run.counter(Counter::ListenOverflows));
        comparison.count(format!("{period} s, {send} bytes"), &run.trace.counters);
        traces.push((format!("defer-accept-{period}-{send}"), run.trace));
    }
    Ok(ScenarioOutcome { comparison, traces, curve: None })
}

fn compare_silent(comparison: &mut Comparison, period: u32, run: &ScenarioRun) {
    let of = |what: &str| format!("{what}, {period} s, 0 bytes sent");
    comparison.equal("3", of("most SYN-ACK repeats"), 1, most_repeats(run));
    let times: Vec<f64> =
        attempts(run).filter_map(|attempt| attempt.retry_at.first()).map(|at| at.as_secs_f64()).collect();
    let (first, last) = times.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), &t| (a.min(t), b.max(t)));
    let due = f64::from(period);
    comparison.holds(
        "3",
        of("time of that repeat"),
        if period == 1 {
            "near 1 s, as an overflow's".to_owned()
        } else {
            format!("near {due:.1} s, not 1 s")
        },
        format!("{first:.2}–{last:.2} s"),
        times.len() == CLIENTS && first > due * 0.9 && last < due * 1.25,
    );
    comparison.equal(
        "3",
        of("bare ACKs ignored, then accepted"),
        CLIENTS as u64,
        run.counter(Counter::TcpDeferAcceptDrop),
    );
}

fn attempts(run: &ScenarioRun) -> impl Iterator<Item = &Attempt> {
    run.calls.iter().filter_map(|call| run.views.server.attempt(call))
}

fn most_repeats(run: &ScenarioRun) -> u32 {
    attempts(run).map(|attempt| attempt.retries.syn_ack).max().unwrap_or(0)
}

fn established(run: &ScenarioRun) -> usize {
    attempts(run).filter(|attempt| attempt.established == Some(true)).count()
}
