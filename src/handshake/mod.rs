//! The handshake state machine: segments in, decided attempts out.
//!
//! Pure: no I/O, no clock (time comes with the segments), no allocation per packet. Does not own
//! causes that need more than one attempt (`listener`) nor how anything is shown (`report`).

#![deny(clippy::disallowed_methods)]

mod attempt;
mod batch;
mod cause;
mod copies;
mod decide;
mod early_refusals;
mod facts;
mod finding;
mod history;
mod infer;
mod pending;
mod table;
mod timeouts;
mod tracker;
mod verdict;

pub use attempt::{Attempt, IcmpAnswer, Retries, RetryTimes, Timing};
pub use batch::Batch;
pub use cause::{Cause, Confidence, Evidence, EvidenceCode, EvidenceList, Inference, RuledOut};
pub use facts::Facts;
pub use finding::{Finding, Order};
pub use history::History;
pub use infer::{Context, KernelEvidence, infer};
pub use tracker::{Counts, Tracker};
pub use verdict::{Connect, Errno, Outcome, Reason, UnknownVerdict, Unproven, Vantage, Verdict};
