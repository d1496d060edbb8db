//! The timing wheel: positions by the time when they are to be looked at.
//!
//! Owns entries, not deadlines: an entry whose deadline moves is scheduled again or found too early, and a
//! position whose entry has left is drained in vain. So nothing is ever searched for or unlinked.

use std::ops::RangeInclusive;

use crate::packet::Timestamp;

/// A bucket spans 2^25 ns, about 34 ms: few entries are found too early.
const BUCKET_BITS: u32 = 25;

/// 8192 buckets span 275 s, beyond the longest deadline any attempt asks for.
const BUCKETS: usize = 8192;

/// A time of checks, in units of one bucket's span: the number of the bucket, not yet modulo the wheel's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WheelTick(i64);

impl WheelTick {
    /// Never checked.
    pub(super) const NEVER: Self = Self(i64::MAX);

    /// The check of entries that are due at this time.
    pub(super) const fn at(due: Timestamp) -> Self {
        Self(due.as_nanos() >> BUCKET_BITS)
    }

    const fn bucket(self) -> usize {
        self.0.rem_euclid(BUCKETS as i64) as usize
    }

    /// True if an entry scheduled for this turn is in the bucket of `other`.
    pub(super) fn shares_bucket(self, other: Self) -> bool {
        self != Self::NEVER && self.bucket() == other.bucket()
    }
}

/// Positions of entries, by the time of their check.
pub(super) struct Wheel {
    buckets: Box<[List]>,
    chunks: Vec<Chunk>,
    /// The first of the chunks that are free.
    free: u32,
    entries: usize,
    /// The wheel has been advanced up to here.
    turned: Option<WheelTick>,
}

/// Positions that share a cache line, and the next chunk of the list.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Chunk {
    entries: [u32; CHUNK_ENTRIES],
    next: u32,
}

const CHUNK_ENTRIES: usize = 15;

/// No chunk.
const END: u32 = u32::MAX;

/// Positions of one bucket: a list of chunks, of which only the first is not full.
#[derive(Clone, Copy)]
pub(super) struct List {
    first: u32,
    used: u32,
}

impl List {
    const EMPTY: Self = Self { first: END, used: 0 };
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            buckets: vec![List::EMPTY; BUCKETS].into_boxed_slice(),
            chunks: Vec::new(),
            free: END,
            entries: 0,
            turned: None,
        }
    }

    /// Schedules a position at `turn`, or where that is past at the current turn; returns the turn used.
    pub(super) fn insert(&mut self, at: u32, turn: WheelTick) -> WheelTick {
        let turn = self.turned.map_or(turn, |turned| turn.max(turned));
        let list = &mut self.buckets[turn.bucket()];
        if list.first == END || list.used as usize == CHUNK_ENTRIES {
            let chunk = Chunk { entries: [0; CHUNK_ENTRIES], next: list.first };
            *list = List { first: self.free, used: 0 };
            if self.free == END {
                list.first = self.chunks.len() as u32;
                self.chunks.push(chunk);
            } else {
                self.free = std::mem::replace(&mut self.chunks[self.free as usize], chunk).next;
            }
        }
        self.chunks[list.first as usize].entries[list.used as usize % CHUNK_ENTRIES] = at;
        list.used += 1;
        self.entries += 1;
        turn
    }

    /// Number of entries.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Forgets all entries.
    pub(super) fn clear(&mut self) {
        self.buckets.fill(List::EMPTY);
        self.chunks.clear();
        (self.free, self.entries) = (END, 0);
    }

    /// Turns the wheel to `now`; gives the turns that it passes, and the one that it reaches.
    pub(super) fn advance(&mut self, now: Timestamp) -> impl Iterator<Item = WheelTick> + use<> {
        let WheelTick(target) = WheelTick::at(now);
        // The first turn, and a jump of more than a whole one, visit every bucket once.
        let turned = self.turned.map_or(i64::MIN, |WheelTick(turned)| turned);
        self.turned = Some(WheelTick(turned.max(target)));
        let passed: RangeInclusive<i64> = turned.max(target.saturating_sub(BUCKETS as i64 - 1))..=target;
        passed.map(WheelTick)
    }

    /// Takes the entries of a turn out, to be read with [`Self::drain`].
    pub(super) fn empty(&mut self, turn: WheelTick) -> List {
        std::mem::replace(&mut self.buckets[turn.bucket()], List::EMPTY)
    }

    /// Reads the next note of a list.
    pub(super) fn drain(&mut self, list: &mut List) -> Option<u32> {
        let chunk = self.chunks.get_mut(list.first as usize)?;
        list.used -= 1;
        self.entries -= 1;
        let at = chunk.entries[list.used as usize % CHUNK_ENTRIES];
        if list.used == 0 {
            let next = std::mem::replace(&mut chunk.next, self.free);
            self.free = list.first;
            *list = List { first: next, used: CHUNK_ENTRIES as u32 };
        }
        Some(at)
    }
}
