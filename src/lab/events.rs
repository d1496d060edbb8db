//! The kernel's own events of dropped segments while an experiment runs, where BPF may be used.
//!
//! Does not own the program (`kernel`).

use crate::kernel::{DropReason, SegmentEventKind, SegmentEvents, SegmentEventsError};

/// Events of one experiment's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DropEvents {
    /// The kernel reported each.
    Counted {
        /// Client ports of ACKs and data segments that met a full accept queue, one entry for each event.
        overflows: Vec<u16>,
        /// Client ports of ACKs with a SYN cookie that met a full accept queue, and of data behind them.
        cookies: Vec<u16>,
        /// Client ports of SYN-ACKs sent again.
        retransmissions: Vec<u16>,
        /// Events that were lost.
        lost: u64,
    },
    /// There are none, for this reason.
    Unavailable(String),
}

/// Collects the events of one namespace.
pub(super) struct EventCounter(Result<SegmentEvents, SegmentEventsError>);

impl EventCounter {
    /// Starts, if that is permitted.
    pub(super) fn start(netns: u64) -> Self {
        Self(SegmentEvents::attach(u32::try_from(netns).ok(), true))
    }

    /// The events so far.
    pub(super) fn finish(self) -> DropEvents {
        let mut events = match self.0 {
            Ok(events) => events,
            Err(error) => return DropEvents::Unavailable(error.to_string()),
        };
        let (mut overflows, mut cookies, mut retransmissions) = (Vec::new(), Vec::new(), Vec::new());
        for event in events.drain() {
            match event.kind {
                SegmentEventKind::Dropped(DropReason::ListenOverflow) => overflows.push(event.source.port()),
                SegmentEventKind::Dropped(_) if event.is_overflow() => cookies.push(event.source.port()),
                SegmentEventKind::Dropped(_) => {}
                SegmentEventKind::SynAckRetransmitted => retransmissions.push(event.destination.port()),
            }
        }
        DropEvents::Counted { overflows, cookies, retransmissions, lost: events.lost() }
    }
}

impl std::fmt::Debug for EventCounter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("EventCounter").field(&self.0.is_ok()).finish()
    }
}
