//! An interface of a pcapng section: its link type and its clock.

use crate::packet::{LinkType, Timestamp};

const NANOS_PER_SEC: i128 = 1_000_000_000;

/// An interface description block, as far as later blocks need it.
#[derive(Debug, Clone)]
pub(super) struct Interface {
    /// Its name on the host.
    pub(super) name: Option<Box<str>>,
    pub(super) link: LinkType,
    /// The snap length; `u32::MAX` where there is none.
    pub(super) snap_len: u32,
    pub(super) clock: InterfaceClock,
    /// The drop count of its last statistics block.
    pub(super) dropped: Option<u64>,
}

/// Converts an interface's time stamps to nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InterfaceClock {
    unit: Unit,
    /// Added to every time, in nanoseconds.
    offset: i128,
}

/// A time stamp's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// A number of nanoseconds.
    Nanos(u64),
    /// A nanosecond divided by this number.
    PartOfNano(u64),
    /// A second divided by 2 to the power of this number.
    BinaryFraction(u8),
}

impl InterfaceClock {
    /// The clock of an interface with this `if_tsresol` (a power of 10, or of 2 where the highest bit is set) and this
    /// `if_tsoffset` in seconds (draft-ietf-opsawg-pcapng §4.2).
    pub(super) fn new(resolution: u8, offset: i64) -> Self {
        let exponent = resolution & 0x7f;
        let unit = match (resolution & 0x80 != 0, exponent) {
            (true, _) => Unit::BinaryFraction(exponent),
            (false, 0..=9) => Unit::Nanos(10u64.pow(9 - u32::from(exponent))),
            // Beyond 10^28 every 64-bit number of units is less than a nanosecond.
            (false, _) => Unit::PartOfNano(10u64.checked_pow(u32::from(exponent) - 9).unwrap_or(u64::MAX)),
        };
        Self { unit, offset: i128::from(offset) * NANOS_PER_SEC }
    }

    /// The time `units` after the epoch, clamped to what a [`Timestamp`] holds.
    #[inline]
    pub(super) fn time(&self, units: u64) -> Timestamp {
        let units = i128::from(units);
        let nanos = match self.unit {
            Unit::Nanos(n) => units * i128::from(n),
            Unit::PartOfNano(n) => units / i128::from(n),
            Unit::BinaryFraction(n) => (units * NANOS_PER_SEC) >> n,
        };
        let nanos = nanos + self.offset;
        let clamped = i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX });
        Timestamp::from_nanos(clamped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(resolution: u8, offset: i64, units: u64) -> i64 {
        InterfaceClock::new(resolution, offset).time(units).as_nanos()
    }

    #[test]
    fn units_are_powers_of_ten_or_two() {
        assert_eq!(nanos(0, 0, 7), 7_000_000_000);
        assert_eq!(nanos(6, 0, 1_500_000), 1_500_000_000);
        assert_eq!(nanos(9, 0, 1_500_000_001), 1_500_000_001);
        assert_eq!(nanos(12, 0, 1_500_000_001_999), 1_500_000_001);
        assert_eq!(nanos(127, 0, u64::MAX - 1), 0);
        assert_eq!(nanos(0x80, 0, 3), 3_000_000_000);
        assert_eq!(nanos(0x80 | 10, 0, 1536), 1_500_000_000);
        assert_eq!(nanos(0x80 | 127, 0, u64::MAX), 0);
    }

    #[test]
    fn offsets_are_seconds_and_times_are_clamped() {
        assert_eq!(nanos(6, 100, 5), 100_000_005_000);
        assert_eq!(nanos(6, -1, 5), -999_995_000);
        assert_eq!(nanos(0, 0, u64::MAX), i64::MAX);
        assert_eq!(nanos(0, i64::MIN, 0), i64::MIN + 1);
        assert_eq!(nanos(0, i64::MAX, u64::MAX), i64::MAX);
    }
}
