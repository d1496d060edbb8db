//! The hot table: a slab of undecided attempts, found by flow hash, in order of age and of deadline.
//!
//! Owns where entries live and in which order they are due; knows nothing of handshakes. Lookups
//! that miss touch only the index; links are slab positions, so nothing here allocates per packet.

use hashbrown::HashTable;

use crate::packet::{FlowKey, Timestamp};

/// The position of an entry in the slab; valid until the entry is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(u32);

/// No position: the end of a list.
const NONE: u32 = u32::MAX;

/// A bucket of the timing wheel spans 2^27 ns, about 0.13 s.
const BUCKET_BITS: u32 = 27;

/// 2048 buckets span 275 s, beyond the longest deadline any attempt asks for.
const BUCKETS: usize = 2048;

/// An entry, or room for one.
///
/// In this order, and on cache lines of its own, because waiting for lines is most of what a lookup in
/// a large table costs: what nearly every packet needs is in the first two, if the value begins with it.
#[repr(C, align(64))]
struct Slot<T> {
    key: FlowKey,
    /// As in the entry's [`Timer`].
    due: Timestamp,
    hash: u64,
    value: Option<T>,
}

/// When an entry is due and who its neighbours are. Apart from the entry itself, which is ten times as
/// large: the timers of all entries stay in the second-level cache where the entries do not, and lists
/// are walked without touching an entry.
#[derive(Clone, Copy)]
struct Timer {
    due: Timestamp,
    age: Links,
    wheel: Links,
    bucket: u32,
}

/// What the index knows of a slot: enough to tell nearly every other flow without touching the slot.
#[derive(Clone, Copy)]
struct Indexed {
    /// The low half of the flow's hash.
    tag: u32,
    at: u32,
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
    index: HashTable<Indexed>,
    slots: Vec<Slot<T>>,
    /// The same positions as `slots`.
    timers: Vec<Timer>,
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
            index: HashTable::new(),
            slots: Vec::new(),
            timers: Vec::new(),
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

    #[inline(always)]
    pub(super) fn find(&self, hash: u64, key: &FlowKey) -> Option<Position> {
        let same = |entry: &Indexed| entry.tag == hash as u32 && self.slots[entry.at as usize].key == *key;
        self.index.find(hash, same).map(|entry| Position(entry.at))
    }

    /// Where a flow probably is, told by its hash alone, without touching the entry.
    #[inline(always)]
    pub(super) fn guess(&self, hash: u64) -> Option<Position> {
        self.index.find(hash, |entry| entry.tag == hash as u32).map(|entry| Position(entry.at))
    }

