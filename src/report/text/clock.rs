//! Packet time as people read it: local time, as tcpdump prints it.

use jiff::ZonedDateTime;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::packet::{Span, Timestamp};

/// Prints times of one time zone; the date only where it differs from the header's.
#[derive(Debug, Clone)]
pub(in crate::report) struct Clock {
    zone: TimeZone,
    day: Option<Date>,
}

impl Clock {
    pub(in crate::report) fn new(zone: TimeZone) -> Self {
        Self { zone, day: None }
    }

    /// The same clock for a report whose header shows the day of `first`.
    pub(in crate::report) fn on_day_of(&self, first: Option<Timestamp>) -> Self {
        Self { day: first.map(|time| self.local(time).date()), zone: self.zone.clone() }
    }

    /// Date, time and zone, once for the whole report: `2026-11-23 01:46:47 UTC`.
    pub(in crate::report) fn date_and_zone(&self, time: Timestamp) -> String {
        self.local(time).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// `01:46:47.055`, with the date before it when it is not the header's day.
    pub(in crate::report) fn time(&self, time: Timestamp) -> String {
        let local = self.local(time);
        let format = if self.day == Some(local.date()) { "%H:%M:%S%.3f" } else { "%Y-%m-%d %H:%M:%S%.3f" };
        local.strftime(format).to_string()
    }

    /// `01:46:47`, whatever the day.
    #[cfg(feature = "tui")]
    pub(in crate::report) fn time_of_day(&self, time: Timestamp) -> String {
        self.local(time).strftime("%H:%M:%S").to_string()
    }

    /// Microseconds since the epoch, as if local time were UTC.
    pub(in crate::report) fn local_micros(&self, time: Timestamp) -> i64 {
        time.as_nanos() / 1_000 + i64::from(self.local(time).offset().seconds()) * 1_000_000
    }

    fn local(&self, time: Timestamp) -> ZonedDateTime {
        // Nanoseconds in 64 bits reach from 1677 to 2262, jiff from -9999 to 9999: it always fits.
        let time = jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos())).unwrap_or_default();
        time.to_zoned_datetime(self.zone.clone())
    }
}

/// Duration of a capture: as [`Span`] prints up to two minutes, then `5 min 12 s`, `3 h 4 min`, `2 d 7 h`.
pub(in crate::report) fn length(span: Span) -> String {
    let seconds = span.as_nanos() / 1_000_000_000;
    match seconds {
        ..120 => span.to_string(),
        120..7_200 => format!("{} min {} s", seconds / 60, seconds % 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_shown_only_where_it_differs() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let evening = Timestamp::from_nanos(1_795_388_400_250_000_000); // 2026-11-22T23:00:00.25Z
        let clock = Clock::new(zone).on_day_of(Some(evening));
        assert_eq!(clock.date_and_zone(evening), "2026-11-23 00:00:00 +01");
        assert_eq!(clock.time(evening), "00:00:00.250");
        assert_eq!(clock.time(evening.plus(Span::from_secs(86_400))), "2026-11-24 00:00:00.250");
    }

    #[test]
    fn lengths_stay_readable() {
        assert_eq!(length(Span::from_millis(40_600)), "40.6 s");
        assert_eq!(length(Span::from_secs(312)), "5 min 12 s");
        assert_eq!(length(Span::from_secs(11_040)), "3 h 4 min");
        assert_eq!(length(Span::from_secs(198_000)), "2 d 7 h");
        assert_eq!(length(Span::from_millis(-5)), "-5.00 ms");
    }
}
