//! A table of undecided attempts: a slab, found by flow hash, in order of deadline and, by class, of age.
//!
//! Owns where entries are stored, in which order they are due, and which flows had an entry before. Does not own what
//! an entry means. Nothing here allocates per packet.

mod index;
#[cfg(test)]
mod tests;
mod wheel;

use std::collections::VecDeque;

pub(super) use self::index::Cell;
use self::index::Index;
use self::wheel::{Wheel, WheelTick};
use crate::packet::{FlowKey, Span, Timestamp};
use crate::prefetch::{prefetch, prefetch_all};

/// The position of an entry in the slab; valid until the entry is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(u32);

impl Position {
    /// The position in a [`Cell`].
    pub(super) const fn new(at: u32) -> Self {
        Self(at)
    }
}

/// Where a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The flow has an entry in the slab.
    Entry(Position),
    /// The flow has no entry any more; the index still holds its hash.
    Remembered,
    /// The flow is not known.
    Unknown,
}

/// An entry, or room for one.
///
/// In this order because waiting for cache lines is most of what a lookup in a large table costs: what
/// nearly every packet needs is in the first two, if the value begins with it. (Not aligned to lines: a
/// growing slab of aligned slots is copied, where others are remapped.)
#[repr(C)]
struct Slot<T> {
    key: FlowKey,
    value: Option<T>,
}

/// Fields that are read without loading the entry: half a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct SlotMeta {
    hash: u64,
    due: Timestamp,
    /// The turn of the wheel at which the entry is checked.
    scheduled: WheelTick,
    /// Number that distinguishes successive entries at one position; 0 where the entry has no age.
    serial: u32,
    /// The class that it is in, if it has an age.
    class: u8,
}

/// Entries by flow, oldest first and by deadline.
pub(super) struct Table<T> {
    index: Index,
    slots: Vec<Slot<T>>,
    /// Metadata, one for each slot. Apart from the slots, so that turning the wheel touches only those that are due.
    metas: Vec<SlotMeta>,
    free: Vec<u32>,
    wheel: Wheel,
    /// Entries that have an age, by class, oldest first. Those that have left a class since are still there until there
    /// are more of them than of others.
    ages: [VecDeque<Age>; CLASSES],
    /// Number of entries of each class that have an age.
    counts: [usize; CLASSES],
    inserted: u32,
    /// Insertions since the table was last looked at for entries that are out of date.
    untidied: u32,
}

/// A new entry of a table, without its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewEntry {
    /// The flow's place, as [`Table::find`] gave it.
    pub(super) place: Place,
    /// The hash of the flow.
    pub(super) hash: u64,
    pub(super) key: FlowKey,
    /// The deadline.
    pub(super) due: Timestamp,
    /// Time at which the deadline is checked first: most entries are gone, or due at another time, by then.
    pub(super) soon: Timestamp,
    /// The place in the order of age: ascends within a class.
    pub(super) order: u64,
}

/// Classes of age: entries of one are older or younger than one another, by the order in which they entered it.
pub(super) const CLASSES: usize = 4;

/// An entry's place in the order of its class.
#[derive(Debug, Clone, Copy)]
struct Age {
    at: u32,
    serial: u32,
    /// As given by the caller: ascends within a class.
    order: u64,
}

/// Entries that a new table has room for: a larger one moves without being copied, and room that is not used takes no memory.
const ROOM: usize = 512;

/// Entries of `ages` that may be out of date in a small table.
const SLACK: usize = 4096;

