//! What trackers find, and the order in which it is told.

use super::attempt::Attempt;
use crate::packet::Timestamp;

/// An attempt that a tracker has something to say of.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// When it was found, in packet time.
    pub at: Timestamp,
    /// Whether the attempt is decided, and nothing more will be said of it. Otherwise it shows an overflow by
    /// now, and its decision follows.
    pub decided: bool,
    /// What was found.
    pub attempt: Attempt,
}

/// Tells what several trackers found in one batch: in order of time, and of position where the times are the
/// same. Findings are large, and stay where they are.
///
/// # Errors
///
/// The first of `take`; the rest is not told.
pub fn in_order<E>(
    batch: &mut [Vec<Found>],
    mut take: impl FnMut(&mut Found) -> Result<(), E>,
) -> Result<(), E> {
    let mut order: Vec<_> = batch.iter_mut().flatten().collect();
    order.sort_by_key(|found| (found.at, found.attempt.ordinal));
    order.into_iter().try_for_each(&mut take)
}
