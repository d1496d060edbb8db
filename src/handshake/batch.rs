//! Packets on their way to a tracker.
//!
//! Owns how packets are kept until it is known whether they are wanted at all. Does not own what makes them so
//! (`tracker`) nor how they are decoded (`packet`).

use super::passage::OwnFlow;
use crate::packet::{Flags, Frame, FrameRef, Glimpse, HEADERS, Packet, Shared, Span, Timestamp};
use crate::prefetch::prefetch;

/// Packets in order, each with its flow's hash and the place of its headers. Most packets belong to settled
/// connections; their headers are neither decoded nor touched.
#[derive(Debug)]
pub struct Batch {
    items: Vec<Item>,
    /// The position of the first packet in the whole input, from 0.
    first: u64,
    /// Buffers that hold the headers.
    shared: Vec<Backing>,
    /// Buffer of the headers of the next frames.
    holder: HeaderStore,
    /// Copied headers of frames whose bytes do not stay.
    copied: Vec<u8>,
    /// Packets that had to be decoded to be looked at.
    decoded: Vec<Packet>,
    /// Positions of those that are counted with another flow than their own, and the latter.
    joined: Vec<(u64, OwnFlow)>,
    /// Changes of the lag: the position in the whole input, and the lag from there on.
    lags: Vec<(u64, Span)>,
    /// Positions in the whole input of packets whose times are too far ahead to be used, in order.
    doubted: Vec<u64>,
}

/// A packet: half a line of the cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// The hash of its flow, and in the lowest bits, which the tables do not use, whether it can open an attempt.
    head: u64,
    at: Timestamp,
    frame: FrameRef,
    /// Where its headers begin in what holds them, or which of the decoded packets it is. In 32 bits: windows of a
    /// file are smaller.
    offset: u32,
    /// The low bits of its position in the whole input.
    place: u16,
    /// Index of the shared bytes that hold its headers; or [`COPIED`], or [`DECODED`].
    holder: u8,
}

impl Item {
    const MAY_OPEN: u64 = 1;
    const FLAGS: u64 = 3;

    /// `may_open`: whether it can open an attempt, or is of use though its flow has none.
    #[inline(always)]
    fn head(hash: u64, may_open: bool) -> u64 {
        hash & !Self::FLAGS | if may_open { Self::MAY_OPEN } else { 0 }
    }

    /// The hash of its flow.
    #[inline(always)]
    pub(super) const fn hash(&self) -> u64 {
        self.head & !Self::FLAGS
    }

    #[inline(always)]
    pub(super) const fn may_open(&self) -> bool {
        self.head & Self::MAY_OPEN != 0
    }
}

/// The headers were copied.
const COPIED: u8 = u8::MAX;
/// The packet was decoded.
const DECODED: u8 = COPIED - 1;

/// Place of frames: the index of the shared bytes of a batch, and the address at which these begin.
#[derive(Debug, Clone, Copy)]
struct HeaderStore {
    place: u8,
    base: usize,
}

impl HeaderStore {
    /// Nowhere: what is wanted of them is copied.
    const COPY: Self = Self { place: COPIED, base: 0 };
}

/// Shared bytes, and the address that they begin at.
#[derive(Debug)]
struct Backing {
    shared: Shared,
    base: usize,
}

