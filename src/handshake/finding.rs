//! Findings of trackers, and the order in which they are handed on.

use super::attempt::Attempt;
use crate::packet::{Endpoint, Timestamp};
use crate::prefetch::prefetch_all;

/// A tracker's report on one attempt, provisional or settled. An [RST alone](Attempt::is_refusal_alone) is reported in the same
/// form.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Time of the finding, in steady time.
    pub at: Timestamp,
    /// True if the attempt is settled, so that no finding of it follows. Otherwise it shows an overflow by now or looks
    /// stuck, and may change.
    pub settled: bool,
    /// The attempt as it is known by then.
    pub attempt: Attempt,
}

/// The client and the server of a finding that comes soon, so that what is known of them can be prefetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedEnds {
    /// The client's endpoint.
    pub client: Endpoint,
    /// The server's.
    pub server: Endpoint,
}

/// Number of findings that are prefetched: another thread has written them on another core.
const AHEAD: usize = 6;

/// Number of findings after which the one whose ends are told is taken.
const ENDS_AHEAD: usize = 3;

/// Orders the findings of all trackers in one batch: by time, then by position.
#[derive(Debug, Default)]
pub struct Order {
    /// Time, position, tracker and place of each; kept for its capacity.
    keys: Vec<(Timestamp, u64, u32, u32)>,
}

impl Order {
    /// Passes the findings of several trackers to `take`, in order, each with the ends of one that comes soon. Findings are
    /// large, and stay where they are.
    ///
    /// # Errors
    ///
    /// The first of `take`; the rest is not handed out.
    pub fn deliver<E>(
        &mut self,
        batch: &mut [Vec<Finding>],
        mut take: impl FnMut(&mut Finding, Option<ExpectedEnds>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.keys.clear();
        for (list, tracker) in batch.iter().zip(0..) {
            let key = |(found, place): (&Finding, _)| (found.at, found.attempt.ordinal, tracker, place);
            self.keys.extend(list.iter().zip(0..).map(key));
        }
        self.keys.sort();
        for (now, &(_, _, tracker, place)) in self.keys.iter().enumerate() {
            if let Some(&(_, _, tracker, place)) = self.keys.get(now + AHEAD) {
                prefetch_all(batch.get(tracker as usize).and_then(|list| list.get(place as usize)));
            }
            let soon = self.keys.get(now + ENDS_AHEAD);
            let soon = soon.and_then(|key| batch.get(key.2 as usize)?.get(key.3 as usize));
            let expected = soon.map(|Finding { attempt, .. }| ExpectedEnds {
                client: attempt.client,
                server: attempt.server,
            });
            let found = batch.get_mut(tracker as usize).and_then(|list| list.get_mut(place as usize));
            found.map_or(Ok(()), |found| take(found, expected))?;
        }
        Ok(())
    }
}
