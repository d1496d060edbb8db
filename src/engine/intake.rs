//! From frames to numbered packets of known flow, with a count of everything that is not used.

use super::joining::FlowJoiner;
use super::packet_clock::PacketClock;
use super::packet_counts::PacketCounts;
use super::survey::{self, Survey, is_syn};
use super::undecoded::UndecodedCounts;
use crate::handshake::OwnFlow;
use crate::packet::{self, Flags, FlowHasher, Frame, Frames, Glimpse, Packet, Span, Timestamp, Unused};

/// Receiver of the intake's packets: a single tracker, or the batches of several shards.
pub(super) trait PacketReceiver {
    /// Prepares for these frames, the first of which is at this position of the input.
    fn expect(&mut self, frames: &Frames<'_>, ordinal: u64);

    /// Sets how far packet time is behind the packet clock from this position of the input on. Called after the packets
    /// of these frames were pushed, and before other frames are expected.
    fn set_lag(&mut self, ordinal: u64, lag: Span);

    /// Marks the packet at this position as one whose time is too far ahead to be believed.
    fn doubt(&mut self, ordinal: u64);

    /// Appends a segment at this position of the input, with the hash of its flow.
    fn push(&mut self, hash: u64, glimpse: &Glimpse, frame: &Frame<'_>, ordinal: u64);

    /// Appends a packet that had to be decoded to find its flow.
    fn push_decoded(&mut self, hash: u64, packet: Packet, ordinal: u64);

    /// Appends a packet that is counted with another flow than its `own`: the same one under other addresses.
    fn push_joined(&mut self, hash: u64, packet: Packet, own: OwnFlow, ordinal: u64);
}

/// Finds the flow of each frame, numbers the frames and counts them.
#[derive(Debug, Default)]
pub(super) struct Intake {
    hasher: FlowHasher,
    counts: PacketCounts,
    undecoded: UndecodedCounts,
    clock: PacketClock,
    survey: Survey,
    joiner: FlowJoiner,
    /// The position of the latest packet if its time is far ahead, and whether it is a SYN. The next packet shows
    /// whether its time is right.
    ahead: Option<(u64, bool)>,
}

impl Intake {
    /// Takes frames, and passes on those that are of use.
    #[inline(always)]
    pub(super) fn take(&mut self, frames: Frames<'_>, destination: &mut impl PacketReceiver) {
        let mut ordinal = self.counts.total;
        let mut unusual = 0;
        let (mut earliest, mut latest) = (Timestamp::from_nanos(i64::MAX), Timestamp::from_nanos(i64::MIN));
        let at_points = frames.first().is_some_and(|frame| frame.frame.point().is_known());
        if self.ahead.is_some() {
            self.check_ahead(frames.first(), destination);
        }
        destination.expect(&frames, ordinal);
        self.survey.take(&frames);
        for frame in if at_points { &[] } else { &*frames } {
            (earliest, latest) = (earliest.min(frame.at), latest.max(frame.at));
            // A branch for each IP version: the results of either stay in registers until they are written.
            if let Some(glimpse) = packet::glimpse_ipv4(frame) {
                let hash = self.hasher.hash(&glimpse.flow);
                destination.push(hash, &glimpse, frame, ordinal);
            } else if let Some(glimpse) = packet::glimpse_ipv6(frame) {
                let hash = self.hasher.hash(&glimpse.flow);
                destination.push(hash, &glimpse, frame, ordinal);
            } else {
                unusual += 1;
                self.take_unusual(frame, ordinal, destination);
            }
            ordinal += 1;
        }
        if at_points {
            (unusual, earliest, latest) = self.take_at_points(&frames, destination);
            ordinal += frames.len() as u64;
        }
        if !self.clock.advance(earliest, latest) {
            self.tick_each(&frames, destination);
        }
        self.counts.total = ordinal;
        self.counts.tcp += frames.len() as u64 - unusual;
    }

    /// Passes on frames where points are told apart: a flow may be another one under other addresses. Gives how many had to
    /// be decoded, and the first and the last time.
    #[inline(never)]
    fn take_at_points(
        &mut self,
        frames: &Frames<'_>,
        destination: &mut impl PacketReceiver,
    ) -> (u64, Timestamp, Timestamp) {
        let mut unusual = 0;
        let (mut earliest, mut latest) = (Timestamp::from_nanos(i64::MAX), Timestamp::from_nanos(i64::MIN));
        for (frame, ordinal) in frames.iter().zip(self.counts.total..) {
            (earliest, latest) = (earliest.min(frame.at), latest.max(frame.at));
            let Some(glimpse) = packet::glimpse_ipv4(frame).or_else(|| packet::glimpse_ipv6(frame)) else {
                unusual += 1;
                self.take_unusual(frame, ordinal, destination);
                continue;
            };
            let hash = self.hasher.hash(&glimpse.flow);
            let may_join = is_syn(glimpse.flags) || self.joiner.has_joined();
            let joined = may_join
                .then(|| packet::decode(frame).ok())
                .flatten()
                .and_then(|packet| self.joined(packet, hash));
            match joined {
                None => destination.push(hash, &glimpse, frame, ordinal),
                Some((hash, packet, own)) => destination.push_joined(hash, packet, own, ordinal),
            }
        }
        (unusual, earliest, latest)
    }

    /// The packet in the flow that it is counted with, if that is another one than its own, which has this hash.
    fn joined(&mut self, mut packet: Packet, hash: u64) -> Option<(u64, Packet, OwnFlow)> {
        match &mut packet {
            Packet::Segment(segment) => {
                let joined = match is_syn(segment.flags) {
                    true => self.joiner.take_syn(segment, hash)?,
                    false => self.joiner.find(&segment.flow, segment.frame.point(), hash)?,
                };
                let own = OwnFlow { flow: segment.flow, direction: segment.direction };
                joined.apply(segment);
                Some((joined.hash, packet, own))
            }
            Packet::Unreachable(error) => {
                let joined = self.joiner.find(&error.flow, error.frame.point(), hash)?;
                let own = OwnFlow { flow: error.flow, direction: error.direction };
                joined.apply_to_error(error);
                Some((joined.hash, packet, own))
            }
        }
    }

    /// Sets the clock by each of these frames, the first of which is the next to be counted.
    #[cold]
    fn tick_each(&mut self, frames: &Frames<'_>, destination: &mut impl PacketReceiver) {
        for (frame, ordinal) in frames.iter().zip(self.counts.total..) {
            self.check_ahead(Some(frame), destination);
            if let Some(lag) = self.clock.tick(frame.at) {
                destination.set_lag(ordinal, lag);
            }
            if self.clock.is_doubtful() {
                self.ahead = Some((ordinal, survey::flags(frame).is_some_and(|flags| flags == Flags::SYN)));
            }
        }
    }

    /// Marks the packet whose time is far ahead, if the next one contradicts it.
    #[cold]
    fn check_ahead(&mut self, next: Option<&Frame<'_>>, destination: &mut impl PacketReceiver) {
        let Some(next) = next else { return };
        if let Some((ordinal, _)) = self.ahead.take().filter(|_| self.clock.is_contradicted_by(next.at)) {
            destination.doubt(ordinal);
        }
    }

    /// Ends a run of packets before the next one is read. A last packet whose time is far ahead is taken as misdated;
    /// at the end of the input, unless it is a SYN, which would else be a retry at once.
    pub(super) fn pause(&mut self, is_end: bool, destination: &mut impl PacketReceiver) {
        if let Some((ordinal, _)) = self.ahead.take().filter(|&(_, is_syn)| !(is_end && is_syn)) {
            destination.doubt(ordinal);
        }
    }

    #[inline(never)]
    fn take_unusual(&mut self, frame: &Frame<'_>, ordinal: u64, destination: &mut impl PacketReceiver) {
        match packet::general(frame) {
            Ok(packet) => {
                self.counts.tcp += u64::from(matches!(packet, Packet::Segment(_)));
                let flow = match &packet {
                    Packet::Segment(segment) => &segment.flow,
                    Packet::Unreachable(error) => &error.flow,
                };
                let hash = self.hasher.hash(flow);
                let known = frame.frame.point().is_known();
                match known.then(|| self.joined(packet, hash)).flatten() {
                    None => destination.push_decoded(hash, packet, ordinal),
                    Some((hash, packet, own)) => destination.push_joined(hash, packet, own, ordinal),
                }
            }
            Err(unused) => self.count_unused(unused),
        }
    }

    #[cold]
    fn count_unused(&mut self, unused: Unused) {
        self.counts.skipped[unused.reason as usize] += 1;
        if let Some(protocol) = unused.protocol {
            self.undecoded.count(protocol);
        }
    }

    /// Packets taken so far.
    pub(super) fn total(&self) -> u64 {
        self.counts.total
    }

    /// Counts of the packets so far. The trackers count duplicates and mid-stream segments.
    pub(super) fn counts(&self) -> PacketCounts {
        let (undecoded, survey) = (self.undecoded.most_frequent(), self.survey());
        PacketCounts { undecoded, survey, ..self.counts.clone() }
    }

    /// Properties of the capture itself, as the packets so far show them; without what the trackers add.
    pub(super) fn survey(&self) -> Survey {
        Survey { clock_jumps: self.clock.jumps(), renumbered: self.joiner.renumbered(), ..self.survey }
    }

    /// The packet clock.
    pub(super) fn clock(&self) -> PacketClock {
        self.clock
    }
}
