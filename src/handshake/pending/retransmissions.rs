//! One side's SYN or SYN-ACK, and its repeats.

use smallvec::SmallVec;

use crate::handshake::attempt::Retries;
use crate::packet::{Segment, Span, Timestamp};

/// The first SYN or SYN-ACK of one side.
#[derive(Debug, Clone, Copy)]
pub(in crate::handshake) struct HandshakeSegment {
    pub(in crate::handshake) first: Timestamp,
    tsval: u32,
    /// The option was there at all.
    timestamps: bool,
}

/// How a SYN or SYN-ACK was repeated.
#[derive(Debug, Clone, Default)]
pub(in crate::handshake) struct Retransmissions {
    pub(in crate::handshake) count: u16,
    /// The last one came too soon for a timer, and nothing shows that it is new: a late copy.
    pub(super) too_soon: bool,
    /// TSval of the last.
    tsval: u32,
    last: Timestamp,
    /// Time between the last two.
    pub(in crate::handshake) gap: Span,
    /// When each came, since the first packet; at most [`Retries::TIMES_KEPT`]. As many as most attempts have are
    /// kept in place: each touch of memory elsewhere is a wait.
    pub(in crate::handshake) times: SmallVec<[Span; 6]>,
}

/// What has not been repeated.
pub(super) static NONE: Retransmissions = Retransmissions {
    count: 0,
    too_soon: false,
    tsval: 0,
    last: Timestamp::from_nanos(0),
    gap: Span::ZERO,
    times: SmallVec::new_const(),
};

/// The shortest retransmission time-out anywhere by default: Linux' `TCP_RTO_MIN` (RFC 6298 §2.4 asks for 1 s).
pub(super) const SHORTEST_TIMER: Span = Span::from_millis(200);

impl HandshakeSegment {
    #[inline(always)]
    pub(super) fn new(segment: &Segment) -> Self {
        let timestamps = segment.options.timestamps();
        let (tsval, _) = timestamps.unwrap_or_default();
        Self { first: segment.at, tsval, timestamps: timestamps.is_some() }
    }

    /// The time of the latest.
    pub(in crate::handshake) fn last(&self, repeats: &Retransmissions) -> Timestamp {
        if repeats.count == 0 { self.first } else { repeats.last }
    }

    /// When the packet that `answer` echoes was sent: told by TSecr (RFC 7323 §3.2), or plain where
    /// there was only one. `None` when it may be any of several.
    #[inline]
    pub(super) fn answered_by(&self, repeats: &Retransmissions, answer: &Segment) -> Option<Timestamp> {
        if repeats.count == 0 {
            return Some(self.first);
        }
        let (_, tsecr) = answer.options.timestamps().filter(|_| self.timestamps)?;
        if tsecr == self.tsval { Some(self.first) } else { (tsecr == repeats.tsval).then_some(repeats.last) }
    }
}

impl Retransmissions {
    /// Takes one more repeat of `first`.
    pub(super) fn take(&mut self, first: &HandshakeSegment, segment: &Segment) {
        self.gap = segment.at.since(first.last(self));
        self.last = segment.at;
        let (tsval, _) = segment.options.timestamps().unwrap_or_default();
        let before = if self.count == 0 { first.tsval } else { self.tsval };
        let renewed = first.timestamps && tsval != before;
        self.too_soon = self.gap < SHORTEST_TIMER && !renewed;
        self.tsval = tsval;
        self.count = self.count.saturating_add(1);
        if self.times.len() < Retries::TIMES_KEPT {
            self.times.push(segment.at.since(first.first).max(Span::ZERO));
        }
    }
}
