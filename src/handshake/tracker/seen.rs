//! SYNs of attempts that may be settled by now: a duplicate of one opens no second attempt.
//!
//! Owns a small cache of them and the differences of time found by it: captures of both ends, or of two clocks, have
//! each SYN twice, as far apart as their clocks.

use crate::handshake::duplicates::DuplicateOffset;
use crate::handshake::pending::ClockSample;
use crate::packet::{SPREAD, Segment, Span, Timestamp};
use crate::prefetch::prefetch;

/// SYNs by flow, one for each of the uppermost bits of the flow's hash: which shard has it does not matter.
#[derive(Debug, Default)]
pub(super) struct SeenSyns {
    /// Signature, and time in nanoseconds; 2 MiB once there are any.
    entries: Vec<[u64; 2]>,
}

/// Entries, as a power of two: those of a busy server's last minute.
const BITS: u32 = 17;

/// Beyond this a SYN with the same timestamps is no duplicate (DOMAIN §4).
const LONGEST: Span = Span::from_secs(130);

impl SeenSyns {
    /// Takes a SYN that opens an attempt, unless it is a duplicate of the flow's last one; gives their distance then.
    #[inline(always)]
    pub(super) fn replace(&mut self, hash: u64, syn: &Segment, copies: DuplicateOffset) -> Option<Span> {
        let distinct = is_distinct(syn);
        if !distinct && copies.0.is_none() {
            return None;
        }
        let signature = signature(hash, syn);
        let entry = self.entry(hash)?;
        if entry[0] == signature {
            let distance = distance(*entry, syn).filter(|&distance| distinct || copies.is(distance));
            if distance.is_some() {
                return distance;
            }
        }
        if has_flow(*entry, hash)
            && let Some(distance) = self.distance_of_retry(hash, syn)
        {
            return Some(distance);
        }
        let entry = self.entry(hash)?;
        *entry = [signature, syn.at.as_nanos().cast_unsigned()];
        None
    }

    /// Prefetches the entry of a flow.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(self.entries.as_ptr().wrapping_add(place(hash)));
    }

    /// The entry for the uppermost bits of a hash.
    #[inline(always)]
    fn entry(&mut self, hash: u64) -> Option<&mut [u64; 2]> {
        if self.entries.is_empty() {
            self.entries = vec![[0; 2]; 1 << BITS];
        }
        self.entries.get_mut(place(hash))
    }

    /// Adds a retry of a SYN, if its duplicate is recognised, in a place of its own.
    #[cold]
    pub(super) fn add_retry(&mut self, hash: u64, syn: &Segment) {
        if is_distinct(syn)
            && let Some(entry) = self.entry(retry_hash(hash, syn))
        {
            *entry = [signature(hash, syn), syn.at.as_nanos().cast_unsigned()];
        }
    }

    #[cold]
    fn distance_of_retry(&self, hash: u64, syn: &Segment) -> Option<Span> {
        let entry = self.entries.get(place(retry_hash(hash, syn))).filter(|_| is_distinct(syn))?;
        if entry[0] == signature(hash, syn) { distance(*entry, syn) } else { None }
    }

    /// The distance of a duplicate from the SYN that was taken.
    #[cold]
    pub(super) fn offset(&self, hash: u64, syn: &Segment) -> Option<Span> {
        let entry = self.entries.get(place(hash))?;
        if signature(hash, syn) == entry[0] { distance(*entry, syn) } else { None }
    }
}

const fn place(hash: u64) -> usize {
    (hash >> (u64::BITS - BITS)) as usize
}

/// A hash that gives a retry another place than its flow's first SYN has, of the same shard: the uppermost bits choose
/// that, and the result may not depend on the number of shards.
fn retry_hash(hash: u64, syn: &Segment) -> u64 {
    const SHARD_BITS: u32 = 8;
    hash ^ signature(hash, syn) >> SHARD_BITS
}

fn distance([_, at]: [u64; 2], syn: &Segment) -> Option<Span> {
    let distance = syn.at.since(Timestamp::from_nanos(at.cast_signed()));
    (distance.abs() <= LONGEST).then_some(distance)
}

