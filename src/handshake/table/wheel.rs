//! The timing wheel: positions by the time when they are to be looked at.
//!
//! Owns notes, not deadlines: an entry whose deadline moves is noted again or found too early, and a note
//! whose entry has left is found in vain. So nothing is ever searched for or unlinked.

use std::ops::RangeInclusive;

use crate::packet::Timestamp;

/// A bucket spans 2^25 ns, about 34 ms: few entries are found too early.
const BUCKET_BITS: u32 = 25;

/// 8192 buckets span 275 s, beyond the longest deadline any attempt asks for.
const BUCKETS: usize = 8192;

/// When the wheel comes by for an entry: the number of its bucket, not yet taken modulo the wheel's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn(i64);

impl Turn {
    /// It does not.
    pub(super) const NEVER: Self = Self(i64::MAX);

    /// When it comes by for what is due at this time.
    pub(super) const fn at(due: Timestamp) -> Self {
        Self(due.as_nanos() >> BUCKET_BITS)
    }

    const fn bucket(self) -> usize {
        self.0.rem_euclid(BUCKETS as i64) as usize
    }

    /// Whether a note for this turn is in the bucket of `other`.
    pub(super) fn shares_bucket(self, other: Self) -> bool {
        self != Self::NEVER && self.bucket() == other.bucket()
    }
}

/// Notes of positions.
pub(super) struct Wheel {
    buckets: Box<[List]>,
    chunks: Vec<Chunk>,
    /// The first of the chunks that are free.
    free: u32,
    notes: usize,
    /// The wheel has been turned up to here.
    turned: Option<Turn>,
}

/// As many notes as the cache fetches together, and the next ones in the list.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Chunk {
    notes: [u32; NOTES],
    next: u32,
}

const NOTES: usize = 15;

/// No chunk.
const END: u32 = u32::MAX;

/// Notes: those in the first chunk, and all that follow it are full.
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
            notes: 0,
            turned: None,
        }
    }

    /// Notes a position for a turn, or, where that is past, for the next one; gives which it is.
    pub(super) fn note(&mut self, at: u32, turn: Turn) -> Turn {
        let turn = self.turned.map_or(turn, |turned| turn.max(turned));
        let list = &mut self.buckets[turn.bucket()];
        if list.first == END || list.used as usize == NOTES {
            let chunk = Chunk { notes: [0; NOTES], next: list.first };
            *list = List { first: self.free, used: 0 };
            if self.free == END {
                list.first = self.chunks.len() as u32;
                self.chunks.push(chunk);
            } else {
                self.free = std::mem::replace(&mut self.chunks[self.free as usize], chunk).next;
            }
        }
        self.chunks[list.first as usize].notes[list.used as usize % NOTES] = at;
        list.used += 1;
        self.notes += 1;
        turn
    }

    /// How many notes there are.
    pub(super) fn notes(&self) -> usize {
        self.notes
    }

    /// Forgets all notes.
    pub(super) fn clear(&mut self) {
        self.buckets.fill(List::EMPTY);
        self.chunks.clear();
        (self.free, self.notes) = (END, 0);
    }

    /// Turns the wheel to `now`; gives the turns that it passes, and the one that it reaches.
    pub(super) fn turn(&mut self, now: Timestamp) -> impl Iterator<Item = Turn> + use<> {
        let Turn(target) = Turn::at(now);
        // The first turn, and a jump of more than a whole one, visit every bucket once.
        let turned = self.turned.map_or(i64::MIN, |Turn(turned)| turned);
        self.turned = Some(Turn(turned.max(target)));
        let passed: RangeInclusive<i64> = turned.max(target.saturating_sub(BUCKETS as i64 - 1))..=target;
        passed.map(Turn)
    }

    /// Takes the notes of a turn out, to be read with [`Self::read`].
    pub(super) fn empty(&mut self, turn: Turn) -> List {
        std::mem::replace(&mut self.buckets[turn.bucket()], List::EMPTY)
    }

    /// Reads the next note of a list.
    pub(super) fn read(&mut self, list: &mut List) -> Option<u32> {
        let chunk = self.chunks.get_mut(list.first as usize)?;
        list.used -= 1;
        self.notes -= 1;
        let at = chunk.notes[list.used as usize % NOTES];
        if list.used == 0 {
            let next = std::mem::replace(&mut chunk.next, self.free);
            self.free = list.first;
            *list = List { first: next, used: NOTES as u32 };
        }
        Some(at)
    }
}
