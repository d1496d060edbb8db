//! The SYN or SYN-ACK of one side, and its retransmissions.

use std::ops::{Deref, DerefMut};

use smallvec::SmallVec;

use super::attempt::Retries;
use crate::packet::{Segment, Span, Timestamp, ticks_between};

/// The first SYN or SYN-ACK of one side.
#[derive(Debug, Clone, Copy)]
pub(super) struct HandshakeSegment {
    pub(super) first: Timestamp,
    tsval: u32,
    /// The option was there at all.
    timestamps: bool,
}

/// The retransmissions of a SYN or SYN-ACK.
#[derive(Debug, Clone, Default)]
pub(super) struct Retransmissions {
    pub(super) count: u16,
    /// The last one came too soon for a timer ([`Self::is_too_soon`]).
    pub(super) too_soon: bool,
    last: Timestamp,
    /// Time between the last two.
    pub(super) gap: Span,
    /// Time of each since the first packet; at most [`Retries::TIMES_KEPT`]. As many as most attempts have are
    /// stored in place: memory elsewhere costs a cache miss.
    pub(super) times: SmallVec<[Span; 6]>,
    /// TSval of each, as many as `times`.
    tsvals: SmallVec<[u32; 6]>,
    /// TSvals of those that are none, since they came too soon for a timer; at most [`Retries::TIMES_KEPT`].
    early_tsvals: SmallVec<[u32; 2]>,
}

/// Not retransmitted.
pub(super) static NONE: Retransmissions = Retransmissions {
    count: 0,
    too_soon: false,
    last: Timestamp::from_nanos(0),
    gap: Span::ZERO,
    times: SmallVec::new_const(),
    tsvals: SmallVec::new_const(),
    early_tsvals: SmallVec::new_const(),
};

/// Retransmissions that few attempts have, of the SYN and of the SYN-ACK each: elsewhere, if there are any.
#[derive(Debug, Clone, Default)]
pub(super) struct RareRetransmissions(Option<Box<Retransmissions>>);

impl Deref for RareRetransmissions {
    type Target = Retransmissions;

