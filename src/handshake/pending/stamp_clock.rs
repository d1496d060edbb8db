//! The timestamp clock of one side (RFC 7323): its latest TSval.

use crate::packet::ticks_between;

/// Timestamps of one side: the latest TSval, and the time of the first segment with it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StampClock {
    pub(super) tsval: u32,
    /// Milliseconds since the attempt's first packet.
    since: u32,
}

/// Different segments with one TSval that are further apart come from a clock that stands still (DOMAIN §4); the
/// coarsest clock that RFC 7323 §5.4 allows ticks once a second.
const STILL: u32 = 1_000;

impl StampClock {
    /// Takes a segment's TSval at `now`, in milliseconds since the attempt's first packet. Returns true if the clock
    /// stands still. An older TSval, of a segment out of order or captured again, does not set the clock back.
    pub(super) const fn stands_still(&mut self, tsval: u32, now: u32) -> bool {
        if self.tsval != tsval {
            if self.tsval == 0 || ticks_between(self.tsval, tsval) > 0 {
                *self = Self { tsval, since: now };
            }
            return false;
        }
        now.saturating_sub(self.since) > STILL
    }
}
