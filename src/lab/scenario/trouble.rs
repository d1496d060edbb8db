//! `ack-loss` and `recover`: what looks like an overflow, and an overflow that ends well (DOMAIN §3, §2 E).

use std::time::Duration;

use super::{Parameters, ScenarioOutcome, ScenarioRun};
use crate::handshake::{Cause, Confidence, Evidence, Verdict};
use crate::kernel::Counter;
use crate::lab::comparison::Comparison;
use crate::lab::experiment::{LabClients, LabError, Setup};
use crate::lab::listener::AcceptPolicy;
use crate::lab::path::PathFault;
use crate::race::Probe;

/// Clients of `ack-loss`, of which the second loses its ACK.
const CLIENTS: usize = 4;
const LOST: u64 = 2;

pub(super) fn ack_loss(parameters: &Parameters) -> Result<ScenarioOutcome, LabError> {
    let mut comparison = Comparison::new(
        "ack-loss",
        format!(
            "{CLIENTS} clients of an empty queue; the path loses the ACK of one on its way to the server"
        ),
    );
    let setup = Setup { faults: vec![PathFault::lost_ack(LOST)], ..parameters.setup() };
    let run = ScenarioRun::of(&setup, |experiment| {
        let watch = Duration::from_millis(2_500);
        let clients = LabClients { count: CLIENTS, probe: Probe::Send, ..parameters.clients(watch) };
        let running = experiment.start_together(clients)?;
        let calls = experiment.collect(running)?;
        std::thread::sleep(Duration::from_millis(100)); // the answers to the clients' byte
        Ok(calls)
    })?;
    let (client, server) = (&run.views.client, &run.views.server);
    comparison.equal("3", "ACKs lost", 1, run.trace.lost);
    let repeated: Vec<_> = client.with(&run.calls, Verdict::SynackRetransmitted).collect();
    comparison.equal("3", "at the client: SYN-ACK repeated after the ACK", 1, repeated.len());
    let once = repeated.iter().filter(|a| a.retries.after_ack == 1 && a.established == Some(true)).count();
    comparison.equal("3", "at the client: once, then established", 1, once);
    let sure = repeated.iter().filter(|a| {
        a.inference.cause == Some(Cause::AcceptQueueOverflow)
            && a.inference.confidence > Some(Confidence::Possible)
    });
    comparison.equal("5", "at the client: likely overflows", 0, sure.count());
    let denied = run.with_kernel.client.with(&run.calls, Verdict::SynackRetransmitted).filter(|a| {
        a.inference.cause != Some(Cause::AcceptQueueOverflow)
            && a.inference.evidence.contains(&Evidence::KernelDidNotOverflow)
    });
    comparison.equal("5", "ruled out by the kernel's count", 1, denied.count());
    comparison.equal(
        "3",
        "at the server: completed",
        CLIENTS,
        server.with(&run.calls, Verdict::Completed).count(),
    );
    comparison.equal("3", "ListenOverflows", 0, run.counter(Counter::ListenOverflows));
    comparison.equal("3", "connect() says success", CLIENTS, run.succeeded());
    comparison.count("one ACK lost", &run.trace.counters);
    Ok(ScenarioOutcome { comparison, traces: vec![("ack-loss".to_owned(), run.trace)], curve: None })
}

pub(super) fn recover(parameters: &Parameters) -> Result<ScenarioOutcome, LabError> {
    /// After the first repeat at 1 s and before the second at 3 s.
    const ROOM: Duration = Duration::from_millis(2_000);
    let mut comparison = Comparison::new(
        "recover",
        format!(
            "{} clients overflow, tcp_abort_on_overflow=0; the application accepts from 2 s on",
            parameters.clients
        ),
    );
    let setup = Setup { backlog: parameters.roomy_backlog(), ..parameters.setup() };
    let mut accepted = 0;
    let run = ScenarioRun::of(&setup, |experiment| {
        experiment.fill(setup.backlog)?;
        // No data until the end: only SYN-ACK repeats and their ACKs can complete the connection.
        let clients = LabClients { probe: Probe::Send, ..parameters.clients(Duration::from_millis(4_500)) };
        let running = experiment.start_together(clients)?;
        experiment.serve(AcceptPolicy::After(ROOM))?;
        let calls = experiment.collect(running)?;
        std::thread::sleep(Duration::from_millis(100)); // the answers to the clients' byte
        accepted = experiment.listener().settle().unwrap_or(0);
        Ok(calls)
    })?;
    let expected = run.calls.len().saturating_sub(1);
    for (end, view) in [("server", &run.views.server), ("client", &run.views.client)] {
        let hit: Vec<_> = view.with(&run.calls, Verdict::SynackRetransmitted).collect();
        comparison.equal(
            "2 E",
            format!("SYN-ACK repeated after the ACK, seen at the {end}"),
            expected,
            hit.len(),
        );
        let established = hit.iter().filter(|attempt| attempt.established == Some(true)).count();
        comparison.equal(
            "4",
            format!("of these, established in the end, seen at the {end}"),
            expected,
            established,
        );
    }
    let confirmed = "confirmed by the kernel's count".to_owned();
    run.confirmed(&mut comparison, confirmed, Verdict::SynackRetransmitted, expected);
    comparison.equal("2 E", "connect() says success", run.calls.len(), run.succeeded());
    comparison.equal("2 E", "connections accepted", run.calls.len() + setup.backlog as usize, accepted);
    let dead = run.calls.iter().filter(|call| call.death().is_some()).count();
    comparison.equal("2 E", "connections that died", 0, dead);
    comparison.count("room at 2 s", &run.trace.counters);
    Ok(ScenarioOutcome { comparison, traces: vec![("recover".to_owned(), run.trace)], curve: None })
}
