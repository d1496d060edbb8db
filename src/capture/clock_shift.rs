//! The difference between the clocks of two captures.

use crate::packet::{Span, Timestamp};

/// Difference between the clock of a capture and that of another, by the segments that both hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockShift {
    /// Time that is added to each of its times, at the time [`Self::since`] of its own.
    pub by: Span,
    /// Time by which that grows in a second, in nanoseconds: the clocks drift.
    pub drift: i64,
    /// The time from which on it grows.
    pub since: Timestamp,
    /// Largest error: the time that a packet takes between the two points. `None` if only one direction is known, so that it
    /// is a part of the difference.
    pub error: Option<Span>,
    /// SYNs that both hold.
    pub syns: u64,
    /// Index of the capture whose clock counts.
    pub reference: u16,
}

/// Reason why nothing is known of the difference between the clocks of two captures of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockDoubt {
    /// Index of the capture that it was compared with.
    pub reference: u16,
    /// SYNs that both hold.
    pub syns: u64,
    /// Many segments would have arrived before they were sent, whatever the difference: one of the clocks was set meanwhile. Else
    /// too few segments are in both.
    pub is_disordered: bool,
}

const NANOS: i128 = 1_000_000_000;

impl ClockShift {
    /// A time of the capture's clock by that of the other.
    #[must_use]
    #[inline]
    pub fn corrected(&self, own: Timestamp) -> Timestamp {
        let at = own.plus(self.by);
        if self.drift == 0 { at } else { at.plus(self.drifted(own)) }
    }

    /// The time of the capture's own clock that [`Self::corrected`] makes this of.
    #[must_use]
    pub fn own(&self, corrected: Timestamp) -> Timestamp {
        let undrifted = corrected.minus(self.by);
        // Twice, since what it drifted depends on the time before: drifts are parts of a million.
        let first = undrifted.minus(self.drifted(undrifted));
        undrifted.minus(self.drifted(first))
    }

    fn drifted(&self, own: Timestamp) -> Span {
        let since = i128::from(own.since(self.since).as_nanos());
        Span::from_nanos(i64::try_from(since * i128::from(self.drift) / NANOS).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_drifts_is_corrected_at_any_time() {
        let since = Timestamp::from_nanos(1_790_000_000_000_000_000);
        let (by, drift) = (Span::from_secs(-3), 100_000);
        let shift = ClockShift { by, drift, since, error: None, syns: 3, reference: 0 };
        assert_eq!(shift.corrected(since), since.plus(by));
        let later = since.plus(Span::from_secs(86_400));
        assert_eq!(shift.corrected(later), later.plus(by).plus(Span::from_millis(8_640)));
        assert!(shift.own(shift.corrected(later)).since(later).abs() <= Span::from_micros(1));
        let still = ClockShift { drift: 0, ..shift };
        assert_eq!(still.own(still.corrected(later)), later);
    }
}
