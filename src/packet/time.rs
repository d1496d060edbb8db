//! Packet time: nanoseconds since the Unix epoch, always from the capture, never from the host's clock.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Signed nanoseconds with a niche, so that an `Option` of a time is no larger than the time: flow tables
/// hold millions of them. The sign bit is flipped, which keeps the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Nanos(NonZeroU64);

impl Nanos {
    const SIGN: u64 = 1 << 63;

    /// `i64::MIN` is the niche and is clamped to the next value.
    const fn new(nanos: i64) -> Self {
        match NonZeroU64::new(nanos as u64 ^ Self::SIGN) {
            Some(flipped) => Self(flipped),
            None => Self(NonZeroU64::MIN),
        }
    }

    const fn get(self) -> i64 {
        (self.0.get() ^ Self::SIGN) as i64
    }
}

impl Default for Nanos {
    fn default() -> Self {
        Self::new(0)
    }
}

/// A point in packet time, in nanoseconds since 1970-01-01T00:00:00Z.
///
/// Covers the years 1677 to 2262; the readers clamp times outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(Nanos);

/// A signed span of packet time, in nanoseconds. Negative when a capture's time stamps go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Span(Nanos);

/// A stretch of time, open where it has no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Period {
    /// Its first moment.
    pub begin: Option<Timestamp>,
    /// The first moment after it.
    pub end: Option<Timestamp>,
}

impl Period {
    /// True if the moment lies within.
    #[must_use]
    pub fn contains(self, time: Timestamp) -> bool {
        self.begin.is_none_or(|begin| begin <= time) && self.end.is_none_or(|end| time < end)
    }
}

impl Timestamp {
    /// From nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(Nanos::new(nanos))
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0.get()
    }

    /// The whole second that holds this time, counted from the Unix epoch.
    #[must_use]
    pub const fn second(self) -> i64 {
        self.as_nanos().div_euclid(1_000_000_000)
    }

    /// The span from `earlier` to this time; negative when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// The time moved by `span`, clamped to the representable range.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self::from_nanos(self.0.get().saturating_add(span.0.get()))
    }

    /// This time moved back by `span`, clamped to the representable range.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self::from_nanos(self.0.get().saturating_sub(span.0.get()))
    }
}

impl Span {
    /// Zero nanoseconds.
    pub const ZERO: Self = Self::from_nanos(0);

    /// From nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(Nanos::new(nanos))
    }

    /// The median; of an even number the lesser of the two in the middle. `None` of none.
    #[must_use]
    pub fn median(mut spans: Vec<Self>) -> Option<Self> {
        let middle = spans.len().checked_sub(1)? / 2;
        Some(*spans.select_nth_unstable(middle).1)
    }

    /// True if two measurements of one time may differ like this: by 5 ms, or an eighth, as captures stamp packets.
    #[must_use]
    pub fn is_about(self, other: Self) -> bool {
        let jitter = Self::from_millis(5).max(other.abs().scaled(1, 8));
        self.minus(other).abs() <= jitter
    }

    /// From microseconds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self::from_nanos(micros.saturating_mul(1_000))
    }

    /// From milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self::from_nanos(millis.saturating_mul(1_000_000))
    }

    /// From whole seconds.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_nanos(secs.saturating_mul(1_000_000_000))
    }

    /// In nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0.get()
    }

    /// In seconds, for the machine-readable outputs.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        // Dividing gives the double nearest to the decimal value, which prints with few digits;
        // multiplying by 1e-9 does not.
        self.0.get() as f64 / 1e9
    }

    /// The length, without direction.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self::from_nanos(self.as_nanos().saturating_abs())
    }

    /// The sum of two spans, clamped.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self::from_nanos(self.0.get().saturating_add(other.0.get()))
    }

    /// The difference of two spans, clamped.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self::from_nanos(self.0.get().saturating_sub(other.0.get()))
    }

    /// The span times `numerator / denominator`, clamped.
    #[must_use]
    pub const fn scaled(self, numerator: i64, denominator: i64) -> Self {
        Self::from_nanos(self.0.get().saturating_mul(numerator) / denominator)
    }
}

/// Clamped: a span ends at 292 years.
impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self::from_nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Span {
    /// Three significant digits in a fitting unit: `1.01 s`, `5.20 ms`, `31.0 µs`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.get().unsigned_abs();
        let sign = if self.0.get() < 0 { "-" } else { "" };
        let (value, unit) = match nanos {
            0..1_000 => (nanos as f64, "ns"),
            1_000..1_000_000 => (nanos as f64 / 1e3, "µs"),
            1_000_000..1_000_000_000 => (nanos as f64 / 1e6, "ms"),
            _ => (nanos as f64 / 1e9, "s"),
        };
        let digits = if value >= 100.0 || unit == "ns" {
            0
        } else if value >= 10.0 {
            1
        } else {
            2
        };
        write!(f, "{sign}{value:.digits$} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_signed_and_print_in_a_fitting_unit() {
        let a = Timestamp::from_nanos(5_000_000_000);
        let b = Timestamp::from_nanos(6_010_000_000);
        assert_eq!(b.since(a).to_string(), "1.01 s");
        assert_eq!(a.since(b).as_nanos(), -1_010_000_000);
        assert_eq!(Span::from_micros(31).to_string(), "31.0 µs");
        assert_eq!(Span::from_nanos(5_210_000).to_string(), "5.21 ms");
        assert_eq!(Timestamp::from_nanos(i64::MAX).plus(Span::from_secs(1)), Timestamp::from_nanos(i64::MAX));
        assert_eq!(Span::from(Duration::from_millis(1_010)), b.since(a));
        assert_eq!(Span::from(Duration::MAX), Span::from_nanos(i64::MAX));
    }

    #[test]
    fn a_period_has_its_begin_and_not_its_end() {
        let at = Timestamp::from_nanos;
        let period = Period { begin: Some(at(5)), end: Some(at(7)) };
        assert_eq!([4, 5, 6, 7].map(|nanos| period.contains(at(nanos))), [false, true, true, false]);
        assert!(Period::default().contains(at(i64::MIN)) && Period::default().contains(at(i64::MAX)));
    }

    #[test]
    fn the_median_of_an_even_number_is_the_lesser_of_two() {
        let median = |millis: &[i64]| Span::median(millis.iter().copied().map(Span::from_millis).collect());
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7]), Some(Span::from_millis(7)));
        assert_eq!(median(&[9, 1, 5]), Some(Span::from_millis(5)));
        assert_eq!(median(&[9, 1, 5, 3]), Some(Span::from_millis(3)));
    }

    #[test]
    fn an_optional_time_is_no_larger_and_order_holds_across_zero() {
        assert_eq!(size_of::<Option<Timestamp>>(), size_of::<Timestamp>());
        let times = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX].map(Timestamp::from_nanos);
        assert!(times.is_sorted());
        assert_eq!(times[0], times[1], "the niche is clamped");
        assert_eq!(Timestamp::default().as_nanos(), 0);
    }
}
