//! Flows whose handshake was seen and decided, so that their later packets are not mid-stream.

use hashbrown::HashTable;

/// A bounded memory of flow hashes, in two generations: a flow that is heard of again stays, one
/// that is silent for a whole generation is forgotten.
///
/// The 64-bit hash stands for the flow; a false match needs a collision of two seeded hashes.
pub(super) struct Known {
    young: HashTable<u64>,
    old: HashTable<u64>,
}

impl Known {
    /// Decided flows per generation, over all shards. At 8 bytes and one control byte each, both
    /// generations together stay below 5 MiB.
    pub(super) const GENERATION: usize = 229_376;

    pub(super) fn new() -> Self {
        Self { young: HashTable::new(), old: HashTable::new() }
    }

    pub(super) fn insert(&mut self, hash: u64) {
        if !self.is_young(hash) {
            self.young.insert_unique(hash, hash, |&h| h);
        }
    }

    /// Whether the flow is remembered; remembers it for another generation.
    #[inline]
    pub(super) fn contains(&mut self, hash: u64) -> bool {
        if self.is_young(hash) {
            return true;
        }
        let found = self.old.find(hash, |&h| h == hash).is_some();
        if found {
            self.insert(hash);
        }
        found
    }

    /// Whether the flow was heard of in this generation.
    #[inline]
    pub(super) fn is_young(&self, hash: u64) -> bool {
        self.young.find(hash, |&h| h == hash).is_some()
    }

    /// How many flows the young generation holds.
    pub(super) fn young(&self) -> usize {
        self.young.len()
    }

    /// Forgets the old generation; the young one becomes old.
    pub(super) fn age(&mut self) {
        std::mem::swap(&mut self.young, &mut self.old);
        self.young.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_heard_of_in_each_generation_is_never_forgotten() {
        let mut known = Known::new();
        known.insert(1);
        known.insert(2);
        for _ in 0..5 {
            known.age();
            assert!(known.contains(1));
        }
        assert!(!known.contains(2));
    }
}
