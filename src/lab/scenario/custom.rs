//! One experiment with the user's own settings: no predictions, but verdicts and counters must agree.

use std::time::Duration;

use strum::IntoEnumIterator;

use super::{Parameters, ScenarioOutcome, ScenarioRun};
use crate::handshake::{Attempt, Cause, Confidence, Verdict};
use crate::kernel::Counter;
use crate::lab::comparison::Comparison;
use crate::lab::experiment::{LabClients, LabError, Setup, result_name};
use crate::lab::listener::AcceptPolicy;
use crate::lab::path::PathFault;
use crate::race::Probe;

/// The user's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    /// The backlog given to `listen()`; the queue is filled to its limit before the clients start.
    pub backlog: u32,
    /// `net.core.somaxconn`.
    pub somaxconn: Option<u32>,
    /// `net.ipv4.tcp_abort_on_overflow`.
    pub abort: bool,
    /// `net.ipv4.tcp_syncookies`.
    pub syncookies: u8,
    /// Seconds of TCP_DEFER_ACCEPT; such a listener cannot be filled beforehand.
    pub defer_accept: Option<u32>,
    /// Handshake ACKs of the clients that are lost.
    pub lose_acks: Vec<u64>,
    /// Accept policy of the application, with times counted from the clients' start.
    pub accept: AcceptPolicy,
    /// Bytes each client sends at once.
    pub send: usize,
    /// Time each client watches its connection.
    pub watch: Duration,
}

impl Custom {
    /// The name in every output.
    pub const NAME: &'static str = "custom";

    /// Runs it.
    ///
    /// # Errors
    ///
    /// The lab could not be set up.
    pub fn run(&self, parameters: &Parameters) -> Result<ScenarioOutcome, LabError> {
        let limit = self.somaxconn.map_or(self.backlog, |cap| cap.min(self.backlog));
        let fill = if self.defer_accept.is_none() { limit } else { 0 };
        let mut comparison = Comparison::new(
            Self::NAME,
            format!(
                "{} clients, accept queue filled with {fill} of {limit}, abort={}, syncookies={}",
                parameters.clients,
                u8::from(self.abort),
                self.syncookies
            ),
        );
        let setup = Setup {
            backlog: self.backlog,
            somaxconn: self.somaxconn,
            abort: self.abort,
            syncookies: self.syncookies,
            defer_accept: self.defer_accept,
            // The fillers' ACKs come first on the path, and are not the ones to be lost.
            faults: self
                .lose_acks
                .iter()
                .map(|ack| PathFault::lost_ack(ack.saturating_add(u64::from(fill))))
                .collect(),
            ..parameters.setup()
        };
        let run = ScenarioRun::of(&setup, |experiment| {
            experiment.fill(fill)?;
            let clients = LabClients {
                send: self.send,
                timeout: self.watch,
                probe: Probe::SoError,
                ..parameters.clients(self.watch)
            };
            let running = experiment.start_together(clients)?;
            experiment.serve(self.accept)?;
            experiment.collect(running)
        })?;
        self.compare(&mut comparison, &run);
        comparison.count("all", &run.trace.counters);
        Ok(ScenarioOutcome { comparison, traces: vec![(Self::NAME.to_owned(), run.trace)], curve: None })
    }

    fn compare(&self, comparison: &mut Comparison, run: &ScenarioRun) {
        for verdict in Verdict::iter() {
            let [client, server] =
                [&run.views.client, &run.views.server].map(|v| v.with(&run.calls, verdict).count());
            if client + server > 0 {
                comparison
                    .notes
                    .push(format!("  {verdict:<22} at the client {client:>4}, at the server {server:>4}"));
            }
        }
        let mut results: Vec<(String, usize)> = Vec::new();
        for call in &run.calls {
            let result = match call.death() {
                Some(errno) => format!("success, then {errno:?}"),
                None => result_name(call.result),
            };
            match results.iter_mut().find(|(known, _)| *known == result) {
                Some((_, count)) => *count += 1,
                None => results.push((result, 1)),
            }
        }
        let results: Vec<_> = results.iter().map(|(result, count)| format!("{count}× {result}")).collect();
        comparison.notes.push(format!("  connect() said           {}", results.join(", ")));

        let overflow = |a: &&Attempt| a.inference.cause == Some(Cause::AcceptQueueOverflow);
        let named =
            run.calls.iter().filter_map(|call| run.views.server.attempt(call)).filter(overflow).count();
        let sure = |a: &Attempt| a.inference.confidence == Some(Confidence::Confirmed);
        let with_kernel =
            run.calls.iter().filter_map(|call| run.with_kernel.server.attempt(call)).filter(overflow);
        let confirmed = with_kernel.filter(|attempt| sure(attempt)).count();
        let counted = run.counter(Counter::ListenOverflows);
        // A SYN that is still repeated when the experiment ends is nobody's yet.
        let open = run.views.server.with(&run.calls, Verdict::Undetermined).count();
        let unjudged = if open > 0 { format!(" ({open} more cannot be judged)") } else { String::new() };
        comparison.holds(
            "5",
            "overflows: in the packets, and in the kernel's counter",
            "both or neither",
            format!("{named} attempts{unjudged}, {counted} events"),
            (named > 0) == (counted > 0) || named == 0 && open > 0,
        );
        // SYNs that the full SYN queue dropped look the same, and are no overflows: then none is confirmed alone.
        let shown: u64 = run.calls.iter().filter_map(|call| run.views.server.attempt(call)).map(events).sum();
        let accounted = shown <= counted;
        comparison.holds(
            "8",
            "of these, confirmed by the kernel's count",
            if accounted { format!("all {named}") } else { format!("{counted} at most") },
            confirmed.to_string(),
            if accounted { confirmed >= named } else { confirmed as u64 <= counted },
        );
        let resets = run.views.server.with(&run.calls, Verdict::ResetAfterAck).count() as u64;
        let embryonic = run.counter(Counter::EmbryonicRsts);
        comparison.equal("2 B", "reset-after-ack = EmbryonicRsts", resets, embryonic);
    }
}

/// Events of an attempt that a full queue counts, as far as its packets show them.
fn events(attempt: &Attempt) -> u64 {
    let dropped = attempt.timing.syn_to_synack.is_none();
    let syns = if dropped { u64::from(attempt.retries.syn) + 1 } else { 0 };
    syns + u64::from(attempt.retries.after_ack) + u64::from(attempt.verdict == Verdict::ResetAfterAck)
}
