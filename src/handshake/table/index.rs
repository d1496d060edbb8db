//! The index of flows: which of them are in the slab, and which were settled and are still remembered.
//!
//! Owns eight bytes per flow, grouped by cache line: one line shows whether a packet's flow is known. Does not own the
//! entries of the slab.
//!
//! Open addressing by lines, which fill from the front. A cell of a full line is never emptied, since flows that did not fit
//! there are in the lines after it: a flow that leaves the slab is remembered for a while, or its cell is marked as left,
//! and `rewrite` builds all lines anew without forgotten flows.

use std::hint::select_unpredictable;

use crate::prefetch::prefetch;

/// All known flows, by hash.
///
/// The hash stands for a remembered flow: a false match needs a collision of two seeded hashes in 62 bits.
pub(super) struct Index {
    /// A power of two of them.
    lines: Box<[CacheLine]>,
    /// Cells that are not empty.
    used: usize,
    /// Remembered flows that had packets in this generation.
    young: usize,
}

/// Flows that share a cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct CacheLine {
    /// The upper halves of the hashes.
    tags: [u32; LINE],
    cells: [Cell; LINE],
}

const LINE: usize = 8;

/// A flow's entry in the index, in one word: its lowest two bits tell whether it is in the slab, and the
/// others where, or else they are the rest of its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::handshake) struct Cell(u32);

impl Cell {
    /// Nothing is known of the flow.
    pub(in crate::handshake) const EMPTY: Self = Self(0);
    const SLOT: u32 = 1;
    const OLD: u32 = 2;
    const YOUNG: u32 = 3;
    const STATE: u32 = 3;
    const STATE_BITS: u32 = Self::STATE.count_ones();

    /// Left by a flow that is not remembered, in a full line.
    const LEFT: Self = Self(Self::OLD);

    /// Of a flow in the slab: it is settled, and only what may open an attempt is of interest.
    const SETTLED: u32 = 1 << 31;

    fn slot(at: u32) -> Self {
        Self(at << Self::STATE_BITS | Self::SLOT)
    }

    fn remembered(hash: u64, state: u32) -> Self {
        Self(hash as u32 & !Self::STATE | state)
    }

    fn state(self) -> u32 {
        self.0 & Self::STATE
    }

    /// The position in the slab of a flow that is there.
    #[inline(always)]
    pub(in crate::handshake) fn position(self) -> Option<u32> {
        (self.state() == Self::SLOT).then_some((self.0 & !Self::SETTLED) >> Self::STATE_BITS)
    }

    /// True if the flow is settled, and of its packets only those that may open an attempt matter. False for an old
    /// remembered flow: its next packet must mark it as young.
    #[inline(always)]
    pub(in crate::handshake) fn is_settled(self, hash: u64) -> bool {
        let settled = self.0 & (Self::SETTLED | Self::STATE) == Self::SETTLED | Self::SLOT;
        settled | (self == Self::remembered(hash, Self::YOUNG))
    }

    /// Whether the flow of this hash was settled and has left the slab.
    #[inline(always)]
    fn remembers(self, hash: u64) -> bool {
        // The states of a remembered flow differ in the lowest bit.
        Self(self.0 | 1) == Self::remembered(hash, Self::YOUNG)
    }
}

impl CacheLine {
    const EMPTY: Self = Self { tags: [0; LINE], cells: [Cell::EMPTY; LINE] };

    /// Bit mask of the cells that may belong to a hash, in the lowest eight bits.
    #[inline(always)]
    fn alike(&self, hash: u64) -> u32 {
        places_of(self.tags, (hash >> 32) as u32)
    }

    fn is_full(&self) -> bool {
        self.cells[LINE - 1] != Cell::EMPTY
    }

