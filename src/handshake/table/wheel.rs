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

/// Which bucket holds an entry's note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket(u16);

impl Bucket {
    /// None does.
    pub(super) const NONE: Self = Self(u16::MAX);

    fn of(number: i64) -> Self {
        Self(number.rem_euclid(BUCKETS as i64) as u16)
    }
}

/// Notes of positions.
pub(super) struct Wheel {
    /// The first note of each bucket.
    buckets: Box<[u32]>,
    notes: Vec<Note>,
    /// The first of the notes that are free.
    free: u32,
    /// The wheel has been turned up to this bucket number (not yet taken modulo the wheel's size).
    turned: Option<i64>,
}

/// A note, and the next one in its list.
#[derive(Clone, Copy)]
struct Note {
    at: u32,
    next: u32,
}

/// The end of a list.
const END: u32 = u32::MAX;

/// Notes that were taken out of their bucket, and not yet read.
pub(super) struct List(u32);

impl Wheel {
    pub(super) fn new() -> Self {
        Self { buckets: vec![END; BUCKETS].into_boxed_slice(), notes: Vec::new(), free: END, turned: None }
    }

    /// Notes a position for the time `due`.
    pub(super) fn note(&mut self, at: u32, due: Timestamp) -> Bucket {
        self.note_again(at, due, Bucket::NONE)
    }

    /// Notes a position for the time `due`, if that is not where it is noted already.
    pub(super) fn note_again(&mut self, at: u32, due: Timestamp, noted: Bucket) -> Bucket {
        let number = number(due);
        // Never behind the wheel: an entry that is already due goes where the wheel stands.
        let bucket = Bucket::of(self.turned.map_or(number, |turned| number.max(turned)));
        if bucket != noted {
            let first = &mut self.buckets[usize::from(bucket.0)];
            let note = Note { at, next: *first };
            if self.free == END {
                *first = self.notes.len() as u32;
                self.notes.push(note);
            } else {
                *first = self.free;
                self.free = std::mem::replace(&mut self.notes[self.free as usize], note).next;
            }
        }
        bucket
    }

    /// Turns the wheel to `now`; gives the numbers of the buckets it passes, and of the one it reaches.
    pub(super) fn turn(&mut self, now: Timestamp) -> RangeInclusive<i64> {
        let target = number(now);
        // The first turn, and a jump of more than a whole turn, visit every bucket once.
        let turned = self.turned.unwrap_or(i64::MIN);
        self.turned = Some(turned.max(target));
        turned.max(target.saturating_sub(BUCKETS as i64 - 1))..=target
    }

    /// Takes the notes out of a bucket, to be read with [`Self::read`].
    pub(super) fn empty(&mut self, number: i64) -> (Bucket, List) {
        let bucket = Bucket::of(number);
        (bucket, List(std::mem::replace(&mut self.buckets[usize::from(bucket.0)], END)))
    }

    /// Reads the next note of a list.
    pub(super) fn read(&mut self, list: &mut List) -> Option<u32> {
        let place = list.0;
        let note = self.notes.get_mut(place as usize)?;
        list.0 = std::mem::replace(&mut note.next, self.free);
        self.free = place;
        Some(note.at)
    }
}

fn number(at: Timestamp) -> i64 {
    at.as_nanos() >> BUCKET_BITS
}
