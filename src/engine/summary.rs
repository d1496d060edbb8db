//! Results of an analysis in numbers: packets, attempts by verdict, listeners, limits.

use strum::EnumCount;

use super::limits::{Limit, capture_limits, limits};
use super::survey::Survey;
use super::undecoded::Undecoded;
use crate::capture::CaptureInfo;
use crate::handshake::Counts;
use crate::listener::{CaptureLimits, Coverage, Listener, Listeners, Tally};
use crate::packet::Skip;

/// Everything an analysis counted; the attempts themselves went to the [`Sink`](super::Sink).
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The inputs.
    pub captures: Vec<CaptureInfo>,
    /// Packets by use.
    pub packets: PacketCounts,
    /// Attempts by verdict.
    pub verdicts: Tally,
    /// Listeners, the worst first.
    pub listeners: Vec<Listener>,
    /// Completeness of the captures, as the attempts show it.
    pub coverage: Coverage,
}

impl Summary {
    pub(super) fn new(captures: Vec<CaptureInfo>, packets: PacketCounts, listeners: &Listeners) -> Self {
        Self {
            captures,
            packets,
            verdicts: listeners.verdicts(),
            listeners: listeners.listeners(),
            coverage: listeners.coverage(),
        }
    }

    /// Limits of the inputs, in the order of the captures.
    #[must_use]
    pub fn limits(&self) -> Vec<Limit> {
        limits(&self.captures, &self.packets, &self.coverage)
    }

    /// The same limits in the form that inference uses.
    #[must_use]
    pub fn capture_limits(&self) -> CaptureLimits {
        capture_limits(&self.limits())
    }
}

/// Packets by use. `total` = `tcp` + all of `skipped` + ICMP errors used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PacketCounts {
    /// Packets that passed the filter, if one was given.
    pub total: u64,
    /// TCP segments.
    pub tcp: u64,
    /// Duplicates of segments of undecided attempts, recognised as such.
    pub copies: u64,
    /// TCP segments of connections whose handshake is not in the capture.
    pub midstream: u64,
    /// Unused packets by reason, indexed by [`Skip`].
    pub skipped: [u64; Skip::COUNT],
    /// The most frequent protocols of packets without TCP, in descending order; at most ten.
    pub undecoded: Vec<Undecoded>,
    /// Properties of the captures themselves, as all packets together show them.
    pub survey: Survey,
}

impl PacketCounts {
    /// ICMP errors that answered the SYN of an attempt.
    #[must_use]
    pub fn icmp_errors(&self) -> u64 {
        self.total.saturating_sub(self.tcp + self.skipped.iter().sum::<u64>())
    }

    /// Completes the counts of the intake by those of the trackers.
    #[must_use]
    pub(super) fn with(mut self, tracked: Counts) -> Self {
        self.copies = tracked.duplicates;
        self.midstream = tracked.midstream;
        self.survey.offsets = tracked.offsets;
        self.skipped[Skip::NotTcp as usize] += tracked.unmatched_errors;
        self.tcp -= tracked.lost;
        self.skipped[Skip::Truncated as usize] += tracked.lost;
        self
    }
}
