//! Packets on their way to a tracker.

use crate::packet::{Flags, Packet};

/// Packets in order, what every lookup needs of them apart from the rest: most belong to connections of
/// which nothing more is to be learnt, and then the rest is never touched.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    heads: Vec<Head>,
    /// As many as `heads`.
    bodies: Vec<Body>,
}

/// What every lookup needs of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// The hash of its flow.
    pub(super) hash: u64,
    /// Whether it can open an attempt, or is of use though its flow has none: it may refuse one whose SYN follows.
    pub(super) may_open: bool,
}

/// The rest of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body {
    pub(super) packet: Packet,
    /// Its position in the whole input, from 0.
    pub(super) ordinal: u64,
}

impl Batch {
    /// An empty batch with room for as many packets.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { heads: Vec::with_capacity(capacity), bodies: Vec::with_capacity(capacity) }
    }

    /// Appends a packet of the flow with this hash, at this position of the whole input, from 0.
    #[inline(always)]
    pub fn push(&mut self, hash: u64, packet: Packet, ordinal: u64) {
        let may_open = match &packet {
            Packet::Segment(segment) => segment.flags.intersects(Flags::SYN.union(Flags::RST)),
            Packet::Unreachable(_) => true,
        };
        self.heads.push(Head { hash, may_open });
        self.bodies.push(Body { packet, ordinal });
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
    }

    pub(super) fn parts(&self) -> (&[Head], &[Body]) {
        (&self.heads, &self.bodies)
    }
}
