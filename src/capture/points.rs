//! A first look at files: which of them were captured at points of one path, how far their clocks are apart, and after
//! how long a capture holds its packets again.
//!
//! Owns a sample of the beginning of each file and the comparison of these samples (DOMAIN §4, §7). Does not own the merge by
//! corrected time (`captures`), nor what a duplicate means to an attempt (`handshake`). Only files that can be read twice
//! are looked at.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::hash::BuildHasher;
use std::path::Path;

use super::clock_fit::{COMMON_SYNS, ClockDifferences, ClockFit};
use super::clock_shift::{ClockDoubt, ClockShift};
use super::file::Capture;
use super::open::can_be_read_again;
use super::series::{self, NamedPoint, SampledFile};
use super::walk::{Stop, Walk};
use crate::packet::{
    self, CapturePoint, Direction, Endpoint, Flags, FlowHasher, Frame, Frames, Packet, SPREAD, Seeded,
    Segment, Span, Timestamp,
};

/// Result of the first look.
#[derive(Debug, Clone, Default)]
pub(super) struct FirstLook {
    /// For each file, its clock's difference, if it is a point of the same path as an earlier one.
    pub(super) shifts: Vec<Option<ClockShift>>,
    /// For each file, why its clock's difference is not known although it is a point of its own.
    doubts: Vec<Option<ClockDoubt>>,
    /// Files of several that cannot be looked at beforehand.
    read_once: Vec<bool>,
    /// For each file its point; none where points are not told apart.
    points: Vec<CapturePoint>,
    /// Time after which a capture holds its packets again.
    pub(super) duplicates_after: Option<Span>,
}

impl FirstLook {
    /// The correction of a capture's times.
    pub(super) fn shift(&self, capture: u16) -> Option<ClockShift> {
        self.shifts.get(usize::from(capture)).copied().flatten()
    }

    /// Reason why nothing is known of a capture's clock.
    pub(super) fn doubt(&self, capture: u16) -> Option<ClockDoubt> {
        self.doubts.get(usize::from(capture)).copied().flatten()
    }

    /// True if a capture, beside others, could not be looked at beforehand, so that nothing is known of its clock and its point.
    pub(super) fn is_read_once(&self, capture: u16) -> bool {
        self.read_once.get(usize::from(capture)).copied().unwrap_or(false)
    }

    /// The point of a capture, for the names of its interfaces: none if all captures are of one.
    pub(super) fn prefix(&self, capture: u16) -> CapturePoint {
        let own = self.point(capture);
        if self.points.iter().all(|&point| point == own) { CapturePoint::NONE } else { own }
    }

    /// The point of a capture.
    pub(super) fn point(&self, capture: u16) -> CapturePoint {
        self.points.get(usize::from(capture)).copied().unwrap_or(CapturePoint::NONE)
    }
}

/// Packets that are looked at, over all files, and of one: handshakes that two points share are at the beginnings.
const PACKETS: usize = 262_144;
const PACKETS_OF_ONE: usize = 16_384;

/// SYNs, and as many answers, that are compared of whole files.
const WHOLE: usize = 65_536;

/// Linux' `TCP_RTO_MIN`.
const SHORTEST_TIMER: Span = Span::from_millis(200);

