//! Packets on their way to a tracker.
//!
//! Owns how packets are kept until it is known whether they are wanted at all. Does not own what makes them so
//! (`tracker`) nor how they are decoded (`packet`).

use crate::packet::{Flags, Frame, FrameRef, Glimpse, HEADERS, Packet, Shared, Timestamp};
use crate::prefetch::prefetch;

/// Packets in order, what every lookup needs of them apart from the rest: most belong to connections of
/// which nothing more is to be learnt, and then the rest is neither decoded nor touched.
#[derive(Debug)]
pub struct Batch {
    heads: Vec<Head>,
    /// As many as `heads`.
    bodies: Vec<Body>,
    /// What the headers lie in.
    shared: Vec<Backing>,
    /// Where those of the next frames do.
    holder: Holder,
    /// Headers of frames whose octets do not stay.
    copied: Vec<u8>,
    /// Packets that had to be decoded to be looked at.
    decoded: Vec<Packet>,
}

/// What every lookup needs of a packet, in one word: the hash of its flow, and in the lowest bits, which the tables
/// do not use, whether it can open an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head(u64);

impl Head {
    const MAY_OPEN: u64 = 1;
    const FLAGS: u64 = 3;

    /// `may_open`: whether it can open an attempt, or is of use though its flow has none.
    #[inline(always)]
    fn new(hash: u64, may_open: bool) -> Self {
        Self(hash & !Self::FLAGS | if may_open { Self::MAY_OPEN } else { 0 })
    }

    /// The hash of its flow.
    #[inline(always)]
    pub(super) const fn hash(self) -> u64 {
        self.0 & !Self::FLAGS
    }

    #[inline(always)]
    pub(super) const fn may_open(self) -> bool {
        self.0 & Self::MAY_OPEN != 0
    }
}

/// Where the rest of a packet is.
#[derive(Debug, Clone, Copy)]
struct Body {
    at: Timestamp,
    frame: FrameRef,
    /// Its position in the whole input, from 0.
    ordinal: u64,
    /// Where its headers begin in what holds them, or which of the decoded packets it is. In 32 bits: windows of a
    /// file are smaller.
    offset: u32,
    /// Which of the shared octets hold its headers; or [`COPIED`], or [`DECODED`].
    holder: u16,
    /// How many octets there are, or [`HEADERS`] if there are more.
    len: u8,
}

/// The headers were copied.
const COPIED: u16 = u16::MAX;
/// The packet was decoded.
const DECODED: u16 = COPIED - 1;

/// Where frames lie: which of the shared octets of a batch, and the address that those begin at.
#[derive(Debug, Clone, Copy)]
struct Holder {
    place: u16,
    base: usize,
}

impl Holder {
    /// Nowhere: what is wanted of them is copied.
    const COPY: Self = Self { place: COPIED, base: 0 };
}

/// Shared octets, and the address that they begin at.
#[derive(Debug)]
struct Backing {
    shared: Shared,
    base: usize,
}

/// What a packet is, when it is wanted.
pub(super) enum Content<'a> {
    /// A segment, yet to be decoded: its headers.
    Headers(Timestamp, FrameRef, &'a [u8]),
    /// Something decoded before.
    Decoded(&'a Packet),
}

impl Batch {
    /// An empty batch with room for as many packets.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            heads: Vec::with_capacity(capacity),
            bodies: Vec::with_capacity(capacity),
            shared: Vec::new(),
            holder: Holder::COPY,
            copied: Vec::new(),
            decoded: Vec::new(),
        }
    }

    /// Makes ready for frames that lie in `shared`, if that can be kept.
    #[inline]
    pub(crate) fn expect(&mut self, shared: Option<&Shared>) {
        self.holder = self.hold(shared).unwrap_or(Holder::COPY);
    }

    fn hold(&mut self, shared: Option<&Shared>) -> Option<Holder> {
        let shared = shared?;
        let place = match self.shared.last() {
            Some(last) if last.shared.is(shared) => self.shared.len() - 1,
            _ => {
                u32::try_from(shared.octets().len()).ok()?;
                let base = shared.octets().as_ptr() as usize;
                self.shared.push(Backing { shared: shared.clone(), base });
                self.shared.len() - 1
            }
        };
        let place = u16::try_from(place).ok().filter(|&place| place < DECODED)?;
        Some(Holder { place, base: self.shared.last()?.base })
    }

    /// Appends the segment in `frame`, of which `glimpse` was seen and whose flow has this hash.
    #[inline(always)]
    pub(crate) fn push(&mut self, hash: u64, glimpse: &Glimpse, frame: &Frame<'_>, ordinal: u64) {
        self.heads.push(Head::new(hash, may_open(glimpse.flags)));
        let holder = self.holder;
        let offset = if holder.place == COPIED {
            self.copy(frame)
        } else {
            (frame.data.as_ptr() as usize).wrapping_sub(holder.base) as u32
        };
        let len = frame.data.len().min(HEADERS) as u8;
        let (at, frame) = (frame.at, frame.frame);
        self.bodies.push(Body { at, frame, ordinal, offset, holder: holder.place, len });
    }

    /// Appends a decoded packet of the flow with this hash, at this position of the whole input, from 0.
    pub fn push_decoded(&mut self, hash: u64, packet: Packet, ordinal: u64) {
        let (at, frame, may_open) = match &packet {
            Packet::Segment(segment) => (segment.at, segment.frame, may_open(segment.flags)),
            Packet::Unreachable(error) => (error.at, error.frame, true),
        };
        let offset = self.decoded.len() as u32;
        self.decoded.push(packet);
        self.heads.push(Head::new(hash, may_open));
        self.bodies.push(Body { at, frame, ordinal, offset, holder: DECODED, len: 0 });
    }

    /// Copies the headers of a frame; says where to.
    #[inline(never)]
    fn copy(&mut self, frame: &Frame<'_>) -> u32 {
        let offset = self.copied.len() as u32;
        self.copied.extend_from_slice(frame.data.get(..HEADERS).unwrap_or(frame.data));
        offset
    }

    /// How many packets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Takes all packets out, and keeps their room.
    pub fn clear(&mut self) {
        self.heads.clear();
        self.bodies.clear();
        self.shared.clear();
        self.holder = Holder::COPY;
        self.copied.clear();
        self.decoded.clear();
    }

    pub(super) fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// Asks the cache for the headers of the packet at a place.
    #[inline(always)]
    pub(super) fn prefetch(&self, place: usize) {
        if let Some(body) = self.bodies.get(place)
            && let Some(backing) = self.shared.get(usize::from(body.holder))
        {
            let address = (backing.base + body.offset as usize) as *const u8;
            prefetch(address);
            prefetch(address.wrapping_add(64));
        }
    }

    /// What the packet at a place is, and its position in the whole input.
    #[inline(always)]
    pub(super) fn body(&self, place: usize) -> Option<(u64, Content<'_>)> {
        let body = self.bodies.get(place)?;
        let octets = match body.holder {
            COPIED => self.copied.as_slice(),
            DECODED => {
                let packet = self.decoded.get(body.offset as usize)?;
                return Some((body.ordinal, Content::Decoded(packet)));
            }
            holder => self.shared.get(usize::from(holder))?.shared.octets(),
        };
        let start = body.offset as usize;
        let headers = octets.get(start..start + usize::from(body.len))?;
        Some((body.ordinal, Content::Headers(body.at, body.frame, headers)))
    }
}

