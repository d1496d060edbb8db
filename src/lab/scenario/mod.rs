//! The scenarios: each tests statements of docs/DOMAIN.md on this kernel.
//!
//! Owns what is tried and what is expected. Does not own how (`experiment`) nor what packets mean
//! (`handshake`).

mod close;
mod cookies;
mod custom;
mod deferred;
mod overflow;
mod queue;
mod race;
mod syn;
mod trouble;

use std::time::Duration;

use super::analysis::BothEnds;
use super::comparison::Comparison;
use super::events::DropEvents;
use super::experiment::{Experiment, LabClients, LabError, Setup, Trace, doing};
use crate::handshake::{Attempt, Cause, Confidence, Verdict};
use crate::kernel::Counter;
use crate::race::{Call, Probe, WaitMode};

pub use custom::Custom;
pub use race::{CpuLoad, Curve, Point, Share};

/// Parameters of a scenario that the user may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// IPv6 instead of IPv4.
    pub v6: bool,
    /// Number of clients.
    pub clients: usize,
    /// The path's round trip.
    pub round_trip: Duration,
    /// `tcp_synack_retries`, where the scenario does not try several.
    pub synack_retries: Option<u8>,
    /// Bytes sent by clients that send at once.
    pub data: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { v6: false, clients: 64, round_trip: Duration::from_millis(2), synack_retries: None, data: 1 }
    }
}

/// A parameter that not every scenario has a use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// `Parameters::clients`.
    Clients,
    /// `Parameters::round_trip`.
    RoundTrip,
    /// `Parameters::data`.
    Data,
}

/// One scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// The accept queue fills.
    Queue,
    /// Overflow with `tcp_abort_on_overflow=0`.
    Drop,
    /// Overflow with `tcp_abort_on_overflow=1`.
    Reset,
    /// `connect()` against the RST.
    Race,
    /// Overflow with SYN cookies.
    Cookies,
    /// Queue full at the SYN.
    SynDrop,
    /// TCP_DEFER_ACCEPT, which looks like an overflow.
    DeferAccept,
    /// A lost ACK, which looks like an overflow.
    AckLoss,
    /// Overflow, then room.
    Recover,
    /// A listener that is closed, which looks like an overflow.
    Close,
}

/// Result of a scenario.
#[derive(Debug)]
pub struct ScenarioOutcome {
    /// The comparison.
    pub comparison: Comparison,
    /// The packets of its runs, named.
    pub traces: Vec<(String, Trace)>,
    /// The measured curve, from `race`.
    pub curve: Option<Curve>,
}

impl Scenario {
    /// All, in the order of the outputs.
    pub const ALL: [Self; 10] = [
        Self::Queue,
        Self::Drop,
        Self::Reset,
        Self::Race,
        Self::Cookies,
        Self::SynDrop,
        Self::DeferAccept,
        Self::AckLoss,
        Self::Recover,
        Self::Close,
    ];

    /// The name in every output and argument.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Drop => "drop",
            Self::Reset => "reset",
            Self::Race => "race",
            Self::Cookies => "cookies",
            Self::SynDrop => "syn-drop",
            Self::DeferAccept => "defer-accept",
            Self::AckLoss => "ack-loss",
            Self::Recover => "recover",
            Self::Close => "close",
        }
    }

    /// True if the scenario uses this parameter; the parameters not listed here change every scenario.
    #[must_use]
    pub const fn uses(self, parameter: Parameter) -> bool {
        let (clients, round_trip, data) = match self {
            Self::Queue | Self::SynDrop | Self::AckLoss | Self::Close => (false, true, false),
            Self::Drop | Self::Recover => (true, true, false),
            Self::Reset | Self::Cookies => (true, true, true),
            Self::Race => (false, false, false),
            Self::DeferAccept => (false, true, true),
        };
        match parameter {
            Parameter::Clients => clients,
            Parameter::RoundTrip => round_trip,
            Parameter::Data => data,
        }
    }

    /// Runs it.
    ///
    /// # Errors
    ///
    /// The lab could not be set up; a kernel that behaves otherwise is no error but a finding.
    pub fn run(self, parameters: &Parameters) -> Result<ScenarioOutcome, LabError> {
        match self {
            Self::Queue => queue::run(parameters),
            Self::Drop => overflow::drop(parameters),
            Self::Reset => overflow::reset(parameters),
            Self::Race => race::run(parameters),
            Self::Cookies => cookies::run(parameters),
            Self::SynDrop => syn::run(parameters),
            Self::DeferAccept => deferred::run(parameters),
            Self::AckLoss => trouble::ack_loss(parameters),
            Self::Recover => trouble::recover(parameters),
            Self::Close => close::run(parameters),
        }
    }
}