/// Looks at the beginnings of `paths`, whose points may be `named`.
pub(super) fn look(paths: &[impl AsRef<OsStr>], named: &[NamedPoint]) -> FirstLook {
    let most = (PACKETS / paths.len().max(1)).min(PACKETS_OF_ONE);
    let hasher = FlowHasher::default();
    let samples: Vec<PointSample> =
        paths.iter().map(|path| PointSample::of(path.as_ref(), most, &hasher, paths.len() > 1)).collect();
    let mut shifts: Vec<Option<ClockShift>> = vec![None; paths.len()];
    let mut partners: Vec<Option<u16>> = vec![None; paths.len()];
    let mut doubts: Vec<Option<ClockDoubt>> = vec![None; paths.len()];
    let mut way: Option<Span> = None;
    for at in 1..samples.len() {
        let (before, rest) = samples.split_at(at);
        let Some(sample) = rest.first() else { break };
        let find = |compare: fn(&PointSample, &PointSample) -> Option<ClockFit>| {
            let mut others = before.iter().zip(0_u16..);
            others.find_map(|(other, reference)| Some((reference, compare(other, sample)?)))
        };
        let (reference, fit) = match (find(compare), find(behind_proxy)) {
            (Some(compared), _) => compared,
            (None, Some((reference, fit))) => {
                set(&mut doubts, at, ClockDoubt { reference, syns: 0, is_disordered: false });
                (reference, fit)
            }
            (None, None) => continue,
        };
        way = way.or(fit.ways.usual);
        for (place, partner) in [(at, reference), (usize::from(reference), at as u16)] {
            partners.get_mut(place).map(|known| known.get_or_insert(partner));
        }
        let pair = [usize::from(reference), at].map(|place| paths.get(place).zip(samples.get(place)));
        let fit = pair_fit(pair, &hasher).unwrap_or(fit);
        if fit.is_disordered {
            set(&mut doubts, at, ClockDoubt { reference, syns: fit.syns, is_disordered: true });
        }
        let before = shifts.get(usize::from(reference)).copied().flatten();
        if let Some(shift) = shifts.get_mut(at).filter(|_| fit.needs_correction() || before.is_some()) {
            *shift = Some(shift_by(&fit, reference, before));
        }
    }
    let files = paths.iter().zip(&samples).zip(&partners);
    let files = files.map(|((path, sample), partner)| SampledFile {
        path: path.as_ref(),
        span: sample.span,
        partner: *partner,
        has_several: sample.is_translated,
    });
    let files: Vec<SampledFile<'_>> = files.collect();
    let points = series::points(&files, named);
    inherit_clocks(&mut shifts, &points, &files);
    doubt_unpaired(&mut doubts, &points, &files, &samples);
    let within = samples.iter().find_map(|sample| sample.repeats.offset());
    // Without timestamps a retransmission and a duplicate differ by their times alone: no timer is shorter.
    let way = way.filter(|&way| way < SHORTEST_TIMER);
    let is_read_once = |path: &_| {
        let path = AsRef::<OsStr>::as_ref(path);
        paths.len() > 1 && !can_be_read_again(path) && (path == "-" || Path::new(path).exists())
    };
    let read_once = paths.iter().map(is_read_once).collect();
    FirstLook { shifts, doubts, read_once, points, duplicates_after: within.or(way) }
}

fn set(doubts: &mut [Option<ClockDoubt>], at: usize, doubt: ClockDoubt) {
    if let Some(place) = doubts.get_mut(at) {
        *place = Some(doubt);
    }
}

/// Compares two files as a whole, if the samples are only their beginnings: their clocks may drift.
fn pair_fit(pair: [Option<(&impl AsRef<OsStr>, &PointSample)>; 2], hasher: &FlowHasher) -> Option<ClockFit> {
    let [Some((one, begin)), Some((other, end))] = pair else { return None };
    if begin.is_whole && end.is_whole {
        return None;
    }
    let [one, other] = [one, other].map(|path| PointSample::whole(path.as_ref(), hasher));
    compare(&one, &other)
}

/// The correction of a clock by that of the reference, whose own is corrected by that `before` it.
fn shift_by(fit: &ClockFit, reference: u16, before: Option<ClockShift>) -> ClockShift {
    let of_reference = fit.since.minus(fit.offset);
    let own = Span::ZERO.minus(fit.offset);
    let (by, drift) = match before {
        Some(before) => {
            (own.plus(before.corrected(of_reference).since(of_reference)), before.drift - fit.drift)
        }
        None => (own, -fit.drift),
    };
    ClockShift { by, drift, since: fit.since, error: fit.ways.shortest, syns: fit.syns, reference }
}