    fn deref(&self) -> &Retransmissions {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl RareRetransmissions {
    /// See [`Retransmissions::shift`].
    pub(super) fn shift(&mut self, by: Span) {
        self.0.iter_mut().for_each(|retransmissions| retransmissions.shift(by));
    }
}

impl DerefMut for RareRetransmissions {
    fn deref_mut(&mut self) -> &mut Retransmissions {
        self.0.get_or_insert_default()
    }
}

/// The shortest retransmission time-out anywhere by default: Linux' `TCP_RTO_MIN` (RFC 6298 §2.4 asks for 1 s).
pub(super) const SHORTEST_TIMER: Span = Span::from_millis(200);

/// The shortest that is set on purpose: some data centres use 100 ms (`BPF_SOCK_OPS_TIMEOUT_INIT`), less some jitter.
pub(super) const SHORTEST_SET_TIMER: Span = Span::from_millis(80);

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
    pub(super) const fn has_clock(&self) -> bool {
        self.timestamps && self.tsval != 0
    }

    /// True if `later` was sent by the same host, as its timestamps show: they run at one of Linux's rates since this one.
    /// The offset of the clock is particular to a pair of hosts (`secure_tcp_ts_off`).
    pub(super) fn has_clock_of(&self, later: &Segment) -> bool {
        /// Ticks a second: 1,000 since Linux 4.13, `HZ` before.
        const RATES: [i64; 3] = [1_000, 250, 100];
        /// Ticks that a SYN cookie may change: it stores options in the lowest 6 bits (`cookie_init_timestamp`).
        const SLACK: i64 = 70;
        let Some((tsval, _)) = later.options.timestamps().filter(|_| self.has_clock()) else { return false };
        let ticks = i64::from(ticks_between(self.tsval, tsval));
        let micros = later.at.since(self.first).as_nanos() / 1_000;
        // A thousandth for clocks that differ.
        RATES.iter().any(|rate| (ticks - micros * rate / 1_000_000).abs() <= SLACK + ticks.abs() / 1_000)
    }

    /// Time by which the sender's clock, if that counts milliseconds as Linux' does, surely went on more than the capture's until
    /// `later`: negative where it counts slower.
    pub(super) fn clock_ahead(&self, later: &Segment) -> Option<Span> {
        /// Ticks are whole, and a packet is stamped a little before it is sent.
        const SLACK: Span = Span::from_millis(10);
        let (tsval, _) = later.options.timestamps().filter(|_| self.has_clock())?;
        let ticks = ticks_between(self.tsval, tsval);
        Some(Span::from_millis(i64::from(ticks)).minus(later.at.since(self.first)).minus(SLACK))
    }

    /// True if `answer` echoes an earlier TSval than this one's: that of a segment sent before it.
    pub(super) fn is_after_echo(&self, answer: &Segment) -> bool {
        let echoed = answer.options.timestamps().map(|(_, tsecr)| tsecr).filter(|&tsecr| tsecr != 0);
        self.has_clock() && echoed.is_some_and(|tsecr| ticks_between(tsecr, self.tsval) > 0)
    }

    /// The TSval that `answer` echoes, if that is none of the transmissions' but a later one's.
    pub(super) fn later_echo(&self, retransmissions: &Retransmissions, answer: &Segment) -> Option<u32> {
        let (_, tsecr) = answer.options.timestamps().filter(|_| self.has_clock())?;
        let later = self.is_before(tsecr) && self.transmission(retransmissions, tsecr).is_none();
        later.then_some(tsecr)
    }

    /// True if the segment's TSval is older than this one.
    pub(super) const fn is_before(&self, tsval: u32) -> bool {
        ticks_between(self.tsval, tsval) > 0
    }

    /// The time of the latest.
    pub(super) fn last(&self, retransmissions: &Retransmissions) -> Timestamp {
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

    /// Time from the latest transmission before `answer` to that. One that names an earlier transmission may be drawn by this: a
    /// Linux SYN-ACK names the SYN that made the request (DOMAIN §4).
    pub(super) fn latest_before(&self, retransmissions: &Retransmissions, answer: Timestamp) -> Span {
        let since = answer.since(self.first);
        retransmissions.sent_within(since).next_back().map_or(since, |latest| since.minus(latest))
    }

    /// Index of the transmission with this TSval; 0 is the first.
    pub(super) fn transmission(&self, retransmissions: &Retransmissions, tsval: u32) -> Option<u8> {
        if tsval == self.tsval {
            return Some(0);
        }
        retransmissions.tsvals.iter().position(|&other| other == tsval).map(|place| place as u8 + 1)
    }

    /// True if a transmission that [`Self::transmission`] gave was sent before the one that the capture holds as the first.
    pub(super) fn is_after(&self, retransmissions: &Retransmissions, place: u8) -> bool {
        let tsval = place.checked_sub(1).and_then(|place| retransmissions.tsvals.get(usize::from(place)));
        self.has_clock() && tsval.is_some_and(|&tsval| ticks_between(tsval, self.tsval) > 0)
    }

    /// The time of a transmission that [`Self::transmission`] gave.
    pub(super) fn time_of(&self, retransmissions: &Retransmissions, place: u8) -> Timestamp {
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

    /// True if this SYN-ACK, whose retransmissions are these, came again too soon for the server's timer: the path doubled a
    /// packet, where the client did not repeat its SYN.
    pub(super) fn is_doubled(&self, retransmissions: &Retransmissions, segment: &Segment) -> bool {
        let stamped = segment.options.timestamps().is_some() && self.has_clock();
        stamped && retransmissions.is_too_soon(self, segment)
    }

    /// True if `segment` is a duplicate of one of the transmissions: by TSval, if the sender's clock runs.
    pub(super) fn has_sent(&self, retransmissions: &Retransmissions, segment: &Segment) -> bool {
        let tsval = segment.options.timestamps().map(|(tsval, _)| tsval).filter(|_| self.has_clock());
        tsval.is_some_and(|tsval| {
            self.transmission(retransmissions, tsval).is_some()
                || retransmissions.early_tsvals.contains(&tsval)
        })
    }
}

impl Retransmissions {
    /// Times since the first transmission of those within this time of it.
    pub(super) fn sent_within(&self, time: Span) -> impl DoubleEndedIterator<Item = Span> + Clone {
        self.times.iter().copied().filter(move |&since| since <= time)
    }

    /// Adds one more of `first`.
    pub(super) fn add(&mut self, first: &HandshakeSegment, segment: &Segment) {
        self.too_soon = self.is_too_soon(first, segment);
        self.gap = segment.at.since(first.last(self));
        let (tsval, _) = segment.options.timestamps().unwrap_or_default();
        self.last = segment.at;
        self.count = self.count.saturating_add(1);
        if self.times.len() < Retries::TIMES_KEPT {
            self.times.push(segment.at.since(first.first).max(Span::ZERO));
            self.tsvals.push(tsval);
        }
    }

    /// Remembers one that came too soon for a timer, so that its duplicates are recognised.
    pub(super) fn add_early(&mut self, segment: &Segment) {
        let (tsval, _) = segment.options.timestamps().unwrap_or_default();
        if self.early_tsvals.len() < Retries::TIMES_KEPT {
            self.early_tsvals.push(tsval);
        }
    }

    /// True if `segment` comes too soon after the latest for a timer: a duplicate, or an answer to a SYN that the path
    /// had doubled. Where the capture's clock is of no use, the sender's own may show that a timer had run out.
    pub(super) fn is_too_soon(&self, first: &HandshakeSegment, segment: &Segment) -> bool {
        let (tsval, _) = segment.options.timestamps().unwrap_or_default();
        let before = self.tsvals.last().copied().unwrap_or(first.tsval);
        let gap = segment.at.since(first.last(self));
        if !first.timestamps || tsval == before {
            return gap < SHORTEST_TIMER;
        }
        // Reordered, the earlier one comes last.
        let ticks = ticks_between(before, tsval).unsigned_abs();
        gap < SHORTEST_SET_TIMER && Span::from_millis(ticks.into()) < SHORTEST_SET_TIMER
    }

    /// Moves all times.
    pub(super) fn shift(&mut self, by: Span) {
        self.last = self.last.plus(by);
    }
}
