//! Per-listener tallies, causes that need more than one attempt, and the diagnosis: as data.
//!
//! Takes findings in the order they were made, and the kernel's counters where they are read (`kernel`). Does not own
//! how findings are made (`handshake`), nor the sentences that say what was found (`report/wording`). Packet time only.

#![deny(clippy::disallowed_methods)]

mod advice;
mod answered_spans;
mod capture_limits;
mod clients;
mod diagnosis;
mod episode;
mod evidence;
mod histogram;
mod kernel_history;
mod listeners;
mod record;
mod schedule;
pub mod size;
mod times;

pub use advice::{Advice, AdviceKind};
pub use capture_limits::{CaptureLimits, Coverage};
pub use clients::Clients;
pub use diagnosis::Diagnosis;
pub use episode::{Episode, Percentiles};
pub use evidence::{KernelFigures, ListenerEvidence, ListenerEvidenceCode};
pub use listeners::Listeners;
pub use record::{RetrySums, Tally};
pub use schedule::RetrySchedule;

use crate::handshake::{Cause, Confidence};
use crate::kernel::KernelStats;
use crate::packet::{Endpoint, Timestamp};

/// All attempts to one server address and port, summed up.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Its address; `None` for the line that folds listeners past the bound.
    pub server: Option<Endpoint>,
    /// Attempts by verdict.
    pub verdicts: Tally,
    /// Completed attempts that nothing proves.
    pub unproven: u64,
    /// First SYN to the SYN-ACK that the client took, over its attempts.
    pub connect_time: Option<Percentiles>,
    /// The part of that which retries cost, over the attempts that they cost any.
    pub delay: Option<Percentiles>,
    /// How late the server was after the ACK, over the attempts to which it was late.
    pub stall: Option<Percentiles>,
    /// Attempts to which it was late.
    pub stalled: u64,
    /// Retries, summed.
    pub retries: RetrySums,
    /// The cause that explains most of its problems.
    pub cause: Option<Cause>,
    /// `net.ipv4.tcp_abort_on_overflow`, as the attempts show it.
    pub abort_on_overflow: Option<bool>,
    /// How sure the cause is; `None` exactly when `cause` is.
    pub confidence: Option<Confidence>,
    /// Why it is this cause, strongest first.
    pub evidence: Vec<ListenerEvidence>,
    /// What is wrong with it.
    pub diagnosis: Diagnosis,
    /// Stretches of trouble, in order of their start.
    pub episodes: Vec<Episode>,
    /// What `connect()` returned to the clients whose attempts overflowed its queue.
    pub clients: Clients,
    /// What to check or fix.
    pub advice: Vec<Advice>,
    /// Start of the first attempt that its cause explains.
    pub since: Option<Timestamp>,
    /// End of the last attempt that its cause explains.
    pub until: Option<Timestamp>,
    /// How large its accept queue should have been, where it overflowed at likely or confirmed.
    pub size: Option<size::Size>,
    /// What the kernel counted of it, where it runs on this machine and the capture is live.
    pub kernel: Option<KernelStats>,
}
