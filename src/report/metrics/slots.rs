//! A bounded number of places for what has series of its own, so that neither the exporter nor who scrapes it grows without
//! bound.

use std::hash::Hash;
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use crate::packet::Seeded;

/// Shortest time without use after which a place is given to another: longer than the ranges that alerts look at.
pub(super) const IDLE: Duration = Duration::from_secs(600);

/// Places by key. What is idle gives its place up when another needs one.
#[derive(Debug)]
pub(super) struct Slots<K, V> {
    places: IndexMap<K, MetricSlot<V>, Seeded>,
    limit: usize,
}

#[derive(Debug)]
struct MetricSlot<V> {
    value: V,
    used: Instant,
}

impl<K: Hash + Eq, V> Slots<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        Self { places: IndexMap::default(), limit }
    }

    /// The value at a key.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        self.places.get_mut(key).map(|slot| &mut slot.value)
    }

    /// Takes note that the place of a key is in use now.
    pub(super) fn touch(&mut self, key: &K, now: Instant) {
        self.places.get_mut(key).into_iter().for_each(|slot| slot.used = now);
    }

    /// True if there is a place for a new key. One that is idle is given up for it, and handed to `leave`.
    pub(super) fn make_room(&mut self, now: Instant, leave: impl FnOnce(V)) -> bool {
        if self.places.len() < self.limit {
            return true;
        }
        let longest = self.places.values().enumerate().min_by_key(|(_, slot)| slot.used);
        let idle = longest.filter(|(_, slot)| now.saturating_duration_since(slot.used) >= IDLE);
        let Some(place) = idle.map(|(place, _)| place) else { return false };
        if let Some((_, slot)) = self.places.swap_remove_index(place) {
            leave(slot.value);
        }
        true
    }

    /// The value at a key, which is in use now. At a new key, for which [`Self::make_room`] found a place, a new one.
    pub(super) fn take(&mut self, key: K, now: Instant, new: impl FnOnce() -> V) -> &mut V {
        let slot = self.places.entry(key).or_insert_with(|| MetricSlot { value: new(), used: now });
        slot.used = now;
        &mut slot.value
    }

    /// Keeps only some; the others are handed to `leave`.
    pub(super) fn keep(&mut self, mut keeps: impl FnMut(&K) -> bool, mut leave: impl FnMut(V)) {
        let left = self.places.extract_if(.., |key, _| !keeps(key));
        left.for_each(|(_, slot)| leave(slot.value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_idle_gives_its_place_up() {
        let begin = Instant::now();
        let mut slots = Slots::new(2);
        for key in [1, 2] {
            assert!(slots.make_room(begin, |_| panic!("there is room")));
            slots.take(key, begin, || key * 10);
        }
        let soon = begin + IDLE / 2;
        assert_eq!(slots.take(1, soon, || 11), &mut 10);
        assert!(!slots.make_room(soon, |_| panic!("nothing is idle")));
        let mut left = None;
        assert!(slots.make_room(begin + IDLE, |value| left = Some(value)));
        assert_eq!(left, Some(20));
        slots.take(3, begin + IDLE, || 30);
        assert!(!slots.make_room(begin + IDLE, |_| panic!("1 was used")));
        slots.keep(|&key| key == 3, |value| assert_eq!(value, 10));
        assert_eq!(slots.get(&1), None);
        assert_eq!(slots.get(&3), Some(&mut 30));
    }
}
