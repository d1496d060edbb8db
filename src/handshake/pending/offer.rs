//! One side's SYN or SYN-ACK and its repeats.

use crate::packet::{Segment, Span, Timestamp};

/// The times and numbers of one side's SYN or SYN-ACK.
#[derive(Debug, Clone, Copy)]
pub(in crate::handshake) struct Offer {
    pub(in crate::handshake) first: Timestamp,
    pub(in crate::handshake) last: Timestamp,
    /// Time between the last two.
    pub(in crate::handshake) gap: Span,
    first_tsval: u32,
    last_tsval: u32,
    pub(in crate::handshake) repeats: u16,
    /// The option was there at all.
    timestamps: bool,
    /// The last one came too soon for a timer, and nothing shows that it is new: a late copy.
    pub(in crate::handshake) hasty: bool,
}

/// The shortest retransmission time-out anywhere by default: Linux' `TCP_RTO_MIN` (RFC 6298 §2.4 asks for 1 s).
pub(super) const SHORTEST_TIMER: Span = Span::from_millis(200);

impl Offer {
    pub(super) fn new(segment: &Segment) -> Self {
        let timestamps = segment.options.timestamps;
        let (tsval, _) = timestamps.unwrap_or_default();
        Self {
            first: segment.at,
            last: segment.at,
            gap: Span::ZERO,
            first_tsval: tsval,
            last_tsval: tsval,
            repeats: 0,
            timestamps: timestamps.is_some(),
            hasty: false,
        }
    }

    pub(super) fn repeat(&mut self, segment: &Segment) {
        self.gap = segment.at.since(self.last);
        self.last = segment.at;
        let (tsval, _) = segment.options.timestamps.unwrap_or_default();
        let renewed = self.timestamps && tsval != self.last_tsval;
        self.hasty = self.gap < SHORTEST_TIMER && !renewed;
        self.last_tsval = tsval;
        self.repeats = self.repeats.saturating_add(1);
    }

    /// When the packet that `answer` echoes was sent: told by TSecr (RFC 7323 §3.2), or plain where
    /// there was only one. `None` when it may be any of several.
    pub(super) fn answered_by(&self, answer: &Segment) -> Option<Timestamp> {
        if self.repeats == 0 {
            return Some(self.first);
        }
        let (_, tsecr) = answer.options.timestamps.filter(|_| self.timestamps)?;
        if tsecr == self.first_tsval {
            Some(self.first)
        } else {
            (tsecr == self.last_tsval).then_some(self.last)
        }
    }
}
