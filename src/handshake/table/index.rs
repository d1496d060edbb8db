//! The index of flows: which of them are in the slab, and which were decided and are still remembered.
//!
//! Owns one word per flow, in one array, so that a packet costs one cache line to learn that its connection
//! is an old acquaintance. Does not own the entries of the slab.
//!
//! Open addressing with linear probing. A word is never taken out alone: a flow that leaves the slab is
//! remembered for a while, and what is forgotten is left behind when the array is written anew.

/// All flows known, by hash.
///
/// The hash stands for a remembered flow: a false match needs a collision of two seeded hashes in 62 bits.
pub(super) struct Index {
    /// A power of two of them.
    words: Box<[u64]>,
    /// Words that are not empty.
    used: usize,
    /// Remembered flows that were heard of in this generation.
    young: usize,
}

/// What the index knows of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is at this position of the slab.
    Slot(u32),
    /// It was decided and has left the slab.
    Remembered,
}

/// The lowest two bits of a word say what it is. That of a slot has the upper half of the hash and, between the
/// halves' border and these bits, the position; that of a remembered flow the rest of the hash.
const STATE: u64 = 3;
const EMPTY: u64 = 0;
const SLOT: u64 = 1;
const OLD: u64 = 2;
const YOUNG: u64 = 3;
const STATE_BITS: u32 = STATE.count_ones();

/// The upper half of the hash.
const TAG: u64 = u64::MAX << 32;

/// Words to begin with.
const LEAST: usize = 1024;

impl Index {
    /// Positions that a word has room for.
    pub(super) const MOST_SLOTS: u32 = 1 << (32 - STATE_BITS);

    pub(super) fn new() -> Self {
        Self { words: vec![EMPTY; LEAST].into_boxed_slice(), used: 0, young: 0 }
    }

    /// Where a flow's word is looked for first. By the low bits: shards are chosen by the high ones.
    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        (hash >> STATE_BITS) as usize & (self.words.len() - 1)
    }

    /// Asks the cache for the line where a flow's word most likely is.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u64) {
        super::prefetch(self.words.as_ptr().wrapping_add(self.home(hash)));
    }

    /// Finds a flow, and hears of it: a remembered one is remembered for another generation. `same` tells
    /// whether a slot of the right tag is the flow's.
    #[inline(always)]
    pub(super) fn find(&mut self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<Entry> {
        let mut place = self.home(hash);
        loop {
            let word = self.words.get_mut(place)?;
            if *word == EMPTY {
                return None;
            }
            let difference = *word ^ hash;
            if difference & TAG == 0 {
                match *word & STATE {
                    SLOT if same(position(*word)) => return Some(Entry::Slot(position(*word))),
                    OLD | YOUNG if difference & !STATE == 0 => {
                        self.young += usize::from(*word & STATE == OLD);
                        *word |= YOUNG;
                        return Some(Entry::Remembered);
                    }
                    _ => {}
                }
            }
            place = (place + 1) & (self.words.len() - 1);
        }
    }

    /// Notes that a flow is in the slab now; it must not have been there. `hash_of` gives the hash of the
    /// flow at a position.
    pub(super) fn enter(&mut self, hash: u64, at: u32, hash_of: impl Fn(u32) -> u64) {
        if self.used >= self.words.len() / 8 * 5 {
            self.rewrite(hash_of, |state| state);
        }
        let new = hash & TAG | u64::from(at) << STATE_BITS | SLOT;
        let mut place = self.home(hash);
        while let Some(word) = self.words.get_mut(place) {
            let state = *word & STATE;
            let remembered = matches!(state, OLD | YOUNG) && (*word ^ hash) & !STATE == 0;
            if state == EMPTY || remembered {
                self.used += usize::from(state == EMPTY);
                self.young -= usize::from(state == YOUNG);
                *word = new;
                return;
            }
            place = (place + 1) & (self.words.len() - 1);
        }
    }

    /// Notes that a flow has left the slab, and is remembered.
    pub(super) fn leave(&mut self, hash: u64, at: u32) {
        let old = hash & TAG | u64::from(at) << STATE_BITS | SLOT;
        let mut place = self.home(hash);
        while let Some(word) = self.words.get_mut(place) {
            if *word == old {
                *word = hash | YOUNG;
                self.young += 1;
                return;
            }
            if *word == EMPTY {
                return;
            }
            place = (place + 1) & (self.words.len() - 1);
        }
    }

    /// How many remembered flows were heard of since [`Self::age`].
    pub(super) fn young(&self) -> usize {
        self.young
    }

    /// Forgets the remembered flows that were silent since the last call.
    pub(super) fn age(&mut self, hash_of: impl Fn(u32) -> u64) {
        self.rewrite(hash_of, |state| match state {
            OLD => EMPTY,
            YOUNG => OLD,
            state => state,
        });
        self.young = 0;
    }

    /// Writes the array anew, at most half full; `become_` says what becomes of a word by its state.
    fn rewrite(&mut self, hash_of: impl Fn(u32) -> u64, become_: impl Fn(u64) -> u64) {
        let stays = |&&word: &&u64| become_(word & STATE) != EMPTY;
        let used = self.words.iter().filter(stays).count();
        let size = (used * 2 + 1).next_power_of_two().max(LEAST);
        let words = std::mem::replace(&mut self.words, vec![EMPTY; size].into_boxed_slice());
        self.used = used;
        for word in words.iter().filter(stays) {
            let state = become_(word & STATE);
            let hash = if state == SLOT { hash_of(position(*word)) } else { *word };
            let mut place = self.home(hash);
            while self.words.get(place).is_some_and(|&word| word != EMPTY) {
                place = (place + 1) & (size - 1);
            }
            if let Some(free) = self.words.get_mut(place) {
                *free = *word & !STATE | state;
            }
        }
    }
}