/// Gives files that share no SYN with another the clock of the others of their point: a rotated capture may begin anywhere
/// in the other point's.
fn inherit_clocks(shifts: &mut [Option<ClockShift>], points: &[CapturePoint], files: &[SampledFile<'_>]) {
    for (at, _) in files.iter().enumerate().filter(|(_, file)| file.partner.is_none()) {
        let same = |&(place, point): &(usize, &CapturePoint)| {
            points.get(at) == Some(point)
                && point.is_known()
                && files.get(place).is_some_and(|file| file.partner.is_some())
        };
        let of_point = points.iter().enumerate().find(same).and_then(|(place, _)| *shifts.get(place)?);
        if let Some(shift) = shifts.get_mut(at) {
            *shift = of_point;
        }
    }
}

/// Finds points that share too few SYNs with any other for their clocks to be compared: the user named them.
fn doubt_unpaired(
    doubts: &mut [Option<ClockDoubt>],
    points: &[CapturePoint],
    files: &[SampledFile<'_>],
    samples: &[PointSample],
) {
    let has_partner = |point: CapturePoint| {
        points.iter().zip(files).any(|(&own, file)| own == point && file.partner.is_some())
    };
    let known = points.iter().zip(samples).zip(0_u16..);
    for (doubt, ((&point, sample), _)) in doubts.iter_mut().zip(known.clone()).skip(1) {
        let mut others = known.clone().filter(|&((&other, _), _)| other != point);
        if !point.is_known() || has_partner(point) {
            continue;
        }
        *doubt = others.next().map(|((_, other), reference)| {
            let syns = differences(&other.syns, &sample.syns).len() as u64;
            ClockDoubt { reference, syns, is_disordered: false }
        });
    }
}

/// A segment as two points see it alike.
type SegmentKey = (u32, u32, u8, u64, Option<(u64, Option<u16>)>);

/// True if a segment is among those that are kept: which are depends on what both points see alike.
fn is_kept(&(seq, _, _, stamps, _): &SegmentKey, mask: u64) -> bool {
    (u64::from(seq) ^ stamps).wrapping_mul(SPREAD) >> 32 & mask == 0
}

/// The segment's numbers, flags and timestamps; its flow and IP ID only where these are too few: addresses may be translated.
fn key(segment: &Segment, flow: u64) -> SegmentKey {
    let stamps = segment.options.stamps();
    let others = (stamps == 0).then_some((flow, segment.own_ip_id()));
    (segment.seq.0, segment.ack.0, segment.flags.0, stamps, others)
}

/// True if a retry of the segment has another key.
const fn is_told_from_retries(&(_, _, _, stamps, others): &SegmentKey) -> bool {
    stamps != 0 || matches!(others, Some((_, Some(_))))
}

type SegmentTimes = HashMap<SegmentKey, Timestamp, Seeded>;

/// The beginning of a file, or all of it.
#[derive(Debug, Default)]
struct PointSample {
    /// Times of the clients' SYNs, and of what answers them: the first of each.
    syns: SegmentTimes,
    answers: SegmentTimes,
    /// The same by flow and timestamps alone.
    renumbered: [SegmentTimes; 2],
    /// Numbers and flows of SYNs with timestamps, whatever these are.
    restamped: HashSet<(u32, u64), Seeded>,
    repeats: Repeats,
    /// The first and the last time.
    span: Option<(Timestamp, Timestamp)>,
    /// Client ports and flows of SYNs with timestamps and an IP ID of their own, by these and their ISN.
    own: HashMap<(u32, u64, u16), u64, Seeded>,
    /// Flows and TTLs of SYNs with timestamps and no IP ID, by these, their ISN and their client.
    forwarded: HashMap<(u32, u64, Endpoint), (u64, u8), Seeded>,
    /// The same SYN occurs between other addresses: they are translated at this point.
    is_translated: bool,
    /// There is nothing behind what was looked at.
    is_whole: bool,
}

impl PointSample {
    fn of(path: &OsStr, most: usize, hasher: &FlowHasher, compared: bool) -> Self {
        let mut sample = Self::default();
        if can_be_read_again(path) {
            sample.is_whole = walk_file(path, most, &mut |frames| {
                frames.iter().for_each(|frame| sample.take(frame, hasher, compared));
            });
        }
        sample
    }

    /// SYNs and answers of a whole file, evenly thinned out.
    fn whole(path: &OsStr, hasher: &FlowHasher) -> Self {
        let mut sample = Self::default();
        let mut mask = 0;
        walk_file(path, usize::MAX, &mut |frames| {
            frames.iter().for_each(|frame| sample.take_handshake(frame, hasher, mask));
            while sample.syns.len().max(sample.answers.len()) > WHOLE {
                mask = mask << 1 | 1;
                sample.syns.retain(|key, _| is_kept(key, mask));
                sample.answers.retain(|key, _| is_kept(key, mask));
            }
        });
        sample
    }

    fn take_handshake(&mut self, frame: &Frame<'_>, hasher: &FlowHasher, mask: u64) {
        let glimpse = packet::glimpse_ipv4(frame).or_else(|| packet::glimpse_ipv6(frame));
        if glimpse.is_some_and(|glimpse| !glimpse.flags.contains(Flags::SYN)) {
            return;
        }
        let Ok(Packet::Segment(segment)) = packet::decode(frame) else { return };
        let key = key(&segment, hasher.hash(&segment.flow));
        if segment.flags.contains(Flags::SYN) && is_kept(&key, mask) {
            let answers = segment.flags.contains(Flags::ACK);
            let times = if answers { &mut self.answers } else { &mut self.syns };
            times.entry(key).or_insert(segment.at);
        }
    }

    /// Takes a frame of a file that is `compared` with others.
    fn take(&mut self, frame: &Frame<'_>, hasher: &FlowHasher, compared: bool) {
        let Ok(Packet::Segment(segment)) = packet::decode(frame) else { return };
        let flow = hasher.hash(&segment.flow);
        self.repeats.take(&segment, flow);
        if segment.flags == Flags::SYN {
            self.find_translation(&segment, flow);
        }
        if !compared {
            return;
        }
        let (first, last) = self.span.unwrap_or((segment.at, segment.at));
        self.span = Some((first.min(segment.at), last.max(segment.at)));
        // A refusal begins at 0 (RFC 9293 §3.10.7.1); other RSTs may be the client's.
        let refuses = segment.flags.contains(Flags::RST.union(Flags::ACK)) && segment.seq.0 == 0;
        let answers = segment.flags.contains(Flags::SYN.union(Flags::ACK)) || refuses;
        let syn = segment.flags.contains(Flags::SYN);
        let stamps = segment.options.stamps();
        if syn && stamps != 0 {
            let key = (0, 0, segment.flags.0, stamps, Some((flow, None)));
            self.renumbered[usize::from(answers)].entry(key).or_insert(segment.at);
            if !answers {
                self.restamped.insert((segment.seq.0, flow));
            }
        }
        if answers {
            self.answers.entry(key(&segment, flow)).or_insert(segment.at);
        } else if syn {
            self.syns.entry(key(&segment, flow)).or_insert(segment.at);
        }
    }

    /// Looks for the same packet between other addresses.
    fn find_translation(&mut self, syn: &Segment, flow: u64) {
        let stamps = syn.options.stamps();
        if stamps == 0 {
            return;
        }
        let Some(id) = syn.own_ip_id() else {
            let client = syn.flow.source(syn.direction);
            let first = *self.forwarded.entry((syn.seq.0, stamps, client)).or_insert((flow, syn.ttl));
            self.is_translated |= first.0 != flow && syn.ttl != first.1;
            return;
        };
        self.is_translated |= *self.own.entry((syn.seq.0, stamps, id)).or_insert(flow) != flow;
    }
}

/// Passes on the first packets of a file, so many at most. True if there is nothing behind them.
fn walk_file(path: &OsStr, most: usize, sink: &mut dyn FnMut(Frames<'_>)) -> bool {
    let (mut capture, _) = Capture::open(path);
    let limit = Timestamp::from_nanos(i64::MAX);
    let (point, prefix) = (CapturePoint::NONE, CapturePoint::NONE);
    let mut left = most;
    while left > 0 && capture.is_open() {
        let mut walk = Walk { capture: 0, point, prefix, left, limit, sink: &mut *sink };
        let stop = capture.walk(&mut walk);
        left = walk.left;
        match stop {
            Stop::Starved => capture.wait(),
            Stop::End => return true,
            Stop::Full | Stop::Limit(_) => return false,
        }
    }
    false
}

/// Compares two captures; `None` if they are no points of one path.
fn compare(one: &PointSample, other: &PointSample) -> Option<ClockFit> {
    let fit = if may_share_retries(one, other) {
        None
    } else {
        ClockFit::of(differences(&one.syns, &other.syns), differences(&one.answers, &other.answers))
    };
    fit.or_else(|| {
        // Something between may rewrite sequence numbers, and leave addresses and timestamps.
        let (one, other) = (&one.renumbered, &other.renumbered);
        ClockFit::of(differences(&one[0], &other[0]), differences(&one[1], &other[1]))
    })
}

/// True if all that two captures share may be retries, which clients repeat from one file of a series to the next: nothing tells
/// these SYNs from their retries, and the files do not overlap.
fn may_share_retries(one: &PointSample, other: &PointSample) -> bool {
    let overlap = overlap(one, other).unwrap_or(true);
    let told = one.syns.keys().any(|key| is_told_from_retries(key) && other.syns.contains_key(key));
    !overlap && !told
}

/// True if there is a time that both captures cover; `None` if that is not known.
fn overlap(one: &PointSample, other: &PointSample) -> Option<bool> {
    let ((first, last), (begin, end)) = one.span.zip(other.span)?;
    Some(first < end && begin < last)
}

/// Compares two captures that share no SYN but the numbers of some: something between answers clients, and begins anew with
/// timestamps of its own. The clocks are not known then. Files of a series share those of retries, and do not overlap.
fn behind_proxy(one: &PointSample, other: &PointSample) -> Option<ClockFit> {
    let (begin, _) = other.span?;
    let common = one.restamped.intersection(&other.restamped).take(COMMON_SYNS).count();
    (common == COMMON_SYNS && overlap(one, other)?).then(|| ClockFit::unknown(begin))
}

fn differences(one: &SegmentTimes, other: &SegmentTimes) -> ClockDifferences {
    let both = |(key, &at): (&SegmentKey, &Timestamp)| other.get(key).map(|&later| (later, later.since(at)));
    one.iter().filter_map(both).collect()
}

/// Segments that a capture holds twice.
#[derive(Debug, Default)]
struct Repeats {
    /// Time of the latest segment with each hash of numbers, flags, flow, timestamps, length, window and IP ID: of 16,384
    /// segments two share a hash by chance once in 10^11 runs.
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
        // In few words, which are quick to hash.
        let numbers = u64::from(segment.seq.0) << 32 | u64::from(segment.ack.0);
        let form =
            u64::from(segment.payload) << 32 | u64::from(segment.window) << 16 | u64::from(segment.ip_id);
        let shape = (numbers, segment.flags.0, form, segment.options.stamps(), flow);
        if self.latest.len() == self.latest.capacity() {
            // By more than the map would itself: all that it has is hashed again each time.
            self.latest.reserve(3 * self.latest.len());
        }
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
