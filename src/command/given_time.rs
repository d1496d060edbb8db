//! A time that a user gives: absolute, or by the local clock, whose zone is read later than arguments are.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::packet::Timestamp;

/// A time as given by an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenTime {
    /// The same everywhere.
    At(Timestamp),
    /// By the clocks of the zone that the reader is in.
    Local(DateTime),
}

/// A text that is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a time is such as 2026-11-29T10:00:00Z, \"2026-11-29 10:00:00\" (local time) or 1795946400.5 (seconds since 1970)"
)]
pub struct NoTime;

impl GivenTime {
    /// The time for a reader in this zone. A local time that a change of clocks skips or repeats is the earlier one.
    #[must_use]
    pub fn in_zone(self, zone: &TimeZone) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Local(civil) => {
                let time = zone.to_ambiguous_timestamp(civil).earlier();
                time.map_or_else(|_| Timestamp::from_nanos(i64::MAX), of_jiff)
            }
        }
    }

    /// True if it is at or after the other, whatever the zone is.
    #[must_use]
    pub fn is_surely_after(self, other: Self) -> bool {
        match (self, other) {
            (Self::At(time), Self::At(other)) => time >= other,
            (Self::Local(time), Self::Local(other)) => time >= other,
            (Self::At(_), Self::Local(_)) | (Self::Local(_), Self::At(_)) => false,
        }
    }
}

/// Times beyond the 64 bits of nanoseconds become the first or the last that there is.
fn of_jiff(time: jiff::Timestamp) -> Timestamp {
    let nanos = time.as_nanosecond().clamp(i64::MIN.into(), i64::MAX.into());
    Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

impl FromStr for GivenTime {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        if let Some(time) = seconds(text) {
            return Ok(Self::At(time));
        }
        let absolute = text.parse().map(|time| Self::At(of_jiff(time)));
        absolute.or_else(|_| text.parse().map(Self::Local)).map_err(|_| NoTime)
    }
}

/// Seconds since 1970 with up to nine decimals, exactly: a binary fraction would lose nanoseconds.
fn seconds(text: &str) -> Option<Timestamp> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 9 {
        return None;
    }
    let nanos: i64 = format!("{decimals:0<9}").parse().ok()?;
    let whole: i64 = whole.parse().ok()?;
    Some(Timestamp::from_nanos(whole.checked_mul(1_000_000_000)?.checked_add(nanos)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_local_or_seconds() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let nanos = |text: &str| text.parse::<GivenTime>().map(|time| time.in_zone(&zone).as_nanos());
        const TEN: i64 = 1_795_946_400_000_000_000;
        for text in ["2026-11-29T10:00:00Z", "2026-11-29 11:00:00", "2026-11-29T11:00:00+01:00", "1795946400"]
        {
            assert_eq!(nanos(text), Ok(TEN), "{text}");
        }
        assert_eq!(nanos("1795946400.000000001"), Ok(TEN + 1));
        assert_eq!(nanos("2026-11-29T10:00:00.5Z"), Ok(TEN + 500_000_000));
        for wrong in
            ["", "10:00", "yesterday", "-5", "1.0000000000", "99999999999999999999", "2026-13-01 00:00:00"]
        {
            assert_eq!(nanos(wrong), Err(NoTime), "{wrong}");
        }
        let given = |text: &str| text.parse::<GivenTime>().unwrap();
        assert!(given("2").is_surely_after(given("2")) && !given("2").is_surely_after(given("2026-11-29")));
    }
}