/// Kind of a packet, where it is wanted.
pub(super) enum Content<'a> {
    /// A segment, yet to be decoded: its headers.
    Headers(Timestamp, FrameRef, &'a [u8]),
    /// Something decoded before.
    Decoded(&'a Packet),
}

impl Batch {
    /// Positions of the whole input that the packets of one batch can be from.
    pub const SPAN: u64 = 1 << u16::BITS;

    /// An empty batch with room for as many packets.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            items: Vec::with_capacity(capacity),
            first: 0,
            shared: Vec::new(),
            holder: HeaderStore::COPY,
            copied: Vec::new(),
            decoded: Vec::new(),
            joined: Vec::new(),
            lags: Vec::new(),
            doubted: Vec::new(),
        }
    }

    /// Records that packet time is behind the packet clock by this much, from this position of the whole input on.
    /// Deadlines are times of the packet clock.
    #[cold]
    pub fn lag(&mut self, ordinal: u64, lag: Span) {
        self.lags.push((ordinal, lag));
    }

    /// Marks the packet at this position of the whole input: its time is too far ahead to be used.
    #[cold]
    pub fn doubt(&mut self, ordinal: u64) {
        self.doubted.push(ordinal);
    }

    /// True if the packet at this position was marked with [`Self::doubt`]: its time is too far ahead.
    #[inline(always)]
    pub(super) fn is_doubted(&self, ordinal: u64) -> bool {
        !self.doubted.is_empty() && self.doubted.binary_search(&ordinal).is_ok()
    }

    /// Time by which packet time is behind at this position, if it is another than before the batch.
    #[inline(always)]
    pub(super) fn lag_at(&self, ordinal: u64) -> Option<Span> {
        if self.lags.is_empty() {
            return None;
        }
        let until = self.lags.partition_point(|&(from, _)| from <= ordinal);
        self.lags.get(until.checked_sub(1)?).map(|&(_, lag)| lag)
    }

    /// Makes ready for frames that lie in `shared`, if that can be kept, from this position of the whole input on. A
    /// batch holds packets from at most [`Self::SPAN`] positions.
    #[inline]
    pub(crate) fn expect(&mut self, shared: Option<&Shared>, ordinal: u64) {
        if self.items.is_empty() {
            self.first = ordinal;
        }
        self.holder = self.hold(shared).unwrap_or(HeaderStore::COPY);
    }

    /// True if the batch is ready for frames that lie in `shared`.
    #[inline]
    pub(crate) fn is_ready_for(&self, shared: &Shared) -> bool {
        let latest = self.shared.get(usize::from(self.holder.place));
        latest.is_some_and(|latest| latest.shared.is(shared))
    }

    fn hold(&mut self, shared: Option<&Shared>) -> Option<HeaderStore> {
        let shared = shared?;
        let held = self.shared.last().filter(|last| last.shared.is(shared));
        let place = self.shared.len() - usize::from(held.is_some());
        let place = u8::try_from(place).ok().filter(|&place| place < DECODED)?;
        let base = shared.bytes().as_ptr() as usize;
        if held.is_none() {
            u32::try_from(shared.bytes().len()).ok()?;
            self.shared.push(Backing { shared: shared.clone(), base });
        }
        Some(HeaderStore { place, base })
    }

    /// Appends the segment in `frame`, of which `glimpse` was seen and whose flow has this hash.
    #[inline(always)]
    pub(crate) fn push(&mut self, hash: u64, glimpse: &Glimpse, frame: &Frame<'_>, ordinal: u64) {
        debug_assert!(ordinal - self.first < Self::SPAN);
        let head = Item::head(hash, may_open(glimpse.flags));
        let holder = self.holder;
        let offset = if holder.place == COPIED {
            self.copy(frame)
        } else {
            (frame.data.as_ptr() as usize).wrapping_sub(holder.base) as u32
        };
        let (at, frame) = (frame.at, frame.frame);
        self.items.push(Item { head, at, frame, offset, place: ordinal as u16, holder: holder.place });
    }

    /// Appends a decoded packet of the flow with this hash, at this position of the whole input, from 0; at most
    /// [`Self::SPAN`] positions after the first of the batch.
    pub fn push_decoded(&mut self, hash: u64, packet: Packet, ordinal: u64) {
        if self.items.is_empty() {
            self.first = ordinal;
        }
        let (at, frame, may_open) = match &packet {
            Packet::Segment(segment) => (segment.at, segment.frame, may_open(segment.flags)),
            Packet::Unreachable(error) => (error.at, error.frame, true),
        };
        let offset = self.decoded.len() as u32;
        self.decoded.push(packet);
        debug_assert!(ordinal - self.first < Self::SPAN);
        let head = Item::head(hash, may_open);
        self.items.push(Item { head, at, frame, offset, place: ordinal as u16, holder: DECODED });
    }

    /// Appends a packet that is counted with another flow than its own: that with this hash, which it is in.
    pub fn push_joined(&mut self, hash: u64, packet: Packet, own: OwnFlow, ordinal: u64) {
        self.joined.push((ordinal, own));
        self.push_decoded(hash, packet, ordinal);
    }

    /// The flow of the packet at this position by its own addresses, if it is counted with another.
    #[inline(always)]
    pub(super) fn own_flow(&self, ordinal: u64) -> Option<OwnFlow> {
        if self.joined.is_empty() {
            return None;
        }
        let place = self.joined.binary_search_by_key(&ordinal, |&(ordinal, _)| ordinal).ok()?;
        self.joined.get(place).map(|&(_, own)| own)
    }

    /// Copies the headers of a frame; returns where to.
    #[inline(never)]
    fn copy(&mut self, frame: &Frame<'_>) -> u32 {
        let offset = self.copied.len() as u32;
        self.copied.extend_from_slice(frame.data.get(..HEADERS).unwrap_or(frame.data));
        offset
    }

    /// Number of packets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True if there is no packet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Takes all packets out, and keeps their room.
    pub fn clear(&mut self) {
        self.items.clear();
        self.shared.clear();
        self.holder = HeaderStore::COPY;
        self.copied.clear();
        self.decoded.clear();
        self.joined.clear();
        self.lags.clear();
        self.doubted.clear();
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// Asks the cache for the headers of a packet.
    #[inline(always)]
    pub(super) fn prefetch(&self, item: &Item) {
        if let Some(backing) = self.shared.get(usize::from(item.holder)) {
            let address = (backing.base + item.offset as usize) as *const u8;
            prefetch(address);
            prefetch(address.wrapping_add(64));
        }
    }

    /// The headers or the decoded packet of an item, and its position in the whole input.
    #[inline(always)]
    pub(super) fn body(&self, item: &Item) -> Option<(u64, Content<'_>)> {
        let ordinal = self.first + u64::from(item.place.wrapping_sub(self.first as u16));
        let bytes = match item.holder {
            COPIED => self.copied.as_slice(),
            DECODED => {
                let packet = self.decoded.get(item.offset as usize)?;
                return Some((ordinal, Content::Decoded(packet)));
            }
            holder => self.shared.get(usize::from(holder))?.shared.bytes(),
        };
        let start = item.offset as usize;
        // Bytes after them may be the next packet's; those that were read lie within this one.
        let headers = bytes.get(start..(start + HEADERS).min(bytes.len()))?;
        Some((ordinal, Content::Headers(item.at, item.frame, headers)))
    }
}

