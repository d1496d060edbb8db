//! Results of an analysis in numbers: packets, attempts by verdict, listeners, limits.

use super::limits::{Limit, capture_limits, limits, uncounted};
use super::packet_counts::PacketCounts;
use crate::capture::CaptureInfo;
use crate::listener::{Coverages, Listener, Listeners, Tally};
use crate::packet::Timestamp;

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
    /// Attempts that began outside the time that counts.
    pub outside: u64,
    /// Completeness of the captures, as the attempts show it.
    pub coverage: Coverages,
}

impl Summary {
    /// The summary of an input that has ended. From now on `listeners` infer by all that the captures cannot support, as is
    /// known only at the end.
    pub(super) fn of_end(
        captures: Vec<CaptureInfo>,
        packets: PacketCounts,
        listeners: &mut Listeners,
        now: Option<Timestamp>,
    ) -> Self {
        listeners.set_uncounted(uncounted(&captures));
        let known = limits(&captures, &packets, &listeners.coverage());
        listeners.set_limits(capture_limits(&captures, &known));
        Self::new(captures, packets, listeners, now)
    }

    /// The summary of an input that ends with its last packet; or at `now`, for a live capture in which nothing comes.
    pub(super) fn new(
        captures: Vec<CaptureInfo>,
        packets: PacketCounts,
        listeners: &Listeners,
        now: Option<Timestamp>,
    ) -> Self {
        let end = captures.iter().filter_map(|capture| capture.last).chain(now).max();
        Self {
            captures,
            packets,
            verdicts: listeners.verdicts(),
            listeners: listeners.listeners(end),
            outside: listeners.outside(),
            coverage: listeners.coverage(),
        }
    }

    /// Limits of the inputs, in the order of the captures.
    #[must_use]
    pub fn limits(&self) -> Vec<Limit> {
        limits(&self.captures, &self.packets, &self.coverage)
    }
}
