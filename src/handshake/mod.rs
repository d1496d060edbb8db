//! The handshake state machine: segments in, settled attempts out.
//!
//! Pure: no I/O, no clock (time comes with the segments), no allocation per packet. Does not own
//! causes that need more than one attempt (`listener`) nor how anything is shown (`report`).

#![deny(clippy::disallowed_methods)]

mod attempt;
mod batch;
mod cause;
mod decide;
mod duplicates;
mod early_refusals;
mod facts;
mod finding;
mod history;
mod late;
mod passage;
mod pending;
mod retransmissions;
mod round_trips;
mod sighting_log;
mod systems;
mod table;
mod timeouts;
mod tracker;
mod traits;
mod verdict;

pub use attempt::{Attempt, ClientClock, IcmpAnswer, PortsBefore, Retries, RetryTimes, Timing};
pub use batch::Batch;
pub use cause::{
    Cause, Confidence, Evidence, EvidenceCode, EvidenceList, Inference, RuledOut, RuledOutList, SegmentStep,
    SharedInference,
};
pub(crate) use duplicates::BY_TIME_ALONE;
pub use facts::{Fact, Facts};
pub use finding::{ExpectedEnds, Finding, Order};
pub use history::History;
pub use passage::{OwnFlow, Passage, PassedSegments, SegmentKind, SegmentLoss, Sighting};
pub(crate) use sighting_log::signature;
pub use systems::System;
pub use tracker::{EvictionOrder, Offsets, Tracker, TrackerCounts};
pub use traits::SynAckTraits;
pub use verdict::{Connect, ConnectOutcome, Errno, Reason, UnknownVerdict, Unproven, Vantage, Verdict};
