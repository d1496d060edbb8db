//! `close`: a listener that is closed resets its clients, which looks like an overflow (DOMAIN §3 B).

use std::time::Duration;

use nix::errno::Errno;

use super::{Parameters, ScenarioOutcome, ScenarioRun, side_by_side};
use crate::handshake::{Attempt, Cause, Verdict};
use crate::kernel::Counter;
use crate::lab::comparison::Comparison;
use crate::lab::experiment::{Experiment, LabClients, LabError, Setup, doing};
use crate::lab::listener::AcceptPolicy;
use crate::race::{Call, Probe};

/// Large enough for all clients: nothing overflows.
const BACKLOG: u32 = 64;
/// Clients that have finished their handshake when the listener closes.
const WAITING: usize = 24;
/// Clients whose SYN-ACK is on its way when the listener closes.
const UNDER_WAY: usize = 16;
/// Clients that come after the close, and in the restart once more after the listener is back.
const LATER: usize = 8;
/// Time that clients watch their connection: the close comes within it.
const WATCH: Duration = Duration::from_secs(3);
/// Longest wait for the connections of one step.
const STEP: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq)]
enum ClosingKind {
    /// Two sockets share the address (SO_REUSEPORT); one closes, the other serves on.
    Reload,
    /// The only socket closes, and another opens later.
    Restart,
}

/// The calls of one run, by the listener's state when they connected.
#[derive(Default)]
struct Phases {
    /// Connections in the closed socket's accept queue.
    queued: usize,
    waiting: Vec<Call>,
    under_way: Vec<Call>,
    /// Between close and reopening; none in the reload.
    between: Vec<Call>,
    later: Vec<Call>,
}

pub(super) fn run(parameters: &Parameters) -> Result<ScenarioOutcome, LabError> {
    let mut comparison = Comparison::new(
        "close",
        format!(
            "a listener closes with {WAITING} connections in its queue or its neighbour's and {UNDER_WAY} handshakes under way"
        ),
    );
    let closings = [ClosingKind::Reload, ClosingKind::Restart];
    let runs = side_by_side(&closings, |&closing| {
        let setup = Setup { backlog: BACKLOG, ..parameters.setup() };
        let mut phases = Phases::default();
        let run = ScenarioRun::of(&setup, |experiment| {
            phases = close(experiment, parameters, closing)?;
            Ok(phases.all())
        })?;
        Ok((phases, run))
    })?;
    let mut traces = Vec::new();
    for (closing, (phases, run)) in closings.into_iter().zip(runs) {
        let name = match closing {
            ClosingKind::Reload => "reload, SO_REUSEPORT",
            ClosingKind::Restart => "restart",
        };
        compare(&mut comparison, name, &phases, &run);
        comparison.count(name, &run.trace.counters);
        traces.push((format!("close-{}", name.split(',').next().unwrap_or(name)), run.trace));
    }
    Ok(ScenarioOutcome { comparison, traces, curve: None })
}

fn close(
    experiment: &mut Experiment,
    parameters: &Parameters,
    closing: ClosingKind,
) -> Result<Phases, LabError> {
    let clients = |count| LabClients { count, probe: Probe::SoError, ..parameters.clients(WATCH) };
    let mut other = match closing {
        ClosingKind::Reload => {
            let mut other = experiment.open_listener(BACKLOG)?;
            other.serve(AcceptPolicy::Answer).map_err(doing("accept"))?;
            Some(other)
        }
        ClosingKind::Restart => None,
    };
    let waiting = experiment.start(clients(WAITING))?;
    experiment.wait("the handshakes are complete", STEP, |e| Ok(e.established()? == 2 * WAITING))?;
    let closed = experiment.listener().inode().map_err(doing("read the listener's inode"))?;
    let queued = experiment.queue_of(closed)?.recv_q as usize;
    let under_way = experiment.start_held(clients(UNDER_WAY))?;
    experiment.wait("handshakes are under way", STEP, |e| Ok(e.requests()? == UNDER_WAY))?;

    let mut between = Vec::new();
    match other.take() {
        Some(other) => drop(experiment.replace_listener(other)),
        None => {
            experiment.close_listener()?;
            experiment.path().release().map_err(doing("release the SYN-ACKs"))?;
            let refused = experiment.start(clients(LATER))?;
            between = experiment.collect(refused)?;
            let mut reopened = experiment.open_listener(BACKLOG)?;
            reopened.serve(AcceptPolicy::Answer).map_err(doing("accept"))?;
            drop(experiment.replace_listener(reopened));
        }
    }
    experiment.path().release().map_err(doing("release the SYN-ACKs"))?;
    let later = experiment.start(clients(LATER))?;
    Ok(Phases {
        queued,
        waiting: experiment.collect(waiting)?,
        under_way: experiment.collect(under_way)?,
        between,
        later: experiment.collect(later)?,
    })
}

impl Phases {
    fn all(&self) -> Vec<Call> {
        [&self.waiting, &self.under_way, &self.between, &self.later].into_iter().flatten().copied().collect()
    }
}

fn compare(comparison: &mut Comparison, name: &str, phases: &Phases, run: &ScenarioRun) {
    let of = |what: &str| format!("{what}, {name}");
    let server = &run.views.server;
    let died = |calls: &[Call]| calls.iter().filter(|call| call.death() == Some(Errno::ECONNRESET)).count();
    comparison.equal(
        "3",
        of("connections in the queue that are reset"),
        phases.queued,
        died(&phases.waiting),
    );
    let acked = server.resets.total - server.resets.bare;
    let refused = phases.between.iter().filter(|call| call.result == Err(Errno::ECONNREFUSED)).count();
    comparison.equal("3", of("by RST with ACK"), (phases.queued + refused) as u64, acked);
    let under_way = server.with(&phases.under_way, Verdict::ResetAfterAck).count();
    comparison.holds(
        "3",
        of("handshakes under way that are reset"),
        if phases.between.is_empty() { "some" } else { "all" },
        under_way.to_string(),
        if phases.between.is_empty() { under_way > 0 } else { under_way == UNDER_WAY },
    );
    comparison.equal(
        "3",
        of("of these, connect() or the next call failed"),
        under_way,
        failed(&phases.under_way),
    );
    comparison.equal("3", of("by bare RST"), under_way as u64, server.resets.bare);
    comparison.equal("3", of("connects refused while nothing listens"), phases.between.len(), refused);
    let served = phases.later.iter().filter(|call| call.was_answered()).count();
    comparison.equal("3", of("later clients that are served"), LATER, served);
    comparison.equal("3", of("ListenOverflows"), 0, run.counter(Counter::ListenOverflows));
    let overflow = |a: &&Attempt| a.inference.cause == Some(Cause::AcceptQueueOverflow);
    let taken = run.calls.iter().filter_map(|call| server.attempt(call)).filter(overflow).count();
    comparison.equal("3", of("attempts taken for an overflow"), 0, taken);
}

fn failed(calls: &[Call]) -> usize {
    calls.iter().filter(|call| !call.succeeded() || call.death().is_some()).count()
}
