//! `syn-drop`: the queue is over full when the SYN arrives (DOMAIN §2 C).

use std::time::Duration;

use super::{Parameters, ScenarioOutcome, ScenarioRun, side_by_side};
use crate::handshake::{Attempt, Verdict};
use crate::kernel::Counter;
use crate::lab::comparison::Comparison;
use crate::lab::experiment::{Experiment, LabClients, LabError, Setup, result_name};
use crate::lab::listener::AcceptPolicy;
use crate::packet::Span;
use crate::race::{Call, Probe};

/// Room for the requests of all clients: otherwise some are dropped once more, by the full SYN queue.
const BACKLOG: u32 = 16;
const CLIENTS: usize = 8;
/// Time at which the application begins to accept, in the run in which it does.
const ROOM: Duration = Duration::from_millis(2_500);
/// Time-out of the clients in the run that looks at their retries: well after the one at 11 s.
const CLIENT_TIMEOUT: Duration = Duration::from_millis(13_500);
/// With this `tcp_syn_retries`, `connect()` fails on its own.
const SYN_RETRIES: u8 = 2;
/// Time of that failure in seconds: `tcp_syn_retries` bounds the time, as if time-outs doubled from the first, and not
/// the number of repeats (`retransmits_timed_out`).
const GIVEN_UP: f64 = 7.0;
/// SYN repeats in seconds after the first (DOMAIN §2, since Linux 6.5): one second apart for
/// `tcp_syn_linear_timeouts` = 4, then doubling from there.
const REPEATS: [f64; 7] = [1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 11.0];

/// Most that a client's clock may be ahead of its packets: a busy machine wakes it late.
const CLOSE: Span = Span::from_millis(150);

#[derive(Clone, Copy, PartialEq, Eq)]
enum SynDropEnding {
    /// Nobody accepts; the repeats are watched.
    Watch,
    /// Nobody accepts; `tcp_syn_retries` is small.
    GiveUp,
    /// Room appears.
    Room,
}

pub(super) fn run(parameters: &Parameters) -> Result<ScenarioOutcome, LabError> {
    let mut comparison = Comparison::new(
        "syn-drop",
        format!("{CLIENTS} clients of a queue that already holds {} of {BACKLOG}", BACKLOG + 1),
    );
    let endings = [SynDropEnding::Watch, SynDropEnding::GiveUp, SynDropEnding::Room];
    let runs = side_by_side(&endings, |&ending| {
        let syn_retries = (ending == SynDropEnding::GiveUp).then_some(SYN_RETRIES);
        let setup = Setup { backlog: BACKLOG, syn_retries, ..parameters.setup() };
        let mut before = (0, 0);
        let run = ScenarioRun::of(&setup, |experiment| {
            fill_over(experiment)?;
            let full = experiment.queue()?;
            let clients = LabClients {
                count: CLIENTS,
                timeout: if ending == SynDropEnding::Watch {
                    CLIENT_TIMEOUT
                } else {
                    Duration::from_secs(30)
                },
                probe: Probe::SoError,
                ..parameters.clients(Duration::from_millis(200))
            };
            if ending == SynDropEnding::Room {
                experiment.serve(AcceptPolicy::After(ROOM))?;
            }
            let running = experiment.start_together(clients)?;
            let calls = experiment.collect(running)?;
            before = (full.drops.unwrap_or(0), experiment.queue()?.drops.unwrap_or(0));
            Ok(calls)
        })?;
        Ok((run, before.1.wrapping_sub(before.0)))
    })?;
    let mut traces = Vec::new();
    for (ending, (run, drops)) in endings.into_iter().zip(runs) {
        let name = match ending {
            SynDropEnding::Watch => {
                compare_repeats(&mut comparison, &run, drops);
                "nobody accepts"
            }
            SynDropEnding::GiveUp => {
                compare_give_up(&mut comparison, &run);
                "tcp_syn_retries=2"
            }
            SynDropEnding::Room => {
                compare_room(&mut comparison, &run);
                "room at 2.5 s"
            }
        };
        comparison.count(name, &run.trace.counters);
        traces.push((format!("syn-drop-{}", name.replace([' ', '='], "-")), run.trace));
    }
    Ok(ScenarioOutcome { comparison, traces, curve: None })
}

