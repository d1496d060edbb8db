//! Maps that forget their older half once they are full.

use std::collections::VecDeque;
use std::hash::Hash;

use indexmap::IndexMap;

use crate::packet::Seeded;
use crate::prefetch::prefetch_all;

/// A map of bounded size: before the first entry too many, the older half of its entries is dropped.
#[derive(Debug, Clone)]
pub(super) struct LatestMap<K, V, const MOST: usize>(IndexMap<K, V, Seeded>);

impl<K, V, const MOST: usize> Default for LatestMap<K, V, MOST> {
    fn default() -> Self {
        Self(IndexMap::default())
    }
}

impl<K: Hash + Eq, V, const MOST: usize> LatestMap<K, V, MOST> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a key, made if the key is new.
    pub(super) fn get_or_insert(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        let place = self.0.get_index_of(&key).unwrap_or_else(|| {
            if self.0.len() >= MOST {
                self.0.drain(..MOST / 2);
            }
            self.0.insert_full(key, new()).0
        });
        &mut self.0[place]
    }

    /// Sets the value of a key.
    pub(super) fn insert(&mut self, key: K, value: V)
    where
        V: Copy,
    {
        *self.get_or_insert(key, || value) = value;
    }
}

/// The same for keys that are hashes: what an attempt needs of it can be prefetched, and is in one place.
#[derive(Debug, Clone)]
pub(super) struct LatestByHash<V, const MOST: usize> {
    /// Places of the entries, found by the lowest bits of their keys: [`Self::PLACES`], or none before the first entry.
    places: Vec<EntryPlace>,
    /// In the order in which they were inserted: the older half leaves at the front.
    entries: VecDeque<(u64, V)>,
}

/// The place of an entry plus 1, and some bits of its key; 0 where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct EntryPlace {
    entry: u16,
    tag: u16,
}

impl EntryPlace {
    const NONE: Self = Self { entry: 0, tag: 0 };

    fn new(entry: usize, key: u64) -> Self {
        Self { entry: entry as u16 + 1, tag: Self::tag(key) }
    }

    const fn tag(key: u64) -> u16 {
        (key >> 48) as u16
    }

    /// The entry, if there is one.
    const fn entry(self) -> Option<usize> {
        match self.entry {
            0 => None,
            entry => Some(entry as usize - 1),
        }
    }
}

impl<V, const MOST: usize> Default for LatestByHash<V, MOST> {
    fn default() -> Self {
        Self { places: Vec::new(), entries: VecDeque::new() }
    }
}

impl<V, const MOST: usize> LatestByHash<V, MOST> {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Places: twice as many as entries at least, so that few are looked at.
    const PLACES: usize = (2 * MOST).next_power_of_two();

    /// Prefetches the entry of a key, by the first place where it may be.
    #[inline(always)]
    pub(super) fn prefetch(&self, key: u64) {
        let place = self.places.get(key as usize % Self::PLACES).copied().unwrap_or(EntryPlace::NONE);
        prefetch_all(place.entry().and_then(|entry| self.entries.get(entry)));
    }

    /// The place of the entry of a key.
    #[inline(always)]
    fn find(&self, key: u64) -> Option<usize> {
        let mut at = key as usize;
        loop {
            let place = *self.places.get(at % Self::PLACES)?;
            let entry = place.entry()?;
            if place.tag == EntryPlace::tag(key)
                && self.entries.get(entry).is_some_and(|&(other, _)| other == key)
            {
                return Some(entry);
            }
            at = at.wrapping_add(1);
        }
    }

    pub(super) fn get(&self, key: u64) -> Option<&V> {
        self.find(key).and_then(|entry| self.entries.get(entry)).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        self.find(key).and_then(|entry| self.entries.get_mut(entry)).map(|(_, value)| value)
    }

    /// The value of a key, made if the key is new.
    #[inline(always)]
    pub(super) fn get_or_insert(&mut self, key: u64, new: impl FnOnce() -> V) -> &mut V {
        let entry = self.find(key).unwrap_or_else(|| self.insert(key, new()));
        &mut self.entries[entry].1
    }

    #[inline(never)]
    fn insert(&mut self, key: u64, value: V) -> usize {
        const { assert!(MOST < u16::MAX as usize) };
        if self.entries.len() >= MOST {
            self.entries.drain(..MOST / 2);
            self.places.clear();
        }
        if self.places.is_empty() {
            // Room for every entry at once: they would be copied whenever there is none, and room that is not used takes no memory.
            self.entries.reserve_exact(MOST - self.entries.len());
            self.places.resize(Self::PLACES, EntryPlace::NONE);
            for (entry, &(key, _)) in self.entries.iter().enumerate() {
                occupy(&mut self.places, entry, key);
            }
        }
        let entry = self.entries.len();
        self.entries.push_back((key, value));
        occupy(&mut self.places, entry, key);
        entry
    }
}

/// Puts an entry into the first free place for its key. There is one.
fn occupy(places: &mut [EntryPlace], entry: usize, key: u64) {
    let count = places.len();
    let free = (0..count).map(|step| (key as usize).wrapping_add(step) % count);
    if let Some(at) = free.into_iter().find(|&at| places[at] == EntryPlace::NONE) {
        places[at] = EntryPlace::new(entry, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hash_too_and_keys_that_share_a_place_stay_apart() {
        let mut map = LatestByHash::<u32, 4>::default();
        assert_eq!(map.get(8), None);
        // All at the same place first.
        (0..4_u64).for_each(|key| *map.get_or_insert(8 * key, || 0) = key as u32);
        *map.get_or_insert(0, || 9) += 9;
        assert_eq!(map.get(0), Some(&9), "no new entry");
        *map.get_or_insert(32, || 4) += 1;
        let all = [0, 8, 16, 24, 32].map(|key| map.get(key).copied());
        assert_eq!(all, [None, None, Some(2), Some(3), Some(5)]);
        map.get_mut(16).into_iter().for_each(|value| *value = 7);
        map.prefetch(16);
        assert_eq!(map.get(16), Some(&7));
    }

    #[test]
    fn the_older_half_is_forgotten() {
        let mut map = LatestMap::<u32, u32, 4>::default();
        (0..4).for_each(|key| map.insert(key, key));
        map.insert(0, 9);
        assert_eq!(map.get(&0), Some(&9), "no new entry");
        *map.get_or_insert(4, || 4) += 1;
        assert_eq!(
            [0, 1, 2, 3, 4].map(|key| map.get(&key).copied()),
            [None, None, Some(2), Some(3), Some(5)]
        );
    }
}