    /// Asks the cache for the lines of an entry that nearly every packet needs.
    #[inline(always)]
    pub(super) fn prefetch(&self, at: Position) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let slot = self.slots.as_ptr().wrapping_add(at.0 as usize).cast::<i8>();
            // SAFETY: a prefetch is a hint: it reads nothing and faults on no address.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(slot);
                _mm_prefetch::<_MM_HINT_T0>(slot.wrapping_add(64));
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    /// Whether the entry at a position that may have been left since is `key`'s.
    #[inline(always)]
    pub(super) fn holds(&self, at: Position, key: &FlowKey) -> bool {
        self.slots.get(at.0 as usize).is_some_and(|slot| slot.key == *key && slot.value.is_some())
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

    /// Adds an entry as the youngest, due at `due`; the flow must not be there yet. `None` when there
    /// is no position left.
    pub(super) fn insert(&mut self, hash: u64, key: FlowKey, value: T, due: Timestamp) -> Option<Position> {
        let slot = Slot { key, due, hash, value: Some(value) };
        let timer = Timer { due, age: UNLINKED, wheel: UNLINKED, bucket: 0 };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                self.timers[at as usize] = timer;
                at
            }
            None => {
                let at = u32::try_from(self.slots.len()).ok().filter(|&at| at != NONE)?;
                self.slots.push(slot);
                self.timers.push(timer);
                at
            }
        };
        let slots = &self.slots;
        self.index
            .insert_unique(hash, Indexed { tag: hash as u32, at }, |entry| slots[entry.at as usize].hash);
        self.link_youngest(at);
        self.link_wheel(at);
        Some(Position(at))
    }

    /// Takes an entry out of everything.
    pub(super) fn remove(&mut self, at: Position) {
        let slot = &mut self.slots[at.0 as usize];
        if slot.value.is_none() {
            return;
        }
        slot.value = None;
        let hash = slot.hash;
        self.forget_age(at);
        self.unlink(Chain::Wheel, at.0);
        if let Ok(entry) = self.index.find_entry(hash, |entry| entry.at == at.0) {
            entry.remove();
        }
        self.free.push(at.0);
    }

    /// Takes an entry out of the age list only: it no longer counts as undecided.
    pub(super) fn forget_age(&mut self, at: Position) {
        let links = self.timers[at.0 as usize].age;
        if links.previous != NONE || self.oldest == at.0 {
            self.unlink(Chain::Age, at.0);
            self.aged -= 1;
        }
    }

    /// Sets when the entry is next due. A later deadline costs nothing: the entry is moved when the
    /// wheel reaches its old one.
    pub(super) fn set_due(&mut self, at: Position, due: Timestamp) {
        let timer = &mut self.timers[at.0 as usize];
        let sooner = due < timer.due;
        // Where the wheel has been already it comes again only after a whole turn.
        let passed = self.turned.is_some_and(|turned| bucket_number(timer.due) <= turned);
        timer.due = due;
        self.slots[at.0 as usize].due = due;
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
        let next = self.timers[at.0 as usize].age.next;
        (next != NONE).then_some(Position(next))
    }

    /// Turns the wheel to `now` and appends every entry whose deadline has passed to `due`.
    ///
    /// The entries stay in the table; the caller removes them or gives them a later deadline.
    pub(super) fn collect_due(&mut self, now: Timestamp, due: &mut Vec<Position>) {
        let target = bucket_number(now);
        // The first turn, and a jump of more than a whole turn, visit every bucket once.
        let turned = self.turned.unwrap_or(i64::MIN);
        let from = turned.max(target.saturating_sub(BUCKETS as i64 - 1));
        for number in from..=target {
            self.turn_bucket(number, now, due);
        }
        self.turned = Some(turned.max(target));
    }

    fn turn_bucket(&mut self, number: i64, now: Timestamp, due: &mut Vec<Position>) {
        let mut at = self.buckets[bucket_index(number)];
        while at != NONE {
            let timer = &self.timers[at as usize];
            let next = timer.wheel.next;
            if timer.due <= now {
                due.push(Position(at));
            } else if bucket_index(bucket_number(timer.due)) != bucket_index(number) {
                self.unlink(Chain::Wheel, at);
                self.link_wheel(at);
            }
            at = next;
        }
    }

    fn link_youngest(&mut self, at: u32) {
        let links = Links { previous: self.newest, next: NONE };
        self.timers[at as usize].age = links;
        match self.newest {
            NONE => self.oldest = at,
            newest => self.timers[newest as usize].age.next = at,
        }
        self.newest = at;
        self.aged += 1;
    }

    fn link_wheel(&mut self, at: u32) {
        let number = bucket_number(self.timers[at as usize].due);
        // Never behind the wheel: an entry that is already due goes where the wheel stands.
        let number = self.turned.map_or(number, |turned| number.max(turned));
        let bucket = bucket_index(number);
        let head = self.buckets[bucket];
        let timer = &mut self.timers[at as usize];
        timer.bucket = bucket as u32;
        timer.wheel = Links { previous: NONE, next: head };
        if head != NONE {
            self.timers[head as usize].wheel.previous = at;
        }
        self.buckets[bucket] = at;
    }

    fn links(&mut self, chain: Chain, at: u32) -> &mut Links {
        let timer = &mut self.timers[at as usize];
        match chain {
            Chain::Age => &mut timer.age,
            Chain::Wheel => &mut timer.wheel,
        }
    }

    fn unlink(&mut self, chain: Chain, at: u32) {
        let Links { previous, next } = *self.links(chain, at);
        match (chain, previous) {
            (Chain::Age, NONE) => self.oldest = next,
            (Chain::Wheel, NONE) => {
                let bucket = self.timers[at as usize].bucket as usize;
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
        let mut values: Vec<u16> = due.iter().filter_map(|&at| table.get(at).copied()).collect();
        due.into_iter().for_each(|at| table.remove(at));
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
    fn the_first_turn_finds_what_is_due_already() {
        let mut table = Table::new();
        table.insert(1, key(1), 1, secs(5)).unwrap();
        table.insert(2, key(2), 2, secs(90)).unwrap();
        assert_eq!(take_due(&mut table, secs(60)), [1]);
        assert_eq!(take_due(&mut table, secs(90)), [2]);
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
    fn two_flows_with_one_hash_are_both_found() {
        let mut table = Table::new();
        let first = table.insert(7, key(1), 1, secs(1)).unwrap();
        let second = table.insert(7, key(2), 2, secs(1)).unwrap();
        assert_eq!(table.find(7, &key(2)), Some(second));
        table.remove(first);
        assert_eq!(table.get(first), None);
        assert_eq!(table.find(7, &key(1)), None);
        assert_eq!(table.find(7, &key(2)), Some(second));
    }
}