/// Whether a segment can open an attempt, or is of use though its flow has none: it may refuse one whose SYN follows.
#[inline(always)]
pub(super) fn may_open(flags: Flags) -> bool {
    flags.intersects(Flags::SYN.union(Flags::RST))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::packet::{FlowKey, LinkType, Seq};

    /// A SYN with this sequence number, in an Ethernet frame that goes on for a while.
    fn syn(seq: u32) -> Vec<u8> {
        let mut octets = vec![0; 12];
        octets.extend([8, 0, 0x45, 0, 0, 240, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        octets.extend([0, 1, 0, 2]);
        octets.extend(seq.to_be_bytes());
        octets.extend([0, 0, 0, 0, 0x50, 2, 0, 9, 0, 0, 0, 0]);
        octets.resize(300, 7);
        octets
    }

    fn push(batch: &mut Batch, data: &[u8], ordinal: u64) {
        let (at, frame) = (Timestamp::from_nanos(ordinal as i64), FrameRef::new(0, ordinal + 1));
        let frame = Frame { at, frame, link: LinkType::ETHERNET, wire_len: 300, data };
        let (flow, _) = FlowKey::v4(([10, 0, 0, 1], 1), ([10, 0, 0, 2], 2));
        batch.push(ordinal << 8 | 3, &Glimpse { flow, flags: Flags::SYN }, &frame, ordinal);
    }

    /// Position, sequence number and payload of each.
    fn segments(batch: &Batch) -> Vec<(u64, Seq, u32)> {
        let segment = |place| match batch.body(place).unwrap() {
            (ordinal, Content::Headers(at, frame, headers)) => {
                assert!(headers.len() <= HEADERS);
                let segment = crate::packet::usual(headers).unwrap().segment(at, frame);
                (ordinal, segment.seq, segment.payload)
            }
            (_, Content::Decoded(packet)) => panic!("{packet:?}"),
        };
        (0..batch.len()).map(segment).collect()
    }

    #[test]
    fn frames_are_decoded_later_wherever_they_lay() {
        let (one, two) = ([syn(1), syn(2)].concat(), syn(3));
        let [first, second] = [one.clone(), two.clone()].map(|octets| Shared::new(Arc::new(octets)));
        let mut batch = Batch::with_capacity(8);
        for _ in 0..2 {
            batch.expect(Some(&first));
            push(&mut batch, &first.octets()[..300], 0);
            push(&mut batch, &first.octets()[300..], 1);
            batch.expect(None);
            push(&mut batch, &syn(9), 2);
            batch.expect(Some(&second));
            push(&mut batch, second.octets(), 3);
            batch.expect(Some(&first));
            push(&mut batch, &first.octets()[300..], 4);
            let numbers = [1, 2, 9, 3, 2].map(Seq);
            assert_eq!(
                segments(&batch),
                (0..).zip(numbers).map(|(n, seq)| (n, seq, 200)).collect::<Vec<_>>()
            );
            batch.clear();
            assert!(batch.is_empty() && batch.shared.is_empty(), "a window is not held longer than needed");
        }
    }

    #[test]
    fn a_head_tells_the_hash_and_whether_the_packet_may_open_an_attempt() {
        let mut batch = Batch::with_capacity(1);
        push(&mut batch, &syn(1), 5);
        let [head] = batch.heads() else { panic!() };
        assert_eq!((head.hash(), head.may_open()), (5 << 8, true));
        assert!(!Head::new(u64::MAX, false).may_open());
    }
}
