//! From frames to numbered, hashed packets, with a count of everything that is not used.

use super::PacketCounts;
use crate::packet::{self, FlowHasher, Frame, Packet, Skip, Timestamp};

/// A packet on its way to the tracker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) packet: Packet,
    pub(super) hash: u64,
    pub(super) ordinal: u64,
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
    pub(super) fn take(&mut self, frame: &Frame<'_>, mut pass_on: impl FnMut(Item)) {
        let ordinal = self.counts.total;
        self.counts.total += 1;
        self.now = self.now.max(Some(frame.at));
        let decoded = packet::usual(frame, |segment| {
            let hash = self.hasher.hash(&segment.flow);
            pass_on(Item { hash, packet: Packet::Segment(segment), ordinal });
        });
        match decoded {
            Some(()) => self.counts.tcp += 1,
            None => self.take_unusual(frame, ordinal).into_iter().for_each(pass_on),
        }
    }

    #[inline(never)]
    fn take_unusual(&mut self, frame: &Frame<'_>, ordinal: u64) -> Option<Item> {
        match packet::unusual(frame) {
            Ok(packet) => {
                self.counts.tcp += u64::from(matches!(packet, Packet::Segment(_)));
                let flow = match &packet {
                    Packet::Segment(segment) => &segment.flow,
                    Packet::Unreachable(error) => &error.flow,
                };
                Some(Item { hash: self.hasher.hash(flow), packet, ordinal })
            }
            Err(skip) => {
                self.count_skip(skip);
                None
            }
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