/// Insertions after which the table is looked at for entries that are out of date.
const TIDIED_EVERY: u32 = 64;

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self {
            index: Index::new(),
            slots: Vec::with_capacity(ROOM),
            metas: Vec::with_capacity(ROOM),
            free: Vec::new(),
            wheel: Wheel::new(),
            ages: std::array::from_fn(|_| VecDeque::new()),
            counts: [0; CLASSES],
            inserted: 0,
            untidied: 0,
        }
    }

    /// Number of entries that have an age.
    pub(super) fn aged(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Number of entries of a class.
    pub(super) fn count(&self, class: usize) -> usize {
        self.counts[class % CLASSES]
    }

    /// Prefetches what [`Self::guess`] needs.
    #[inline(always)]
    pub(super) fn prefetch_index(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Prefetches the beginning of an entry that was collected, and what [`Self::remove`] needs beside it.
    pub(super) fn prefetch_removal(&self, at: Position) {
        prefetch(self.slots.as_ptr().wrapping_add(at.0 as usize));
        if let Some(meta) = self.metas.get(at.0 as usize) {
            self.index.prefetch(meta.hash);
        }
    }

    /// Finds the place of a flow. A remembered one is remembered for another generation.
    #[inline(always)]
    pub(super) fn find(&mut self, hash: u64, key: &FlowKey) -> Place {
        let slots = &self.slots;
        match self.index.find(hash, |at| slots[at as usize].key.is(key)) {
            Cell::EMPTY => Place::Unknown,
            cell => cell.position().map_or(Place::Remembered, |at| Place::Entry(Position(at))),
        }
    }

    /// Probable state of a flow, by its hash alone, without loading the entry.
    #[inline(always)]
    pub(super) fn guess(&self, hash: u64) -> Cell {
        self.index.guess(hash)
    }

    /// The entry that a guess of [`Self::guess`] means, if it is right.
    #[inline(always)]
    pub(super) fn check(&self, cell: Cell, key: &FlowKey) -> Option<Position> {
        cell.position().map(Position).filter(|&at| self.holds(at, key))
    }

    /// Asks the cache for the entry at a position.
    #[inline(always)]
    pub(super) fn prefetch(&self, at: Position) {
        prefetch_all(self.slots.get(at.0 as usize));
        prefetch(self.metas.as_ptr().wrapping_add(at.0 as usize));
    }

    /// One of the positions that the next new entries get, by any number; the first one where none is free.
    #[inline(always)]
    pub(super) fn some_free(&self, number: u32) -> Position {
        /// Positions between which it chooses: as many new entries as come before one that is prefetched now.
        const NEXT: usize = 4;
        let place = self.free.len().wrapping_sub(1 + number as usize % NEXT);
        Position(self.free.get(place).copied().unwrap_or(0))
    }

    /// True if the entry at a position is `key`'s.
    #[inline(always)]
    fn holds(&self, at: Position, key: &FlowKey) -> bool {
        self.slots.get(at.0 as usize).is_some_and(|slot| slot.key.is(key) & slot.value.is_some())
    }

    pub(super) fn get(&self, at: Position) -> Option<&T> {
        self.slots.get(at.0 as usize)?.value.as_ref()
    }

    pub(super) fn get_mut(&mut self, at: Position) -> Option<&mut T> {
        self.slots[at.0 as usize].value.as_mut()
    }

    pub(super) fn key(&self, at: Position) -> FlowKey {
        self.slots[at.0 as usize].key
    }

    /// Adds an entry as the youngest of class 0, for a flow that has none. `None` when there is no position left.
    #[inline(always)]
    pub(super) fn insert(&mut self, entry: NewEntry, value: T) -> Option<Position> {
        let NewEntry { place, hash, key, due, soon, order } = entry;
        let at = self.free.pop().or_else(|| self.grow(key))?;
        self.inserted = self.inserted.wrapping_add(1).max(1);
        let serial = self.inserted;
        // Field by field: a whole slot would be made elsewhere and copied.
        let slot = &mut self.slots[at as usize];
        slot.key = key;
        slot.value = Some(value);
        let scheduled = self.wheel.insert(at, WheelTick::at(due.min(soon)));
        self.metas[at as usize] = SlotMeta { hash, due, scheduled, serial, class: 0 };
        let metas = &self.metas;
        let remembered = place == Place::Remembered;
        self.index.insert(hash, at, remembered, |at| metas.get(at as usize).map_or(0, |meta| meta.hash));
        self.counts[0] += 1;
        self.ages[0].push_back(Age { at, serial, order });
        self.untidied += 1;
        if self.untidied >= TIDIED_EVERY {
            self.untidied = 0;
            self.prune_ages();
            if self.wheel.entries() > 2 * self.metas.len() + SLACK {
                self.rebuild_wheel();
            }
        }
        Some(Position(at))
    }

    /// Schedules all entries again, without the stale wheel entries of those that left: while time stands still,
    /// nothing else drains them.
    #[cold]
    fn rebuild_wheel(&mut self) {
        self.wheel.clear();
        for (meta, at) in
            self.metas.iter_mut().zip(0..).filter(|(meta, _)| meta.scheduled != WheelTick::NEVER)
        {
            meta.scheduled = self.wheel.insert(at, meta.scheduled);
        }
    }

    /// Makes room for one more entry.
    #[cold]
    fn grow(&mut self, key: FlowKey) -> Option<u32> {
        let at = u32::try_from(self.slots.len()).ok().filter(|&at| at < Index::MAX_SLOTS)?;
        // In place: a whole slot would be made elsewhere and copied.
        self.slots.extend(std::iter::once_with(|| Slot { key, value: None }));
        self.metas.push(SlotMeta {
            hash: 0,
            due: Timestamp::default(),
            scheduled: WheelTick::NEVER,
            serial: 0,
            class: 0,
        });
        Some(at)
    }

    /// Moves an entry that has an age to the end of another class.
    #[inline(always)]
    pub(super) fn reclassify(&mut self, at: Position, class: usize, order: u64) {
        let Some(meta) = self.metas.get_mut(at.0 as usize).filter(|meta| meta.serial != 0) else { return };
        self.inserted = self.inserted.wrapping_add(1).max(1);
        meta.serial = self.inserted;
        let class = class % CLASSES;
        self.counts[usize::from(meta.class) % CLASSES] -= 1;
        self.counts[class] += 1;
        meta.class = class as u8;
        self.ages[class].push_back(Age { at: at.0, serial: self.inserted, order });
    }

    /// Drops entries of `ages` that are out of date once they are the most.
    #[cold]
    fn prune_ages(&mut self) {
        let kept: usize = self.ages.iter().map(VecDeque::len).sum();
        if kept > 2 * self.aged() + SLACK {
            let metas = &self.metas;
            self.ages.iter_mut().for_each(|ages| ages.retain(|age| has_age(metas, age)));
        }
    }

    /// Removes an entry; its flow is remembered.
    pub(super) fn remove(&mut self, at: Position) {
        let slot = &mut self.slots[at.0 as usize];
        if slot.value.is_none() {
            return;
        }
        slot.value = None;
        let meta = &mut self.metas[at.0 as usize];
        meta.scheduled = WheelTick::NEVER;
        self.index.remember(meta.hash, at.0);
        self.forget_age(at);
        self.free.push(at.0);
    }

    /// Removes an entry's age, so that it no longer counts as undecided. It expires at `due`, or slightly later.
    pub(super) fn retire(&mut self, at: Position, due: Timestamp) {
        /// An entry that is already scheduled within this time after `due` is not scheduled again.
        const TOLERATED_DELAY: Span = Span::from_millis(250);
        self.forget_age(at);
        let meta = &mut self.metas[at.0 as usize];
        meta.due = due;
        if WheelTick::at(due.plus(TOLERATED_DELAY)) < meta.scheduled {
            meta.scheduled = self.wheel.insert(at.0, WheelTick::at(due));
        }
    }

    /// Marks an entry: of its packets only those that may open another matter from now on.
    pub(super) fn settle(&mut self, at: Position) {
        let hash = self.metas[at.0 as usize].hash;
        self.index.settle(hash, at.0);
    }

    fn forget_age(&mut self, at: Position) {
        let meta = &mut self.metas[at.0 as usize];
        let serial = std::mem::take(&mut meta.serial);
        self.counts[usize::from(meta.class) % CLASSES] -= usize::from(serial != 0);
    }

    /// Sets when the entry is next due. A later deadline costs nothing: the entry is moved when the
    /// wheel reaches its old one.
    pub(super) fn set_due(&mut self, at: Position, due: Timestamp) {
        let meta = &mut self.metas[at.0 as usize];
        meta.due = due;
        if WheelTick::at(due) < meta.scheduled {
            meta.scheduled = self.wheel.insert(at.0, WheelTick::at(due));
        }
    }

    pub(super) fn due(&self, at: Position) -> Timestamp {
        self.metas[at.0 as usize].due
    }

    /// The entries of a class with their order, oldest first.
    pub(super) fn by_age(&self, class: usize) -> impl Iterator<Item = (u64, Position)> {
        let ages = self.ages[class % CLASSES].iter();
        ages.filter(|age| has_age(&self.metas, age)).map(|age| (age.order, Position(age.at)))
    }

    /// All entries that have an age, in no particular order.
    pub(super) fn all_aged(&self) -> impl Iterator<Item = Position> {
        (0..).zip(&self.metas).filter(|(_, meta)| meta.serial != 0).map(|(at, _)| Position(at))
    }

    /// Drops what is out of date at the front of each class.
    pub(super) fn trim_ages(&mut self) {
        for ages in &mut self.ages {
            while ages.front().is_some_and(|age| !has_age(&self.metas, age)) {
                ages.pop_front();
            }
        }
    }

    /// Turns the wheel to `now` and appends every entry whose deadline has passed to `due`.
    ///
    /// The entries stay in the table; the caller removes them or gives them a later deadline.
    pub(super) fn collect_due(&mut self, now: Timestamp, due: &mut Vec<Position>) {
        for turn in self.wheel.advance(now) {
            if self.wheel.entries() == 0 {
                break;
            }
            let before = due.len();
            let mut list = self.wheel.empty(turn);
            while let Some(at) = self.wheel.drain(&mut list) {
                prefetch(self.metas.as_ptr().wrapping_add(at as usize));
                due.push(Position(at));
            }
            // Nearly in the order in which they were scheduled, so that sorting them by age costs little.
            due[before..].reverse();
            let mut kept = before;
            for place in before..due.len() {
                let at = due[place];
                if self.is_due(at, turn, now) {
                    due[kept] = at;
                    kept += 1;
                }
            }
            due.truncate(kept);
        }
    }

    /// Returns true if an entry that was scheduled for this turn is due; schedules it for another if it is not.
    fn is_due(&mut self, at: Position, turn: WheelTick, now: Timestamp) -> bool {
        let meta = &mut self.metas[at.0 as usize];
        // Others left, or were scheduled again for another time.
        if !meta.scheduled.shares_bucket(turn) {
            return false;
        }
        let due = meta.due < now;
        meta.scheduled =
            if due { WheelTick::NEVER } else { self.wheel.insert(at.0, WheelTick::at(meta.due)) };
        due
    }

    /// Number of remembered flows with packets since [`Self::forget_inactive`].
    pub(super) fn active_flows(&self) -> usize {
        self.index.young()
    }

    /// Forgets the remembered flows that were silent since this was last done.
    pub(super) fn forget_inactive(&mut self) {
        let metas = &self.metas;
        self.index.age(|at| metas.get(at as usize).map_or(0, |meta| meta.hash));
    }

    /// Removes all entries whose age was taken.
    pub(super) fn remove_retired(&mut self) {
        for at in (0..).take(self.slots.len()) {
            let retired = self.metas[at as usize].serial == 0;
            if retired && self.slots[at as usize].value.is_some() {
                self.remove(Position(at));
            }
        }
    }
}

fn has_age(metas: &[SlotMeta], age: &Age) -> bool {
    metas.get(age.at as usize).is_some_and(|meta| meta.serial == age.serial)
}
