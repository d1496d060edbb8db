//! From frames to numbered, hashed packets, with a count of everything that is not used.

use super::PacketCounts;
use crate::packet::{self, FlowHasher, Frame, Packet, Skip, Timestamp};

/// Where packets go from here.
pub(super) trait Destination {
    /// Takes one packet of the flow with this hash, at this position of the input. To be inlined: a packet in
    /// registers is written once, where it belongs.
    fn take(&mut self, hash: u64, packet: Packet, ordinal: u64);
}

/// Decodes, numbers and counts.
#[derive(Debug, Default)]
pub(super) struct Intake {
    hasher: FlowHasher,
    counts: PacketCounts,
    now: Option<Timestamp>,
}

impl Intake {
    /// Decodes one frame, and passes it on unless it is of no use.
    #[inline(always)]
    pub(super) fn take(&mut self, frame: &Frame<'_>, destination: &mut impl Destination) {
        let ordinal = self.counts.total;
        self.counts.total += 1;
        self.now = self.now.max(Some(frame.at));
        if let Some(segment) = packet::usual_ipv4(frame) {
            self.counts.tcp += 1;
            let hash = self.hasher.hash(&segment.flow);
            destination.take(hash, Packet::Segment(segment), ordinal);
        } else if let Some(segment) = packet::usual_ipv6(frame) {
            self.counts.tcp += 1;
            let hash = self.hasher.hash(&segment.flow);
            destination.take(hash, Packet::Segment(segment), ordinal);
        } else {
            self.take_unusual(frame, ordinal, destination);
        }
    }

    #[inline(never)]
    fn take_unusual(&mut self, frame: &Frame<'_>, ordinal: u64, destination: &mut impl Destination) {
        match packet::unusual(frame) {
            Ok(packet) => {
                self.counts.tcp += u64::from(matches!(packet, Packet::Segment(_)));
                let flow = match &packet {
                    Packet::Segment(segment) => &segment.flow,
                    Packet::Unreachable(error) => &error.flow,
                };
                destination.take(self.hasher.hash(flow), packet, ordinal);
            }
            Err(skip) => self.count_skip(skip),
        }
    }

    #[cold]
    fn count_skip(&mut self, skip: Skip) {
        self.counts.skipped[skip as usize] += 1;
    }

    /// Packets taken so far.
    pub(super) fn total(&self) -> u64 {
        self.counts.total
    }

    /// What was counted so far; copies and mid-stream segments are the tracker's to count.
    pub(super) fn counts(&self) -> PacketCounts {
        self.counts
    }

    /// The latest packet time so far.
    pub(super) fn now(&self) -> Option<Timestamp> {
        self.now
    }
}
