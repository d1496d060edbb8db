//! The hot table: a slab of undecided attempts, found by flow hash, in order of age and of deadline.
//!
//! Owns where entries live and in which order they are due; knows nothing of handshakes. Lookups
//! that miss touch only the index; links are slab positions, so nothing here allocates per packet.

use std::hash::{BuildHasherDefault, Hasher};

use indexmap::IndexMap;

use crate::packet::{FlowKey, Timestamp};

/// Passes a 64-bit flow hash through: it is seeded and mixed already.
#[derive(Default)]
pub(super) struct FlowHashPassthrough(u64);

impl Hasher for FlowHashPassthrough {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only u64 keys are used; fold anything else so that the trait's contract holds.
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The position of an entry in the slab; valid until the entry is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(u32);

/// No position: the end of a list.
const NONE: u32 = u32::MAX;

/// A bucket of the timing wheel spans 2^27 ns, about 0.13 s.
const BUCKET_BITS: u32 = 27;

/// 2048 buckets span 275 s, beyond the longest deadline any attempt asks for.
const BUCKETS: usize = 2048;

struct Slot<T> {
    hash: u64,
    key: FlowKey,
    value: Option<T>,
    due: Timestamp,
    age: Links,
    wheel: Links,
    bucket: u32,
}

#[derive(Clone, Copy)]
struct Links {
    previous: u32,
    next: u32,
}

const UNLINKED: Links = Links { previous: NONE, next: NONE };

/// Which of a slot's two lists is meant.
#[derive(Clone, Copy)]
enum Chain {
    Age,
    Wheel,
}

/// Entries by flow, oldest first and by deadline.
pub(super) struct Table<T> {
    index: IndexMap<u64, u32, BuildHasherDefault<FlowHashPassthrough>>,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    aged: usize,
    buckets: Box<[u32]>,
    /// The wheel has been turned up to this bucket number (not yet taken modulo the wheel's size).
    turned: Option<i64>,
}

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self {
            index: IndexMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            aged: 0,
            buckets: vec![NONE; BUCKETS].into_boxed_slice(),
            turned: None,
        }
    }

    /// How many entries are in the age list.
    pub(super) fn aged(&self) -> usize {
        self.aged
    }

    pub(super) fn find(&self, hash: u64, key: &FlowKey) -> Option<Position> {
        let &at = self.index.get(&hash)?;
        // Two flows with one 64-bit hash: the later one is not tracked (chance below 1e-7 for a
        // million flows at a time, and not steerable: the hash is seeded).
        (self.slots[at as usize].key == *key).then_some(Position(at))
    }

    pub(super) fn get(&self, at: Position) -> Option<&T> {
        self.slots[at.0 as usize].value.as_ref()
    }

    pub(super) fn get_mut(&mut self, at: Position) -> Option<&mut T> {
        self.slots[at.0 as usize].value.as_mut()
    }

    pub(super) fn key(&self, at: Position) -> FlowKey {
        self.slots[at.0 as usize].key
    }

    pub(super) fn hash(&self, at: Position) -> u64 {
        self.slots[at.0 as usize].hash
    }

    /// Adds an entry as the youngest, due at `due`. `None` when the hash is taken by another flow.
    pub(super) fn insert(&mut self, hash: u64, key: FlowKey, value: T, due: Timestamp) -> Option<Position> {
        if self.index.contains_key(&hash) {
            return None;
        }
        let slot = Slot { hash, key, value: Some(value), due, age: UNLINKED, wheel: UNLINKED, bucket: 0 };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                let at = u32::try_from(self.slots.len()).ok().filter(|&at| at != NONE)?;
                self.slots.push(slot);
                at
            }
        };
        self.index.insert(hash, at);
        self.link_youngest(at);
        self.link_wheel(at);
        Some(Position(at))
    }

    /// Takes an entry out of everything.
    pub(super) fn remove(&mut self, at: Position) -> Option<T> {
        self.forget_age(at);
        self.unlink(Chain::Wheel, at.0);
        let slot = &mut self.slots[at.0 as usize];
        let value = slot.value.take()?;
        let hash = slot.hash;
        self.index.swap_remove(&hash);
        self.free.push(at.0);
        Some(value)
    }

    /// Takes an entry out of the age list only: it no longer counts as undecided.
    pub(super) fn forget_age(&mut self, at: Position) {
        let links = self.slots[at.0 as usize].age;
        if links.previous != NONE || self.oldest == at.0 {
            self.unlink(Chain::Age, at.0);
            self.aged -= 1;
        }
    }

    /// Sets when the entry is next due. A later deadline costs nothing: the entry is moved when the
    /// wheel reaches its old one.
    pub(super) fn set_due(&mut self, at: Position, due: Timestamp) {
        let slot = &mut self.slots[at.0 as usize];
        let sooner = due < slot.due;
        // Where the wheel has been already it comes again only after a whole turn.
        let passed = self.turned.is_some_and(|turned| bucket_number(slot.due) <= turned);
        slot.due = due;
        if sooner || passed {
            self.unlink(Chain::Wheel, at.0);
            self.link_wheel(at.0);
        }
    }

    pub(super) fn due(&self, at: Position) -> Timestamp {
        self.slots[at.0 as usize].due
    }

    /// The oldest entry of the age list.
    pub(super) fn oldest(&self) -> Option<Position> {
        (self.oldest != NONE).then_some(Position(self.oldest))
    }

    /// The entry that follows `at` in the age list.
    pub(super) fn next_oldest(&self, at: Position) -> Option<Position> {
        let next = self.slots[at.0 as usize].age.next;
        (next != NONE).then_some(Position(next))
    }

    /// Turns the wheel to `now` and appends every entry whose deadline has passed to `due`.
    ///
    /// The entries stay in the table; the caller removes them or gives them a later deadline.
    pub(super) fn collect_due(&mut self, now: Timestamp, due: &mut Vec<Position>) {
        let target = bucket_number(now);
        let Some(turned) = self.turned else {
            self.turned = Some(target);
            return;
        };
        // A jump of more than a whole turn visits every bucket once.
        let from = turned.max(target.saturating_sub(BUCKETS as i64));
        for number in from..=target {
            self.turn_bucket(number, now, due);
        }
        self.turned = Some(turned.max(target));
    }

    fn turn_bucket(&mut self, number: i64, now: Timestamp, due: &mut Vec<Position>) {
        let mut at = self.buckets[bucket_index(number)];
        while at != NONE {
            let slot = &self.slots[at as usize];
            let next = slot.wheel.next;
            if slot.due <= now {
                due.push(Position(at));
            } else if bucket_index(bucket_number(slot.due)) != bucket_index(number) {
                self.unlink(Chain::Wheel, at);
                self.link_wheel(at);
            }
            at = next;
        }
    }

    fn link_youngest(&mut self, at: u32) {
        let links = Links { previous: self.newest, next: NONE };
        self.slots[at as usize].age = links;
        match self.newest {
            NONE => self.oldest = at,
            newest => self.slots[newest as usize].age.next = at,
        }
        self.newest = at;
        self.aged += 1;
    }

    fn link_wheel(&mut self, at: u32) {
        let number = bucket_number(self.slots[at as usize].due);
        // Never behind the wheel: an entry that is already due goes where the wheel stands.
        let number = self.turned.map_or(number, |turned| number.max(turned));
        let bucket = bucket_index(number);
        let head = self.buckets[bucket];
        let slot = &mut self.slots[at as usize];
        slot.bucket = bucket as u32;
        slot.wheel = Links { previous: NONE, next: head };
        if head != NONE {
            self.slots[head as usize].wheel.previous = at;
        }
        self.buckets[bucket] = at;
    }

    fn links(&mut self, chain: Chain, at: u32) -> &mut Links {
        let slot = &mut self.slots[at as usize];
        match chain {
            Chain::Age => &mut slot.age,
            Chain::Wheel => &mut slot.wheel,
        }
    }

    fn unlink(&mut self, chain: Chain, at: u32) {
        let Links { previous, next } = *self.links(chain, at);
        match (chain, previous) {
            (Chain::Age, NONE) => self.oldest = next,
            (Chain::Wheel, NONE) => {
                let bucket = self.slots[at as usize].bucket as usize;
                self.buckets[bucket] = next;
            }
            (_, previous) => self.links(chain, previous).next = next,
        }
        match (chain, next) {
            (Chain::Age, NONE) => self.newest = previous,
            (Chain::Wheel, NONE) => {}
            (_, next) => self.links(chain, next).previous = previous,
        }
        *self.links(chain, at) = UNLINKED;
    }
}

