//! Which thread tracks which flows.

use crate::handshake::Tracker;

/// Reading takes about so much more of all the work than putting together what was found, in per cent: the thread that
/// reads tracks what it still has time for. Measured on two cores with 74-byte records: shares of 5 to 7 slices of 16
/// take the same time, 3 and none a quarter and a half more.
const READING: usize = 20;

/// Trackers at most: one reading thread feeds no more.
const MOST_SHARDS: usize = 5;

/// Slices of the flows, dealt out to shards. The last shard is the reading thread's own, if it has one.
#[derive(Debug, Clone)]
pub(super) struct Shares {
    shard_of: [u8; Tracker::SLICES],
    shards: usize,
    reader_tracks: bool,
}

impl Shares {
    /// For two threads or more, of which one reads.
    pub(super) fn new(threads: usize) -> Self {
        let others = (threads - 1).clamp(1, MOST_SHARDS - 1);
        // Every thread's part of all the work is the same; what reading leaves of it, the reader tracks.
        let part = 100 / (others + 1);
        let left = part.saturating_sub(READING) * Tracker::SLICES / (100 - READING);
        let reader_tracks = left > 0;
        let mut shard_of = [0; Tracker::SLICES];
        for (slice, shard) in shard_of.iter_mut().enumerate() {
            *shard = if slice < left { others } else { slice % others } as u8;
        }
        Self { shard_of, shards: others + usize::from(reader_tracks), reader_tracks }
    }

    /// How many shards there are.
    pub(super) const fn shards(&self) -> usize {
        self.shards
    }

    /// The shard of the reading thread.
    pub(super) fn readers(&self) -> Option<usize> {
        self.reader_tracks.then(|| self.shards - 1)
    }

    /// The shard that tracks flows with this hash.
    #[inline(always)]
    pub(super) fn of(&self, hash: u64) -> usize {
        usize::from(self.shard_of[Tracker::slice_of(hash)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_has_slices_and_the_reader_the_fewest() {
        for threads in 2..=20 {
            let shares = Shares::new(threads);
            assert!(shares.shards() <= threads);
            let count = |shard: usize| shares.shard_of.iter().filter(|&&of| usize::from(of) == shard).count();
            let counts: Vec<usize> = (0..shares.shards()).map(count).collect();
            assert_eq!(counts.iter().sum::<usize>(), Tracker::SLICES, "{threads}: {counts:?}");
            assert!(counts.iter().all(|&count| count > 0), "{threads}: {counts:?}");
            if let Some(readers) = shares.readers() {
                assert!(counts.iter().all(|&count| count >= counts[readers]), "{threads}: {counts:?}");
            }
        }
        assert_eq!(Shares::new(2).readers(), Some(1));
        assert_eq!(Shares::new(8).readers(), None);
    }
}
