//! From frames to numbered packets of known flow, with a count of everything that is not used.

use super::PacketCounts;
use super::packet_clock::PacketClock;
use crate::packet::{self, FlowHasher, Frame, Frames, Glimpse, Packet, Skip, Span, Timestamp};

/// Where packets go from here.
pub(super) trait Destination {
    /// Makes ready for these frames, the first of which is at this position of the input.
    fn expect(&mut self, frames: &Frames<'_>, ordinal: u64);

    /// From this position of the input on, packet time is so far behind the steady time. Told after the packets there
    /// are, and before others are expected.
    fn lag(&mut self, ordinal: u64, lag: Span);

    /// Takes a segment of the flow with this hash, at this position of the input, of which there was a glimpse.
    fn take(&mut self, hash: u64, glimpse: &Glimpse, frame: &Frame<'_>, ordinal: u64);

    /// Takes a packet that had to be decoded to be looked at.
    fn take_decoded(&mut self, hash: u64, packet: Packet, ordinal: u64);
}

/// Looks at frames, numbers and counts them.
#[derive(Debug, Default)]
pub(super) struct Intake {
    hasher: FlowHasher,
    counts: PacketCounts,
    clock: PacketClock,
}

impl Intake {
    /// Looks at frames, and passes on those that are of use.
    #[inline(always)]
    pub(super) fn take(&mut self, frames: Frames<'_>, destination: &mut impl Destination) {
        let mut ordinal = self.counts.total;
        let mut unusual = 0;
        let (mut earliest, mut latest) = (Timestamp::from_nanos(i64::MAX), Timestamp::from_nanos(i64::MIN));
        destination.expect(&frames, ordinal);
        for frame in &*frames {
            (earliest, latest) = (earliest.min(frame.at), latest.max(frame.at));
            // One branch for each version: what either finds stays in registers until it is written.
            if let Some(glimpse) = packet::glimpse_ipv4(frame) {
                let hash = self.hasher.hash(&glimpse.flow);
                destination.take(hash, &glimpse, frame, ordinal);
            } else if let Some(glimpse) = packet::glimpse_ipv6(frame) {
                let hash = self.hasher.hash(&glimpse.flow);
                destination.take(hash, &glimpse, frame, ordinal);
            } else {
                unusual += 1;
                self.take_unusual(frame, ordinal, destination);
            }
            ordinal += 1;
        }
        if !self.clock.go_on(earliest, latest) {
            self.tell_time(&frames, destination);
        }
        self.counts.total = ordinal;
        self.counts.tcp += frames.len() as u64 - unusual;
    }

    /// Takes the times of frames one by one, the first of which is the next to be counted.
    #[cold]
    fn tell_time(&mut self, frames: &Frames<'_>, destination: &mut impl Destination) {
        for (frame, ordinal) in frames.iter().zip(self.counts.total..) {
            if let Some(lag) = self.clock.tick(frame.at) {
                destination.lag(ordinal, lag);
            }
        }
    }

    #[inline(never)]
    fn take_unusual(&mut self, frame: &Frame<'_>, ordinal: u64, destination: &mut impl Destination) {
        match packet::general(frame) {
            Ok(packet) => {
                self.counts.tcp += u64::from(matches!(packet, Packet::Segment(_)));
                let flow = match &packet {
                    Packet::Segment(segment) => &segment.flow,
                    Packet::Unreachable(error) => &error.flow,
                };
                destination.take_decoded(self.hasher.hash(flow), packet, ordinal);
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

    /// The time that waiting goes by.
    pub(super) fn clock(&self) -> PacketClock {
        self.clock
    }
}