/// One run: the clients' calls and both ends' packets, analysed.
struct ScenarioRun {
    calls: Vec<Call>,
    /// Attempts by the packets alone.
    views: BothEnds,
    /// Attempts by the packets together with the kernel's count.
    with_kernel: BothEnds,
    trace: Trace,
}

impl ScenarioRun {
    fn of(
        setup: &Setup,
        body: impl FnOnce(&mut Experiment) -> Result<Vec<Call>, LabError> + Send,
    ) -> Result<Self, LabError> {
        let (calls, trace) = setup.run(body)?;
        let views = BothEnds::of(&trace).map_err(doing("analyse the packets"))?;
        let with_kernel = views.clone().with_kernel(trace.delta.as_ref());
        Ok(Self { calls, views, with_kernel, trace })
    }

    fn counter(&self, counter: Counter) -> u64 {
        self.trace.counters.get(counter).unwrap_or(0)
    }

    /// Compares how many of the server's `expected` attempts with this verdict are overflows that the kernel's count
    /// confirms.
    fn confirmed(&self, comparison: &mut Comparison, subject: String, verdict: Verdict, expected: usize) {
        let sure = |attempt: &&Attempt| {
            attempt.inference.cause == Some(Cause::AcceptQueueOverflow)
                && attempt.inference.confidence == Some(Confidence::Confirmed)
        };
        let confirmed = self.with_kernel.server.with(&self.calls, verdict).filter(sure).count();
        comparison.equal("5", subject, expected, confirmed);
    }

    /// Compares the kernel's event of each dropped ACK and data segment with its count, and joins them to the `hit`
    /// attempts: each has as many as the packets show, or a note gives the reason why there are none.
    fn events(&self, comparison: &mut Comparison, of: impl Fn(&str) -> String, hit: &[&Attempt]) {
        let (overflows, retransmissions, lost) = match &self.trace.events {
            DropEvents::Counted { overflows, retransmissions, lost, .. } => {
                (overflows, retransmissions, *lost)
            }
            DropEvents::Unavailable(reason) => {
                comparison.notes.push(format!("  {}: {reason}", of("no events of dropped segments")));
                return;
            }
        };
        let counted = self.counter(Counter::ListenOverflows);
        comparison.equal(
            "8",
            of("events of ignored ACKs = ListenOverflows"),
            counted,
            overflows.len() as u64,
        );
        let of_client = |ports: &[u16], attempt: &Attempt| {
            ports.iter().filter(|&&port| port == attempt.client.port()).count()
        };
        let joined = hit
            .iter()
            .filter(|attempt| of_client(overflows, attempt) == attempt.retries.after_ack as usize + 1)
            .count();
        comparison.equal("8", of("attempts with an event for each ignored ACK"), hit.len(), joined);
        let repeated = hit
            .iter()
            .filter(|attempt| of_client(retransmissions, attempt) == attempt.retries.syn_ack as usize)
            .count();
        comparison.equal("8", of("attempts with an event for each SYN-ACK sent again"), hit.len(), repeated);
        comparison.equal("8", of("events lost"), 0, lost);
    }

    fn succeeded(&self) -> usize {
        self.calls.iter().filter(|call| call.succeeded()).count()
    }
}

impl Parameters {
    fn setup(&self) -> Setup {
        Setup {
            v6: self.v6,
            round_trip: self.round_trip,
            synack_retries: self.synack_retries,
            ..Setup::default()
        }
    }

    /// A backlog that all clients' requests fit into without making it half full: no pressure.
    fn roomy_backlog(&self) -> u32 {
        u32::try_from(self.clients.saturating_mul(2)).unwrap_or(u32::MAX)
    }

    /// Clients that connect, wait for what comes, and send one byte at the end.
    const fn clients(&self, watch: Duration) -> LabClients {
        LabClients {
            count: self.clients,
            mode: WaitMode::Blocking,
            timeout: Duration::from_secs(30),
            send: 0,
            watch,
            probe: Probe::Send,
        }
    }
}

/// Starts one thread per setting and waits for all: most scenarios wait for the kernel's timers.
fn side_by_side<S: Sync, T: Send>(
    settings: &[S],
    run: impl Fn(&S) -> Result<T, LabError> + Sync,
) -> Result<Vec<T>, LabError> {
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = settings.iter().map(|setting| scope.spawn(move || run(setting))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
