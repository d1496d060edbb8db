//! In place of `segment_events` where the feature `bpf` is off, or outside Linux: there are no events.

use std::convert::Infallible;

use super::segment_event::SegmentEvent;

/// Reason why segment events cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentEventsError {
    /// The program was built without the feature `bpf`, or not for Linux.
    #[error("built without the feature bpf")]
    NotBuilt,
}

/// Never exists.
#[derive(Debug)]
pub struct SegmentEvents(Infallible);

impl SegmentEvents {
    /// There are none.
    ///
    /// # Errors
    ///
    /// Always.
    pub const fn attach(_netns: Option<u32>, _retransmissions: bool) -> Result<Self, SegmentEventsError> {
        Err(SegmentEventsError::NotBuilt)
    }

    /// The events that have come.
    pub fn drain(&mut self) -> Vec<SegmentEvent> {
        match self.0 {}
    }

    /// Events that were lost.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        match self.0 {}
    }
}