/// One more than the limit: the last one comes alone, while there is room for it.
fn fill_over(experiment: &mut Experiment) -> Result<(), LabError> {
    experiment.fill(BACKLOG)?;
    experiment.fill(1)?;
    Ok(())
}

fn compare_repeats(comparison: &mut Comparison, run: &ScenarioRun, drops: u32) {
    let server = &run.views.server;
    let hit: Vec<&Attempt> = server.with(&run.calls, Verdict::Unanswered).collect();
    comparison.equal("2 C", "SYNs unanswered", CLIENTS, hit.len());
    let confirmed = "confirmed by the kernel's count".to_owned();
    run.confirmed(comparison, confirmed, Verdict::Unanswered, CLIENTS);
    let times: Vec<f64> = hit
        .first()
        .map(|attempt| attempt.syn_retry_at.iter().map(|at| at.as_secs_f64()).collect())
        .unwrap_or_default();
    let close =
        times.len() == REPEATS.len() && times.iter().zip(REPEATS).all(|(t, due)| (t - due).abs() < 0.1 * due);
    comparison.holds(
        "2",
        "SYN repeats, gaps 1 1 1 1 1 then doubling",
        format!("{} s", REPEATS.map(|t| t.to_string()).join(", ")),
        format!("{} s", times.iter().map(|t| format!("{t:.2}")).collect::<Vec<_>>().join(", ")),
        close,
    );
    let syns: u64 = hit.iter().map(|attempt| u64::from(attempt.retries.syn) + 1).sum();
    comparison.equal("2 C", "ListenOverflows = SYNs", syns, run.counter(Counter::ListenOverflows));
    comparison.equal("2 C", "ListenDrops = SYNs", syns, run.counter(Counter::ListenDrops));
    comparison.equal("8", "the listener's drops: one per SYN", syns, u64::from(drops));
}

fn compare_give_up(comparison: &mut Comparison, run: &ScenarioRun) {
    let failed = run.calls.iter().filter(|call| result_name(call.result) == "ETIMEDOUT").count();
    comparison.equal("2 C", "connect() ends with ETIMEDOUT, tcp_syn_retries=2", CLIENTS, failed);
    let longest =
        run.calls.iter().map(|call| call.returned.since(call.started).as_secs_f64()).fold(0.0, f64::max);
    comparison.holds(
        "2 C",
        "after",
        format!("{GIVEN_UP} s"),
        format!("{longest:.2} s"),
        (GIVEN_UP - 0.1..GIVEN_UP * 1.2).contains(&longest),
    );
}

fn compare_room(comparison: &mut Comparison, run: &ScenarioRun) {
    comparison.equal("2 C", "connect() late but well, room at 2.5 s", CLIENTS, run.succeeded());
    let longest = run.calls.iter().map(|call| latency(call).as_secs_f64()).fold(0.0, f64::max);
    comparison.holds(
        "2 C",
        "with the next repeat",
        "3 s",
        format!("{longest:.2} s"),
        (2.9..3.4).contains(&longest),
    );
    for (end, view) in [("client", &run.views.client), ("server", &run.views.server)] {
        let late: Vec<(&Call, &Attempt)> = run
            .calls
            .iter()
            .filter_map(|call| Some((call, view.attempt(call)?)))
            .filter(|(_, attempt)| attempt.verdict == Verdict::CompletedLate)
            .collect();
        comparison.equal("2 C", format!("completed late, seen at the {end}"), CLIENTS, late.len());
        // Each client's own clock around connect(), against the packets'.
        let agree = late.iter().filter(|(call, attempt)| {
            let connect = attempt.timing.connect.is_some_and(|connect| close(connect, latency(call)));
            // The delay leaves out one round trip (2 ms by default), which `close` allows for.
            connect && attempt.timing.delay.is_some_and(|delay| close(delay, latency(call)))
        });
        comparison.equal(
            "2 C",
            format!("as late as connect() measured, seen at the {end}"),
            late.len(),
            agree.count(),
        );
    }
}

/// Time in `connect()`, by the client's clock.
fn latency(call: &Call) -> Span {
    call.returned.since(call.started)
}

/// Equal but for the round trip and a thread that wakes late.
fn close(packets: Span, clock: Span) -> bool {
    (Span::ZERO..CLOSE).contains(&Span::from_nanos(clock.as_nanos() - packets.as_nanos()))
}
