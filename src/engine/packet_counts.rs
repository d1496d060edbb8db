//! Packets of an analysis by their use.

use strum::EnumCount;

use super::survey::Survey;
use super::undecoded::Undecoded;
use crate::handshake::TrackerCounts;
use crate::packet::Skip;

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
    pub(super) fn with(mut self, tracked: TrackerCounts) -> Self {
        self.copies = tracked.duplicates;
        self.midstream = tracked.midstream;
        self.survey.offsets = tracked.offsets;
        self.skipped[Skip::NotTcp as usize] += tracked.unmatched_errors;
        self.tcp -= tracked.lost;
        self.skipped[Skip::Truncated as usize] += tracked.lost;
        self
    }
}