    /// Forgets its old flows, and makes its young ones old; returns the number of cells that are not empty. Without branches: no
    /// predictor can guess the states.
    fn age(&mut self) -> usize {
        let gone = select_unpredictable(self.is_full(), Cell::LEFT, Cell::EMPTY);
        let mut used = 0;
        for place in 0..LINE {
            let (tag, cell) = (self.tags[place], self.cells[place]);
            let is_old = cell.state() == Cell::OLD;
            let is_young = cell.state() == Cell::YOUNG;
            let aged = Cell(cell.0 - u32::from(is_young) * (Cell::YOUNG - Cell::OLD));
            (self.tags[place], self.cells[place]) = (0, Cell::EMPTY);
            (self.tags[used], self.cells[used]) = select_unpredictable(is_old, (0, gone), (tag, aged));
            used += usize::from(self.cells[used] != Cell::EMPTY);
        }
        used
    }

    /// The first empty cell of a line that is not full.
    #[inline(always)]
    fn first_empty(&self) -> usize {
        places_of(self.cells.map(|cell| cell.0), Cell::EMPTY.0).trailing_zeros() as usize % LINE
    }
}

/// Bit mask of the places that hold a word, in the lowest eight bits. Without a branch: what a packet's flow is cannot be
/// predicted.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the vector instructions have no safe wrappers")]
#[inline(always)]
fn places_of(words: [u32; LINE], word: u32) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi32, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32, _mm_set_epi32, _mm_set1_epi32,
    };
    let [a, b, c, d, e, f, g, h] = words.map(u32::cast_signed);
    // SAFETY: SSE2 is part of the architecture.
    unsafe {
        let word = _mm_set1_epi32(word.cast_signed());
        let low = _mm_cmpeq_epi32(_mm_set_epi32(d, c, b, a), word);
        let high = _mm_cmpeq_epi32(_mm_set_epi32(h, g, f, e), word);
        let mask = _mm_packs_epi16(_mm_packs_epi32(low, high), _mm_set1_epi32(0));
        _mm_movemask_epi8(mask).cast_unsigned()
    }
}

/// As above; the compiler finds the vectors.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn places_of(words: [u32; LINE], word: u32) -> u32 {
    const BITS: [u32; LINE] = [1, 2, 4, 8, 16, 32, 64, 128];
    let bit = |(&other, bit)| if other == word { bit } else { 0 };
    words.iter().zip(BITS).map(bit).fold(0, |bits, bit| bits | bit)
}

/// Lines to begin with.
const LEAST: usize = 16;

/// More lines than needed, by this factor, are too many.
const ROOMY: usize = 4;

/// Number of lines that so many cells fill by half at most.
const fn lines_for(cells: usize) -> usize {
    let lines = (cells * 2 / LINE + 1).next_power_of_two();
    if lines < LEAST { LEAST } else { lines }
}

impl Index {
    /// Positions that a cell has room for.
    pub(super) const MAX_SLOTS: u32 = Cell::SETTLED >> Cell::STATE_BITS;

    pub(super) fn new() -> Self {
        Self { lines: vec![CacheLine::EMPTY; LEAST].into_boxed_slice(), used: 0, young: 0 }
    }

