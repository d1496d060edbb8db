//! Stretches of trouble.

use super::tally::Tally;
use crate::handshake::{Cause, Confidence};
use crate::packet::Timestamp;

/// A stretch of time in which a listener had one kind of trouble.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// Cause of the trouble; `None` where nothing explains it.
    pub cause: Option<Cause>,
    /// Confidence in the cause; `None` exactly where `cause` is.
    pub confidence: Option<Confidence>,
    /// Start of its first problem.
    pub from: Timestamp,
    /// End of its last problem so far.
    pub until: Timestamp,
    /// True if a further problem may still extend the episode.
    pub ongoing: bool,
    /// Attempts of the episode, by verdict.
    pub verdicts: Tally,
}
