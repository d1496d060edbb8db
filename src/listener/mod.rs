//! Per-listener tallies, causes that need more than one attempt, and the diagnosis.
//!
//! Takes findings in the order they were made, and what the kernel says of its queues where somebody asks it
//! (`kernel`); does not own how they were made (`handshake`). Packet time only.

#![deny(clippy::disallowed_methods)]

mod answered_spans;
mod diagnosis;
mod evidence;
mod kernel_history;
mod listeners;
mod record;
mod schedule;

pub use listeners::Listeners;
pub use record::{RetrySums, Tally};

use crate::handshake::{Cause, Confidence};
use crate::kernel::KernelStats;
use crate::packet::{Endpoint, Timestamp};

/// What all attempts to one server address and port say together.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Its address; `None` for the line that folds listeners past the bound.
    pub server: Option<Endpoint>,
    /// Verdicts.
    pub verdicts: Tally,
    /// Retries, summed.
    pub retries: RetrySums,
    /// The cause that explains most of its problems.
    pub cause: Option<Cause>,
    /// As the attempts show it.
    pub abort_on_overflow: Option<bool>,
    /// How sure.
    pub confidence: Option<Confidence>,
    /// Why, in words, strongest first.
    pub evidence: Vec<String>,
    /// One plain sentence.
    pub diagnosis: String,
    /// What the clients believe, in words; empty where that is plain.
    pub clients: String,
    /// What to do about it: labelled advice such as `("check", "ss -ltnm …")`, `("mend", "…")`.
    pub advice: Vec<(&'static str, String)>,
    /// First and last time the cause showed.
    pub problem_span: Option<(Timestamp, Timestamp)>,
    /// What the kernel says of it, where it runs on this machine and the capture is live.
    pub kernel: Option<KernelStats>,
}
