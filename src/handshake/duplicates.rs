//! Recognises the same segment captured twice (`-i any`, bridges, mirror ports, captures of both ends).

use crate::packet::{SPREAD, Segment, Span};

/// Longest time by which a capture may hold one direction too late (several queues or interfaces, two mirror ports).
pub(super) const REORDERING: Span = Span::from_millis(50);

/// Time after which a whole capture holds its packets again, captured at a second point (DOMAIN §4); `None` if it does
/// not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct DuplicateOffset(pub(super) Option<Span>);

impl DuplicateOffset {
    /// True if a segment this much later is the same one at the second point.
    pub(super) fn is(self, distance: Span) -> bool {
        self.0.is_some_and(|offset| distance.is_about(offset))
    }
}

/// The latest distinct segments of one attempt.
///
/// Four are enough: a handshake has few segments in flight, and SYNs and SYN-ACKs are compared by their timestamps
/// too (`pending`). Signatures are 32 bits wide: two of four segments share one by chance once in a billion.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recent {
    /// [`EMPTY`] where there is none yet.
    signatures: [u32; 4],
    times: [Tick; 4],
    /// The place of the next one.
    next: u8,
}

/// No segment's signature.
const EMPTY: u32 = 0;

/// Microseconds, wrapping after 71 minutes: only differences up to [`BY_STAMP`] are asked for.
type Tick = u32;

/// A duplicate comes within this time if a running timestamp clock or an IP ID distinguishes it from a retransmission
/// (DOMAIN §4): captures of both ends of a path may have clocks that differ.
const BY_STAMP: Tick = 130_000_000;

/// A duplicate comes within this time if the timestamp clock stands still.
const BY_STILL_CLOCK: Tick = 100_000;

/// A duplicate comes within this time if neither distinguishes it from a retransmission.
const BY_TIME: Tick = 5_000;

/// The same, of a SYN or SYN-ACK, whose time is kept.
pub(crate) const BY_TIME_ALONE: Span = Span::from_micros(BY_TIME as i64);

impl Recent {
    /// The first segment of an attempt.
    #[inline(always)]
    pub(super) fn first(segment: &Segment) -> Self {
        Self {
            signatures: [signature(segment), EMPTY, EMPTY, EMPTY],
            times: [tick(segment), 0, 0, 0],
            next: 1,
        }
    }

    /// Returns true if `segment` is a duplicate of a recent one; adds it if not. `still`: the timestamp clocks stand
    /// still.
    #[inline]
    pub(super) fn is_duplicate(&mut self, segment: &Segment, still: bool, copies: DuplicateOffset) -> bool {
        let signature = signature(segment);
        let now = tick(segment);
        // All four at once, without a branch: hardly any segment is a duplicate.
        let alike = self.signatures.iter().fold(false, |any, &seen| any | (seen == signature));
        if alike && self.is_within(segment, signature, now, still, copies) {
            return true;
        }
        let next = usize::from(self.next) % self.signatures.len();
        self.signatures[next] = signature;
        self.times[next] = now;
        self.next = self.next.wrapping_add(1);
        false
    }

    #[cold]
    fn is_within(
        &self,
        segment: &Segment,
        signature: u32,
        now: Tick,
        still: bool,
        copies: DuplicateOffset,
    ) -> bool {
        let window = match segment.options.timestamps() {
            Some((tsval, _)) if tsval != 0 && still => BY_STILL_CLOCK,
            Some((tsval, _)) if tsval != 0 => BY_STAMP,
            Some(_) | None if segment.own_ip_id().is_some() => BY_STAMP,
            Some(_) | None => BY_TIME,
        };
        self.signatures.iter().zip(&self.times).any(|(&seen, &at)| {
            // Either order: a capture may hold the two swapped in time.
            let distance = now.wrapping_sub(at).min(at.wrapping_sub(now));
            seen == signature && (distance <= window || copies.is(Span::from_micros(distance.into())))
        })
    }
}

#[inline(always)]
fn tick(segment: &Segment) -> Tick {
    (segment.at.as_nanos() / 1_000) as Tick
}

