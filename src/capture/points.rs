//! A first look at files: which of them were captured at points of one path, how far their clocks are apart, and after
//! how long a capture holds its packets again.
//!
//! Owns a sample of the beginning of each file and the comparison of these samples (DOMAIN §4, §7). Does not own the merge by
//! corrected time (`captures`), nor what a duplicate means to an attempt (`handshake`). Only files that can be read twice
//! are looked at.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::BuildHasher;

use super::clock_shift::ClockShift;
use super::file::Capture;
use super::open::can_be_read_again;
use super::walk::{Stop, Walk};
use crate::packet::{
    self, Direction, Flags, FlowHasher, Frame, Frames, Packet, Seeded, Segment, Span, Timestamp,
};

/// Result of the first look.
#[derive(Debug, Clone, Default)]
pub(super) struct FirstLook {
    /// For each file, its clock's difference, if it is a point of the same path as an earlier one.
    pub(super) shifts: Vec<Option<ClockShift>>,
    /// Time after which a capture holds its packets again.
    pub(super) duplicates_after: Option<Span>,
}

impl FirstLook {
    /// Time that is added to the times of a capture.
    pub(super) fn shift(&self, capture: u16) -> Span {
        let shift = self.shifts.get(usize::from(capture)).copied().flatten();
        shift.map_or(Span::ZERO, |shift| shift.by)
    }
}

/// Packets that are looked at, over all files, and of one: handshakes that two points share are at the beginnings.
const PACKETS: usize = 262_144;
const PACKETS_OF_ONE: usize = 16_384;

/// SYNs in two files from which on these are points of one path (DOMAIN §7).
const COMMON_SYNS: usize = 3;

/// Linux' `TCP_RTO_MIN`.
const SHORTEST_TIMER: Span = Span::from_millis(200);

/// Looks at the beginnings of `paths`.
pub(super) fn look(paths: &[impl AsRef<OsStr>]) -> FirstLook {
    let most = (PACKETS / paths.len().max(1)).min(PACKETS_OF_ONE);
    let hasher = FlowHasher::default();
    let samples: Vec<PointSample> =
        paths.iter().map(|path| PointSample::of(path.as_ref(), most, &hasher, paths.len() > 1)).collect();
    let mut shifts: Vec<Option<ClockShift>> = vec![None; paths.len()];
    let mut way: Option<Span> = None;
    for at in 1..samples.len() {
        let (before, rest) = samples.split_at(at);
        let Some(sample) = rest.first() else { break };
        let compared = before.iter().zip(0_u16..).find_map(|(other, reference)| {
            let comparison = compare(other, sample)?;
            Some((reference, comparison))
        });
        let Some((reference, comparison)) = compared else { continue };
        let PointComparison { offset, under_way, syns } = comparison;
        way = way.or(under_way);
        let before = shifts.get(usize::from(reference)).copied().flatten();
        let by = before.map_or(Span::ZERO, |before| before.by).minus(offset);
        if let Some(shift) = shifts.get_mut(at).filter(|_| comparison.needs_correction()) {
            *shift = Some(ClockShift { by, error: under_way, syns, reference });
        }
    }
    let within = samples.iter().find_map(|sample| sample.repeats.offset());
    // Without timestamps a retransmission and a duplicate differ by their times alone: no timer is shorter.
    let way = way.filter(|&way| way < SHORTEST_TIMER);
    FirstLook { shifts, duplicates_after: within.or(way) }
}

/// A segment as two points see it alike.
type SegmentKey = (u32, u32, u8, u64, Option<u64>);

/// The segment's numbers, flags and timestamps; its flow only where these are too few: addresses may be translated.
fn key(segment: &Segment, flow: u64) -> SegmentKey {
    let stamps = segment.options.stamps();
    (segment.seq.0, segment.ack.0, segment.flags.0, stamps, (stamps == 0).then_some(flow))
}

/// The beginning of a file.
#[derive(Debug, Default)]
struct PointSample {
    /// Times of the clients' SYNs, and of what answers them: the first of each.
    syns: HashMap<SegmentKey, Timestamp, Seeded>,
    answers: HashMap<SegmentKey, Timestamp, Seeded>,
    repeats: Repeats,
}

impl PointSample {
    fn of(path: &OsStr, most: usize, hasher: &FlowHasher, compared: bool) -> Self {
        let mut sample = Self::default();
        if !can_be_read_again(path) {
            return sample;
        }
        let (mut capture, _) = Capture::open(path);
        let mut left = most;
        while left > 0 && capture.is_open() {
            let mut sink =
                |frames: Frames<'_>| frames.iter().for_each(|frame| sample.take(frame, hasher, compared));
            let limit = Timestamp::from_nanos(i64::MAX);
            let mut walk = Walk { capture: 0, left, limit, sink: &mut sink };
            let stop = capture.walk(&mut walk);
            left = walk.left;
            match stop {
                Stop::Starved => capture.wait(),
                Stop::Full | Stop::Limit(_) | Stop::End => break,
            }
        }
        sample
    }