#[inline(always)]
fn position(word: u64) -> u32 {
    word as u32 >> STATE_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash whose word has the same home as any other's below 2^20 of the same parity of `n`.
    fn hash(n: u64) -> u64 {
        n << 32 | (n % 2) << STATE_BITS
    }

    #[test]
    fn flows_that_share_a_home_are_told_apart_through_growth_and_ageing() {
        fn expect(index: &mut Index, remembered: impl Fn(u64) -> bool) {
            for n in 1..3_000 {
                let slot = (n % 3 != 0).then_some(Entry::Slot(n as u32));
                let entry = slot.or(remembered(n).then_some(Entry::Remembered));
                assert_eq!(index.find(hash(n), |at| u64::from(at) == n), entry, "{n}");
            }
            assert_eq!(index.find(hash(3_001), |_| false), None);
        }
        let hash_of = |at: u32| hash(u64::from(at));
        let mut index = Index::new();
        (1..3_000).for_each(|n| index.enter(hash(n), n as u32, hash_of));
        (1..3_000).filter(|n| n % 3 == 0).for_each(|n| index.leave(hash(n), n as u32));
        assert_eq!(index.young(), 999);
        expect(&mut index, |_| true);
        index.age(hash_of);
        assert_eq!(index.young(), 0);
        for n in [3, 6] {
            assert_eq!(index.find(hash(n), |_| false), Some(Entry::Remembered));
        }
        assert_eq!(index.young(), 2);
        index.age(hash_of);
        expect(&mut index, |n| n == 3 || n == 6);
    }

    #[test]
    fn a_remembered_flow_that_comes_back_is_in_the_slab_only() {
        let mut index = Index::new();
        index.enter(8, 1, |_| 8);
        index.leave(8, 1);
        assert_eq!(index.find(8, |_| true), Some(Entry::Remembered));
        index.enter(8, 2, |_| 8);
        assert_eq!(index.young(), 0);
        assert_eq!(index.find(8, |at| at == 2), Some(Entry::Slot(2)));
        index.age(|_| 8);
        assert_eq!(index.find(8, |at| at == 2), Some(Entry::Slot(2)));
    }
}