/// True if a SYN differs from its own retry by more than its time, so that a duplicate is recognised.
#[inline(always)]
fn is_distinct(syn: &Segment) -> bool {
    let (tsval, _) = syn.options.timestamps().unwrap_or_default();
    tsval != 0 || syn.own_ip_id().is_some()
}

/// Lowest bits of a signature, which are those of the flow's hash.
const FLOW: u64 = 0xffff;

/// True if an entry is of the flow with this hash, by all odds: a retry of its SYN may have an entry, too. Others are not looked
/// for, because each would cost a cache miss.
#[inline(always)]
fn has_flow([signature, _]: [u64; 2], hash: u64) -> bool {
    (signature ^ hash) & FLOW == 0
}

/// A number that a SYN shares with its duplicates, and with its retries where nothing distinguishes these.
#[inline(always)]
fn signature(hash: u64, syn: &Segment) -> u64 {
    let (tsval, _) = syn.options.timestamps().unwrap_or_default();
    let own = u64::from(syn.seq.0) << 32 | u64::from(tsval);
    let mixed = (hash ^ own.wrapping_mul(SPREAD)).rotate_left(29) ^ u64::from(syn.ip_id);
    // One bit is always set: an empty entry is 0.
    mixed.wrapping_mul(SPREAD) & !FLOW | (FLOW + 1) | hash & FLOW
}

/// Points and clocks of a capture, as its duplicates show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offsets {
    /// Handshakes by two clocks, and the differences between these.
    clocks: OffsetRange,
    /// Handshakes that passed two points one after the other, and how long they were under way between them.
    points: OffsetRange,
}

/// Differences of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OffsetRange {
    count: u64,
    /// The shortest and the longest.
    range: (Span, Span),
}

impl Default for OffsetRange {
    fn default() -> Self {
        Self { count: 0, range: (Span::from_nanos(i64::MAX), Span::from_nanos(i64::MIN)) }
    }
}

impl OffsetRange {
    fn add(&mut self, difference: Span, counts: bool) {
        self.count += u64::from(counts);
        self.range = (self.range.0.min(difference), self.range.1.max(difference));
    }

    fn plus(self, other: Self) -> Self {
        let range = (self.range.0.min(other.range.0), self.range.1.max(other.range.1));
        Self { count: self.count + other.count, range }
    }

    fn middle(&self) -> Span {
        let (least, most) = self.range;
        least.plus(most.minus(least).scaled(1, 2))
    }
}

impl Offsets {
    /// A bridge or a mirror port duplicates within milliseconds; clocks of different hosts differ by more.
    const LEAST: Span = Span::from_millis(100);

    /// Adds the difference between a SYN and its duplicate after the answer.
    pub(super) fn add(&mut self, offset: Span) {
        if offset.abs() >= Self::LEAST {
            self.clocks.add(offset, true);
        }
    }

    /// Adds two points of a handshake, which counts once however many it passed.
    pub(super) fn add_points(&mut self, sample: &ClockSample) {
        if sample.clocks.abs() >= Self::LEAST {
            self.clocks.add(sample.clocks, sample.is_first);
        } else {
            self.points.add(sample.under_way, sample.is_first);
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { clocks: self.clocks.plus(other.clocks), points: self.points.plus(other.points) }
    }

    /// The difference of two clocks, if all handshakes that show one agree, and the number of these. A few beside many that
    /// passed two points by one clock lost a packet between these.
    #[must_use]
    pub fn clocks(&self) -> Option<(Span, u64)> {
        /// Handshakes by one clock for each that shows two, at most.
        const MAX_BY_ONE: u64 = 4;
        let (least, most) = self.clocks.range;
        let agree = self.clocks.count > 0 && most.minus(least) <= Self::LEAST;
        let many = self.clocks.count.saturating_mul(MAX_BY_ONE) >= self.points.count;
        (agree && many).then(|| (self.clocks.middle(), self.clocks.count))
    }

    /// The time between two points of the path, and the number of handshakes that passed both.
    #[must_use]
    pub fn points(&self) -> Option<(Span, u64)> {
        (self.points.count > 0).then(|| (self.points.middle(), self.points.count))
    }
}