/// True if a segment can open an attempt, or is of use without one: it may refuse a SYN that follows.
#[inline(always)]
pub(super) fn may_open(flags: Flags) -> bool {
    flags.intersects(Flags::SYN.union(Flags::RST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{FlowKey, LinkType, Seq};

    /// A SYN with this sequence number, in an Ethernet frame that goes on for a while.
    fn syn(seq: u32) -> Vec<u8> {
        let mut bytes = vec![0; 12];
        bytes.extend([8, 0, 0x45, 0, 0, 240, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        bytes.extend([0, 1, 0, 2]);
        bytes.extend(seq.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 0x50, 2, 0, 9, 0, 0, 0, 0]);
        bytes.resize(300, 7);
        bytes
    }

    fn push(batch: &mut Batch, data: &[u8], ordinal: u64) {
        let (at, frame) = (Timestamp::from_nanos(ordinal as i64), FrameRef::new(0, ordinal + 1));
        let frame = Frame { at, frame, link: LinkType::ETHERNET, wire_len: 300, data };
        let (flow, _) = FlowKey::v4(([10, 0, 0, 1], 1), ([10, 0, 0, 2], 2));
        batch.push(ordinal << 8 | 3, &Glimpse { flow, flags: Flags::SYN }, &frame, ordinal);
    }

    /// Position, sequence number and payload of each.
    fn segments(batch: &Batch) -> Vec<(u64, Seq, u32)> {
        let segment = |item| match batch.body(item).unwrap() {
            (ordinal, Content::Headers(at, frame, headers)) => {
                assert!(headers.len() <= HEADERS);
                let segment = crate::packet::usual_ipv4(headers).unwrap().segment(at, frame, true);
                (ordinal, segment.seq, segment.payload)
            }
            (_, Content::Decoded(packet)) => panic!("{packet:?}"),
        };
        batch.items().iter().map(segment).collect()
    }

    #[test]
    fn frames_are_decoded_later_wherever_they_lay() {
        let (one, two) = ([syn(1), syn(2)].concat(), syn(3));
        let [first, second] = [one.clone(), two.clone()].map(Shared::new);
        let mut batch = Batch::with_capacity(8);
        for start in [0, 7_000_000_000] {
            batch.expect(Some(&first), start);
            push(&mut batch, &first.bytes()[..300], start);
            push(&mut batch, &first.bytes()[300..], start + 1);
            batch.expect(None, start + 2);
            push(&mut batch, &syn(9), start + 2);
            batch.expect(Some(&second), start + 3);
            push(&mut batch, second.bytes(), start + 3);
            batch.expect(Some(&first), start + 4);
            push(&mut batch, &first.bytes()[300..], start + 4);
            let numbers = [1, 2, 9, 3, 2].map(Seq);
            assert_eq!(
                segments(&batch),
                (start..).zip(numbers).map(|(n, seq)| (n, seq, 200)).collect::<Vec<_>>()
            );
            batch.clear();
            assert!(batch.is_empty() && batch.shared.is_empty(), "a window is not held longer than needed");
        }
    }

    #[test]
    fn a_head_has_the_hash_and_whether_the_packet_may_open_an_attempt() {
        let mut batch = Batch::with_capacity(1);
        push(&mut batch, &syn(1), 5);
        let [item] = batch.items() else { panic!() };
        assert_eq!((item.hash(), item.may_open()), (5 << 8, true));
        assert!(!Item { head: Item::head(u64::MAX, false), ..*item }.may_open());
    }
}