/// Folds everything that a duplicate shares: direction, flags, numbers, length, window, timestamps and IP ID. The TTL
/// and the interface may differ.
#[inline(always)]
fn signature(segment: &Segment) -> u32 {
    let mix = |hash: u64, value: u64| (hash.rotate_left(23) ^ value).wrapping_mul(SPREAD);
    let numbers = u64::from(segment.seq.0) << 32 | u64::from(segment.ack.0);
    let shape = u64::from(segment.ip_id) << 48
        ^ u64::from(segment.payload) << 32
        ^ (u64::from(segment.window) << 16
            | u64::from(segment.flags.0) << 8
            | u64::from(segment.options.timestamps().is_some()) << 1
            | segment.direction as u64);
    ((mix(mix(mix(1, numbers), segment.options.stamps()), shape) >> 32) as u32).max(EMPTY + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Checksum, Endpoint, Flags, FlowKey, FrameRef, Seq, Span, TcpOptions, Timestamp};

    const COPIES: DuplicateOffset = DuplicateOffset(None);

    fn segment(micros: i64, seq: u32, tsval: Option<u32>) -> Segment {
        let (flow, direction) = FlowKey::new(Endpoint::v4([10, 0, 0, 1], 1), Endpoint::v4([10, 0, 0, 2], 2));
        Segment {
            at: Timestamp::default().plus(Span::from_micros(micros)),
            frame: FrameRef::new(0, 1),
            flow,
            direction,
            flags: Flags::ACK,
            ttl: 64,
            seq: Seq(seq),
            ack: Seq(1),
            payload: 0,
            window: 1,
            ip_id: 0,
            options: tsval.map_or(TcpOptions::NONE, |tsval| TcpOptions::with_timestamps(tsval, 0)),
            checksum: Checksum::Unverified,
        }
    }

    #[test]
    fn the_window_depends_on_timestamps() {
        let mut recent = Recent::default();
        assert!(!recent.is_duplicate(&segment(0, 7, Some(1)), false, COPIES));
        assert!(recent.is_duplicate(&segment(129_000_000, 7, Some(1)), false, COPIES));
        assert!(
            !recent.is_duplicate(&segment(99_000, 7, Some(2)), false, COPIES),
            "a new TSval is a retransmission"
        );
        assert!(!recent.is_duplicate(&segment(131_000_000, 7, Some(1)), false, COPIES));
        assert!(!recent.is_duplicate(&segment(0, 8, Some(1)), true, COPIES));
        assert!(recent.is_duplicate(&segment(99_000, 8, Some(1)), true, COPIES));
        assert!(!recent.is_duplicate(&segment(101_000, 8, Some(1)), true, COPIES), "the clock stands still");
        assert!(!recent.is_duplicate(&segment(0, 9, None), false, COPIES));
        assert!(recent.is_duplicate(&segment(4_900, 9, None), false, COPIES));
        assert!(!recent.is_duplicate(&segment(5_100, 9, None), false, COPIES));
    }

    #[test]
    fn a_whole_capture_may_hold_its_packets_again() {
        let mut recent = Recent::default();
        let copies = DuplicateOffset(Some(Span::from_millis(30)));
        assert!(!recent.is_duplicate(&segment(0, 9, None), false, copies));
        assert!(recent.is_duplicate(&segment(32_000, 9, None), false, copies));
        assert!(!recent.is_duplicate(&segment(60_000, 9, None), false, copies));
    }

    #[test]
    fn four_segments_in_flight_are_remembered() {
        let mut recent = Recent::default();
        for round in 0..3_u32 {
            for seq in 0..4 {
                assert!(!recent.is_duplicate(&segment(0, round * 4 + seq, None), false, COPIES));
            }
            for seq in 0..4 {
                assert!(recent.is_duplicate(&segment(1, round * 4 + seq, None), false, COPIES));
            }
        }
        assert!(!recent.is_duplicate(&segment(2, 3, None), false, COPIES), "the fifth latest is forgotten");
    }
}
