//! The SYN or SYN-ACK of one side, and its retransmissions.

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

/// The retransmissions of a SYN or SYN-ACK.
#[derive(Debug, Clone, Default)]
pub(in crate::handshake) struct Retransmissions {
    pub(in crate::handshake) count: u16,
    /// The last one came too soon for a timer, and nothing shows that it is new: a late duplicate.
    pub(super) too_soon: bool,
    last: Timestamp,
    /// Time between the last two.
    pub(in crate::handshake) gap: Span,
    /// Time of each since the first packet; at most [`Retries::TIMES_KEPT`]. As many as most attempts have are
    /// stored in place: memory elsewhere costs a cache miss.
    pub(in crate::handshake) times: SmallVec<[Span; 6]>,
    /// TSval of each, as many as `times`.
    tsvals: SmallVec<[u32; 6]>,
}

/// Not retransmitted.
pub(super) static NONE: Retransmissions = Retransmissions {
    count: 0,
    too_soon: false,
    last: Timestamp::from_nanos(0),
    gap: Span::ZERO,
    times: SmallVec::new_const(),
    tsvals: SmallVec::new_const(),
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

    /// The segment's TSval; 0 without timestamps.
    pub(super) const fn tsval(&self) -> u32 {
        self.tsval
    }

    /// The segment at another time.
    pub(super) fn at(self, first: Timestamp) -> Self {
        Self { first, ..self }
    }

    /// True if the segment carried timestamps from a clock that runs.
    pub(in crate::handshake) const fn has_clock(&self) -> bool {
        self.timestamps && self.tsval != 0
    }

    /// True if the segment's TSval is older than this one.
    pub(super) const fn is_before(&self, tsval: u32) -> bool {
        tsval.wrapping_sub(self.tsval).cast_signed() > 0
    }

    /// The time of the latest.
    pub(in crate::handshake) fn last(&self, retransmissions: &Retransmissions) -> Timestamp {
        if retransmissions.count == 0 { self.first } else { retransmissions.last }
    }

    /// The transmission (0 is the first) that `answer` echoes by TSecr (RFC 7323 §3.2), and its time; the first one if
    /// there was no other. `None` if it may be any of several.
    pub(super) fn echoed_by(
        &self,
        retransmissions: &Retransmissions,
        answer: &Segment,
    ) -> Option<(u8, Timestamp)> {
        if retransmissions.count == 0 {
            return Some((0, self.first));
        }
        let (_, tsecr) = answer.options.timestamps().filter(|_| self.timestamps)?;
        let place = self.transmission(retransmissions, tsecr)?;
        Some((place, self.time_of(retransmissions, place)))
    }

    /// Index of the transmission with this TSval; 0 is the first.
    pub(super) fn transmission(&self, retransmissions: &Retransmissions, tsval: u32) -> Option<u8> {
        if tsval == self.tsval {
            return Some(0);
        }
        retransmissions.tsvals.iter().position(|&other| other == tsval).map(|place| place as u8 + 1)
    }

    /// The time of a transmission that [`Self::transmission`] gave.
    pub(in crate::handshake) fn time_of(&self, retransmissions: &Retransmissions, place: u8) -> Timestamp {
        let since = place.checked_sub(1).and_then(|place| retransmissions.times.get(usize::from(place)));
        self.first.plus(since.copied().unwrap_or(Span::ZERO))
    }

    /// The time of the transmission that `duplicate` is a duplicate of: by TSval, if the sender's clock runs, else the
    /// latest.
    pub(super) fn time_of_original(
        &self,
        retransmissions: &Retransmissions,
        duplicate: &Segment,
    ) -> Timestamp {
        let tsval = duplicate.options.timestamps().map(|(tsval, _)| tsval).filter(|_| self.has_clock());
        match tsval.and_then(|tsval| self.transmission(retransmissions, tsval)) {
            Some(place) => self.time_of(retransmissions, place),
            None => self.last(retransmissions),
        }
    }

    /// True if one of the transmissions was sent at such a time.
    pub(super) fn has_sent_at(
        &self,
        retransmissions: &Retransmissions,
        is_time: impl Fn(Timestamp) -> bool,
    ) -> bool {
        is_time(self.first) || retransmissions.times.iter().any(|&since| is_time(self.first.plus(since)))
    }

    /// True if `segment` is a duplicate of one of the transmissions: by TSval, if the sender's clock runs.
    pub(super) fn has_sent(&self, retransmissions: &Retransmissions, segment: &Segment) -> bool {
        let tsval = segment.options.timestamps().map(|(tsval, _)| tsval).filter(|_| self.has_clock());
        tsval.is_some_and(|tsval| self.transmission(retransmissions, tsval).is_some())
    }
}

impl Retransmissions {
    /// Adds one more of `first`.
    pub(super) fn add(&mut self, first: &HandshakeSegment, segment: &Segment) {
        self.gap = segment.at.since(first.last(self));
        let (tsval, _) = segment.options.timestamps().unwrap_or_default();
        let before = self.tsvals.last().copied().unwrap_or(first.tsval);
        let renewed = first.timestamps && tsval != before;
        self.too_soon = self.gap < SHORTEST_TIMER && !renewed;
        self.last = segment.at;
        self.count = self.count.saturating_add(1);
        if self.times.len() < Retries::TIMES_KEPT {
            self.times.push(segment.at.since(first.first).max(Span::ZERO));
            self.tsvals.push(tsval);
        }
    }

    /// Moves all times.
    pub(super) fn shift(&mut self, by: Span) {
        self.last = self.last.plus(by);
    }
}