    /// The line where a flow is looked for first. By the low bits: shards are chosen by the high ones.
    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        (hash as u32 >> Cell::STATE_BITS) as usize & (self.lines.len() - 1)
    }

    /// Asks the cache for the line where a flow most likely is.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(self.lines.as_ptr().wrapping_add(self.home(hash)));
    }

    /// The probable cell of a flow; empty where there is none, or more than one may be.
    #[inline(always)]
    pub(super) fn guess(&self, hash: u64) -> Cell {
        let mut home = self.home(hash);
        loop {
            let line = &self.lines[home];
            let alike = line.alike(hash);
            // No branch but this, which is hardly ever taken.
            if alike | u32::from(!line.is_full()) == 0 {
                home = (home + 1) & (self.lines.len() - 1);
                continue;
            }
            let cell = line.cells[(alike | 1 << LINE).trailing_zeros() as usize % LINE];
            // Several cells match: only the key decides.
            return select_unpredictable(alike.is_power_of_two(), cell, Cell::EMPTY);
        }
    }

    /// Finds a flow, and marks it as young. `same` returns whether a slot of the right tag is the flow's.
    pub(super) fn find(&mut self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Cell {
        let is = |cell: Cell| cell.position().map_or_else(|| cell.remembers(hash), &mut same);
        let Some(cell) = self.cell(hash, is) else { return Cell::EMPTY };
        let known = *cell;
        if known.state() != Cell::OLD {
            return known;
        }
        let young = Cell::remembered(hash, Cell::YOUNG);
        *cell = young;
        self.young += 1;
        young
    }

    /// The cell of a hash for which `is` holds.
    fn cell(&mut self, hash: u64, is: impl FnMut(Cell) -> bool) -> Option<&mut Cell> {
        let (home, place) = self.place(hash, is)?;
        Some(&mut self.lines[home].cells[place])
    }

    /// The line and the place in it of a hash for which `is` holds.
    #[inline(always)]
    fn place(&self, hash: u64, mut is: impl FnMut(Cell) -> bool) -> Option<(usize, usize)> {
        let mut home = self.home(hash);
        loop {
            let line = &self.lines[home];
            let mut alike = line.alike(hash);
            while alike != 0 {
                let place = alike.trailing_zeros() as usize % LINE;
                if is(line.cells[place]) {
                    return Some((home, place));
                }
                alike &= alike - 1;
            }
            if !line.is_full() {
                return None;
            }
            home = (home + 1) & (self.lines.len() - 1);
        }
    }

    /// Notes that a flow is in the slab now, which was not there, and is remembered or not. `hash_of` gives the hash of
    /// the flow at a position, or anything where there is none.
    pub(super) fn insert(&mut self, hash: u64, at: u32, remembered: bool, hash_of: impl Fn(u32) -> u64) {
        if self.used >= self.lines.len() * LINE / 8 * 5 {
            self.rewrite(hash_of);
        }
        let cell = if remembered { self.cell(hash, |cell| cell.remembers(hash)) } else { None };
        match cell {
            Some(cell) => {
                let was = std::mem::replace(cell, Cell::slot(at));
                self.young -= usize::from(was.state() == Cell::YOUNG);
            }
            None => self.append(hash, Cell::slot(at)),
        }
    }

    /// Notes that a flow in the slab is settled.
    pub(super) fn settle(&mut self, hash: u64, at: u32) {
        if let Some(cell) = self.cell(hash, |cell| cell == Cell::slot(at)) {
            cell.0 |= Cell::SETTLED;
        }
    }

    /// Notes that a flow has left the slab, and is remembered.
    pub(super) fn remember(&mut self, hash: u64, at: u32) {
        if let Some(cell) = self.cell(hash, |cell| cell.position() == Some(at)) {
            *cell = Cell::remembered(hash, Cell::YOUNG);
            self.young += 1;
        }
    }

    /// Puts a cell into the first empty place for its hash.
    fn append(&mut self, hash: u64, cell: Cell) {
        let mut home = self.home(hash);
        while self.lines[home].is_full() {
            home = (home + 1) & (self.lines.len() - 1);
        }
        let line = &mut self.lines[home];
        let place = line.first_empty();
        line.tags[place] = (hash >> 32) as u32;
        line.cells[place] = cell;
        self.used += 1;
    }

    /// Number of remembered flows that had packets since [`Self::age`].
    pub(super) fn young(&self) -> usize {
        self.young
    }

    /// Forgets the remembered flows that were silent since the last call. `hash_of` as for [`Self::insert`].
    pub(super) fn age(&mut self, hash_of: impl Fn(u32) -> u64) {
        self.used = self.lines.iter_mut().map(CacheLine::age).sum();
        self.young = 0;
        if self.lines.len() > ROOMY * lines_for(self.used) {
            self.rewrite(hash_of);
        }
    }

    /// Writes the lines anew, at most half full.
    #[cold]
    #[inline(never)]
    fn rewrite(&mut self, hash_of: impl Fn(u32) -> u64) {
        // Without branches: no predictor can guess which cells stay, and which are in the slab.
        let stays = |cell: Cell| (cell != Cell::EMPTY) & (cell != Cell::LEFT);
        let cells = self.lines.iter().flat_map(|line| &line.cells);
        let most = cells.map(|&cell| usize::from(stays(cell))).sum::<usize>();
        let mut staying = vec![(0, Cell::EMPTY); most + 1];
        let mut count = 0;
        for (&tag, &cell) in self.lines.iter().flat_map(|line| line.tags.iter().zip(&line.cells)) {
            staying[count] = (tag, cell);
            count += usize::from(stays(cell));
        }
        staying.truncate(count);
        let size = lines_for(staying.len());
        // In place unless far too large: an allocator that is asked for the same again and again, aligned, while
        // the last is still in use, keeps both and more.
        if (size..=size * ROOMY).contains(&self.lines.len()) {
            self.lines.fill(CacheLine::EMPTY);
        } else {
            self.lines = Box::default();
            self.lines = vec![CacheLine::EMPTY; size].into_boxed_slice();
        }
        self.used = 0;
        for (tag, cell) in staying {
            let remembered = u64::from(tag) << 32 | u64::from(cell.0 & !Cell::STATE);
            let slot = cell.position();
            let hash = select_unpredictable(slot.is_some(), hash_of(slot.unwrap_or(0)), remembered);
            self.append(hash, cell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of many hashes that share two homes.
    fn hash(n: u64) -> u64 {
        n << 32 | (n % 2) << Cell::STATE_BITS
    }

    #[test]
    fn flows_that_share_a_home_stay_distinct_through_growth_and_ageing() {
        fn expect(index: &mut Index, remembered: impl Fn(u64) -> bool) {
            for n in 1..3_000 {
                let slot = (n % 3 != 0).then_some(Cell::slot(n as u32));
                let entry = slot
                    .or(remembered(n).then_some(Cell::remembered(hash(n), Cell::YOUNG)))
                    .unwrap_or(Cell::EMPTY);
                let found = index.find(hash(n), |at| u64::from(at) == n);
                assert_eq!(found, entry, "{n}");
                assert_eq!(index.guess(hash(n)), entry, "{n}");
            }
            assert_eq!(index.find(hash(3_001), |_| false), Cell::EMPTY);
        }
        let hash_of = |at: u32| hash(u64::from(at));
        let mut index = Index::new();
        (1..3_000).for_each(|n| index.insert(hash(n), n as u32, false, hash_of));
        (1..3_000).filter(|n| n % 3 == 0).for_each(|n| index.remember(hash(n), n as u32));
        assert_eq!(index.young(), 999);
        expect(&mut index, |_| true);
        index.age(hash_of);
        assert_eq!(index.young(), 0);
        for n in [3, 6] {
            assert!(index.find(hash(n), |_| false).remembers(hash(n)));
        }
        assert_eq!(index.young(), 2);
        index.age(hash_of);
        expect(&mut index, |n| n == 3 || n == 6);
    }

    #[test]
    fn a_remembered_flow_that_comes_back_is_in_the_slab_only() {
        let mut index = Index::new();
        index.insert(8, 1, false, |_| 8);
        index.remember(8, 1);
        assert!(index.find(8, |_| true).remembers(8));
        index.insert(8, 2, true, |_| 8);
        assert_eq!(index.young(), 0);
        assert_eq!(index.find(8, |at| at == 2), Cell::slot(2));
        index.age(|_| 8);
        assert_eq!(index.find(8, |at| at == 2), Cell::slot(2));
    }
}
