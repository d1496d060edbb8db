//! Stretches of trouble, and percentiles.

use super::Tally;
use crate::handshake::{Cause, Confidence};
use crate::packet::{Span, Timestamp};

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

/// The distribution of a time over a listener's attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentiles {
    /// Half of the attempts took no longer.
    pub p50: Span,
    /// Nine in ten took no longer.
    pub p90: Span,
    /// 99 in 100 took no longer.
    pub p99: Span,
    /// The longest.
    pub max: Span,
}