    /// Takes a frame of a file that is `compared` with others.
    fn take(&mut self, frame: &Frame<'_>, hasher: &FlowHasher, compared: bool) {
        let Ok(Packet::Segment(segment)) = packet::decode(frame) else { return };
        let flow = hasher.hash(&segment.flow);
        self.repeats.take(&segment, flow);
        if !compared {
            return;
        }
        let answers =
            segment.flags.contains(Flags::SYN.union(Flags::ACK)) || segment.flags.contains(Flags::RST);
        if answers {
            self.answers.entry(key(&segment, flow)).or_insert(segment.at);
        } else if segment.flags.contains(Flags::SYN) {
            self.syns.entry(key(&segment, flow)).or_insert(segment.at);
        }
    }
}

/// Two points of one path compared.
struct PointComparison {
    /// Time by which the second's clock is ahead of the first's.
    offset: Span,
    /// Time that a packet takes between the points; `None` if nothing answered the SYNs.
    under_way: Option<Span>,
    syns: u64,
}

impl PointComparison {
    /// True if the difference of clocks may change the order of packets at the two points.
    fn needs_correction(&self) -> bool {
        /// Jitter of time stamps on one host.
        const STAMP_JITTER: Span = Span::from_micros(10);
        /// Longest usual time between two points.
        const LONG_WAY: Span = Span::from_millis(100);
        let harmless = self.under_way.map_or(LONG_WAY, |way| way.scaled(1, 4).max(STAMP_JITTER));
        self.offset.abs() > harmless
    }
}

/// Compares two captures; `None` if they are no points of one path.
///
/// A SYN and its answer pass the points in opposite order, so that half the sum of both differences is the clocks', as in
/// NTP (RFC 5905 §8), if the ways take as long. Without any answer all of the difference is the clocks'.
fn compare(one: &PointSample, other: &PointSample) -> Option<PointComparison> {
    let there = differences(&one.syns, &other.syns);
    let back = differences(&one.answers, &other.answers);
    let syns = there.len();
    // By the median: one packet that was lost at a point, and sent again, does not matter.
    let there = Span::median(there).filter(|_| syns >= COMMON_SYNS)?;
    let syns = syns as u64;
    Some(match Span::median(back) {
        Some(back) => PointComparison {
            offset: there.plus(back).scaled(1, 2),
            under_way: Some(there.minus(back).scaled(1, 2).abs()),
            syns,
        },
        None => PointComparison { offset: there, under_way: None, syns },
    })
}

fn differences(
    one: &HashMap<SegmentKey, Timestamp, Seeded>,
    other: &HashMap<SegmentKey, Timestamp, Seeded>,
) -> Vec<Span> {
    one.iter().filter_map(|(key, &at)| Some(other.get(key)?.since(at))).collect()
}

/// Segments that a capture holds twice.
#[derive(Debug, Default)]
struct Repeats {
    /// Time of the latest segment with each hash of numbers, flow, length, window and IP ID: of 16,384 segments two
    /// share a hash by chance once in 10^11 runs.
    latest: HashMap<u64, Timestamp, Seeded>,
    hasher: Seeded,
    /// The time between the two, the flow, and true if it goes from its lower end.
    found: Vec<(Span, u64, bool)>,
    segments: usize,
}

impl Repeats {
    /// Smallest offset searched for: nearer duplicates are recognised by their time alone (DOMAIN §4).
    const MIN_OFFSET: Span = Span::from_millis(5);
    /// Largest offset: no duplicate comes later (DOMAIN §4).
    const MAX_OFFSET: Span = Span::from_secs(130);
    /// Fewest segments, and fewest flows, that show an offset (DOMAIN §4).
    const MIN_SEGMENTS: usize = 20;
    const MIN_FLOWS: usize = 3;

    fn take(&mut self, segment: &Segment, flow: u64) {
        self.segments += 1;
        let shape = (key(segment, flow), flow, segment.payload, segment.window, segment.ip_id);
        let before = self.latest.insert(self.hasher.hash_one(shape), segment.at);
        if let Some(distance) = before.map(|before| segment.at.since(before))
            && (Self::MIN_OFFSET..Self::MAX_OFFSET).contains(&distance)
        {
            let forward = segment.direction == Direction::LowToHigh;
            self.found.push((distance, flow, forward));
        }
    }

    /// The offset at which most of the capture is held again, in both directions: timers repeat few segments, and none so
    /// evenly.
    fn offset(&self) -> Option<Span> {
        if self.found.len() < Self::MIN_SEGMENTS || self.found.len() * 4 < self.segments {
            return None;
        }
        let middle = Span::median(self.found.iter().map(|&(distance, ..)| distance).collect())?;
        let near = |&&(distance, ..): &&(Span, u64, bool)| distance.is_about(middle);
        let alike: Vec<_> = self.found.iter().filter(near).collect();
        let mut flows: Vec<u64> = alike.iter().map(|&&(_, flow, _)| flow).collect();
        flows.sort_unstable();
        flows.dedup();
        let both_ways =
            alike.iter().any(|(.., forward)| *forward) && alike.iter().any(|(.., forward)| !forward);
        let enough = alike.len() >= Self::MIN_SEGMENTS && alike.len() * 4 >= self.segments;
        (enough && both_ways && flows.len() >= Self::MIN_FLOWS).then_some(middle)
    }
}
