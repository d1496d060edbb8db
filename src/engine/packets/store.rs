//! Packets that are kept of an attempt, within bounds.

use std::collections::HashMap;

use strum::IntoEnumIterator;

use crate::handshake::{Attempt, SegmentKind};
use crate::packet::{self, FlowKey, Frame, FrameRef, LinkType, Packet, Span, Timestamp};

/// A packet that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPacket {
    /// Time of capture.
    pub at: Timestamp,
    /// Position of the packet in the input.
    pub frame: FrameRef,
    /// The header type at the start of `data`.
    pub link: LinkType,
    /// Length on the wire in bytes.
    pub wire_len: u32,
    /// The captured bytes, up to [`PacketLimits::snap`].
    pub data: Box<[u8]>,
}

impl KeptPacket {
    pub(super) fn new(frame: &Frame<'_>, snap: usize) -> Self {
        let data = frame.data.get(..snap).unwrap_or(frame.data);
        Self {
            at: frame.at,
            frame: frame.frame,
            link: frame.link,
            wire_len: frame.wire_len,
            data: data.into(),
        }
    }

    /// The same as a frame.
    #[must_use]
    pub fn as_frame(&self) -> Frame<'_> {
        Frame { at: self.at, frame: self.frame, link: self.link, wire_len: self.wire_len, data: &self.data }
    }

    /// The decoded packet; `None` where the kept bytes are too few for its headers.
    #[must_use]
    pub fn decode(&self) -> Option<Packet> {
        packet::decode(&self.as_frame()).ok()
    }

    /// Bytes of memory that it takes.
    pub(super) fn cost(&self) -> usize {
        size_of::<Self>() + self.data.len()
    }
}

/// The packets of one attempt, in the order of the input: the first of them, and the last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttemptPackets {
    /// The packets.
    pub packets: Vec<KeptPacket>,
    /// Packets that are left out, because there were too many.
    pub left_out: u64,
    /// Place in `packets` before which they are left out.
    pub gap_at: usize,
}

impl AttemptPackets {
    /// Appends a packet; returns by how many bytes the memory grew.
    pub(super) fn push(&mut self, packet: KeptPacket, limits: &PacketLimits) -> isize {
        let mut grown = packet.cost() as isize;
        self.packets.push(packet);
        if self.packets.len() > limits.per_attempt {
            // Half of the packets are the beginning, the others the latest.
            self.gap_at = limits.per_attempt / 2;
            self.left_out += 1;
            grown -= self.packets.remove(self.gap_at).cost() as isize;
        }
        grown
    }

    pub(super) fn cost(&self) -> usize {
        self.packets.iter().map(KeptPacket::cost).sum()
    }
}

/// Bounds of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketLimits {
    /// Bytes of memory for all packets.
    pub total: usize,
    /// Packets of one attempt.
    pub per_attempt: usize,
    /// Bytes of one packet.
    pub snap: usize,
}

impl PacketLimits {
    /// For message diagrams: headers within any usual tunnel, and a handshake that is retried for two minutes, each
    /// packet captured three times.
    pub const DIAGRAMS: Self = Self { total: 64 << 20, per_attempt: 128, snap: 256 };

    /// For files: whole packets, as long as a capture has them.
    pub const WHOLE: Self = Self { total: 256 << 20, per_attempt: 10_000, snap: 256 << 10 };

    /// For message diagrams of a live capture, which runs beside what it watches.
    pub const LIVE: Self = Self { total: 16 << 20, ..Self::DIAGRAMS };
}

/// The packets of several attempts, by [`Attempt::ordinal`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PacketStore(pub(super) HashMap<u64, AttemptPackets>);

impl PacketStore {
    /// The packets of `attempt`, if any were kept.
    #[must_use]
    pub fn of(&self, attempt: &Attempt) -> Option<&AttemptPackets> {
        self.0.get(&attempt.ordinal)
    }
}

/// Time after an attempt's last packet in which a duplicate of it may be captured.
const AFTERWARDS: Span = Span::from_millis(1);

/// The time until which an attempt's packets are captured: its last one may have further points to pass, for which it takes as
/// long as the others did.
pub(super) fn last_sighting(attempt: &Attempt) -> Timestamp {
    let passage = attempt.passage.as_deref();
    let between = |kind: SegmentKind| {
        let times = passage.iter().flat_map(|passage| &passage.sightings);
        let first = times.filter_map(|sighting| sighting.passed(kind).times).map(|(first, _)| first);
        let (earliest, latest) = (first.clone().min()?, first.max()?);
        Some(latest.since(earliest))
    };
    let longest = SegmentKind::iter().filter_map(between).max().unwrap_or(Span::ZERO);
    attempt.end.plus(longest).plus(AFTERWARDS)
}

/// The flows that the packets of an attempt belong to: its own, those at other points, and that of the address which answered
/// instead.
pub(super) fn flows(attempt: &Attempt) -> Vec<FlowKey> {
    let servers = std::iter::once(attempt.server).chain(attempt.answered_from);
    let own = servers.map(|server| (attempt.client, server));
    let seen = attempt.passage.iter().flat_map(|passage| &passage.sightings);
    let mut flows: Vec<FlowKey> = Vec::new();
    for (client, server) in own.chain(seen.map(|sighting| (sighting.client, sighting.server))) {
        let (flow, _) = FlowKey::new(client, server);
        if !flows.contains(&flow) {
            flows.push(flow);
        }
    }
    flows
}

/// The flow of a frame that the analysis uses.
pub(super) fn flow_of(frame: &Frame<'_>) -> Option<FlowKey> {
    if let Some(glimpse) = packet::glimpse_ipv4(frame).or_else(|| packet::glimpse_ipv6(frame)) {
        return Some(glimpse.flow);
    }
    match packet::general(frame).ok()? {
        Packet::Segment(segment) => Some(segment.flow),
        Packet::Unreachable(error) => Some(error.flow),
    }
}
