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

/// Emptied buckets whose room is kept: more than the wheel passes between two packets of a busy capture.
const MOST_SPARE: usize = 32;

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
    buckets: Box<[Vec<u32>]>,
    /// Room of buckets that were emptied.
    spare: Vec<Vec<u32>>,
    /// The wheel has been turned up to this bucket number (not yet taken modulo the wheel's size).
    turned: Option<i64>,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { buckets: vec![Vec::new(); BUCKETS].into_boxed_slice(), spare: Vec::new(), turned: None }
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
            let notes = &mut self.buckets[usize::from(bucket.0)];
            if notes.capacity() == 0 {
                *notes = self.spare.pop().unwrap_or_default();
            }
            notes.push(at);
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

    /// Takes the notes of a bucket.
    pub(super) fn empty(&mut self, number: i64) -> (Bucket, Vec<u32>) {
        let bucket = Bucket::of(number);
        (bucket, std::mem::take(&mut self.buckets[usize::from(bucket.0)]))
    }

    /// Takes back what [`Self::empty`] gave, for its room.
    pub(super) fn recycle(&mut self, mut notes: Vec<u32>) {
        if notes.capacity() > 0 && self.spare.len() < MOST_SPARE {
            notes.clear();
            self.spare.push(notes);
        }
    }
}

fn number(at: Timestamp) -> i64 {
    at.as_nanos() >> BUCKET_BITS
}