fn bucket_number(at: Timestamp) -> i64 {
    at.as_nanos() >> BUCKET_BITS
}

fn bucket_index(number: i64) -> usize {
    number.rem_euclid(BUCKETS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Endpoint, Span};

    #[test]
    fn an_entry_that_was_collected_and_put_off_comes_again_in_time() {
        let mut table = Table::new();
        let mut due = Vec::new();
        table.collect_due(secs(0), &mut due);
        let at = table.insert(1, key(1), (), secs(1)).unwrap();
        // The wheel comes by long after the deadline, as after a pause without packets.
        table.collect_due(secs(5), &mut due);
        assert_eq!(due, [at]);
        table.set_due(at, secs(6));
        due.clear();
        table.collect_due(secs(5), &mut due);
        assert_eq!(due, []);
        table.collect_due(secs(7), &mut due);
        assert_eq!(due, [at], "not a whole turn of the wheel later");
    }

    fn key(port: u16) -> FlowKey {
        FlowKey::new(Endpoint::v4([10, 0, 0, 1], port), Endpoint::v4([10, 0, 0, 2], 80)).0
    }

    fn secs(secs: i64) -> Timestamp {
        Timestamp::from_nanos(0).plus(Span::from_secs(secs))
    }

    fn take_due(table: &mut Table<u16>, now: Timestamp) -> Vec<u16> {
        let mut due = Vec::new();
        table.collect_due(now, &mut due);
        let mut values: Vec<u16> = due.into_iter().filter_map(|at| table.remove(at)).collect();
        values.sort_unstable();
        values
    }

    #[test]
    fn entries_fall_due_once_and_deadlines_move_both_ways() {
        let mut table = Table::new();
        assert!(take_due(&mut table, secs(0)).is_empty());
        for port in 1..=4 {
            table.insert(u64::from(port), key(port), port, secs(i64::from(port) * 10)).unwrap();
        }
        let two = table.find(2, &key(2)).unwrap();
        table.set_due(two, secs(500));
        let four = table.find(4, &key(4)).unwrap();
        table.set_due(four, secs(11));
        assert_eq!(take_due(&mut table, secs(12)), [1, 4]);
        assert_eq!(take_due(&mut table, secs(40)), [3]);
        assert!(take_due(&mut table, secs(499)).is_empty());
        assert_eq!(take_due(&mut table, secs(500)), [2]);
        assert_eq!(table.aged(), 0);
    }

    #[test]
    fn a_jump_of_many_turns_finds_everything() {
        let mut table = Table::new();
        take_due(&mut table, secs(0));
        for port in 1..=300 {
            table.insert(u64::from(port), key(port), port, secs(i64::from(port))).unwrap();
        }
        assert_eq!(take_due(&mut table, secs(1_000_000)).len(), 300);
    }

    #[test]
    fn age_is_order_of_insertion_whatever_is_removed() {
        let mut table = Table::new();
        for port in 1..=5 {
            table.insert(u64::from(port), key(port), port, secs(9)).unwrap();
        }
        let first = table.oldest().unwrap();
        table.remove(first);
        let three = table.find(3, &key(3)).unwrap();
        table.forget_age(three);
        let mut order = Vec::new();
        let mut at = table.oldest();
        while let Some(position) = at {
            order.push(*table.get(position).unwrap());
            at = table.next_oldest(position);
        }
        assert_eq!(order, [2, 4, 5]);
        assert_eq!(table.aged(), 3);
    }

    #[test]
    fn a_taken_hash_is_refused_and_not_found_for_another_flow() {
        let mut table = Table::new();
        table.insert(7, key(1), 1, secs(1)).unwrap();
        assert!(table.insert(7, key(2), 2, secs(1)).is_none());
        assert!(table.find(7, &key(2)).is_none());
    }
}
