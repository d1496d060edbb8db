//! A map that forgets its older half once it is full.

use std::hash::Hash;

use indexmap::IndexMap;

use crate::packet::Seeded;

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

    pub(super) fn contains(&self, key: &K) -> bool {
        self.0.contains_key(key)
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

#[cfg(test)]
mod tests {
    use super::*;

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
