//! The serialisable records of all commands: schema 2.
//!
//! Owns every name, order and unit of the machine-readable outputs (`docs/schema-2.json` describes them). Does not own
//! how records are framed into documents, lines or rows.

mod attempt;
mod baseline;
mod capture;
mod comparison;
mod episode;
mod kernel;
#[cfg(all(target_os = "linux", feature = "lab"))]
mod lab;
mod listener;
mod queues;
mod race;
mod sighting;
mod size;
mod verdict_counts;

use std::borrow::Cow;
use std::fmt::{self, Display};

use serde::{Serialize, Serializer};

pub(crate) use self::attempt::AttemptRecord;
pub use self::baseline::{BaselineError, read_baseline};
pub(super) use self::capture::OverviewRecord;
pub(super) use self::comparison::ComparisonRecord;
pub(super) use self::episode::EpisodeReportRecord;
#[cfg(all(target_os = "linux", feature = "lab"))]
pub(crate) use self::lab::write_lab;
pub(super) use self::listener::ListenerRecord;
pub use self::race::{write_race_csv, write_race_json};
pub use self::size::write_size_json;
use super::wording;
use crate::handshake::Evidence;
use crate::packet::{Span, Timestamp};

/// Counts up when a name of the machine-readable outputs changes its meaning.
pub const SCHEMA: u32 = 2;

/// The program and version that wrote a document.
pub const TOOL: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// A value that is serialised as the string it displays as.
pub(super) struct Displayed<T>(pub(super) T);

impl<T: Display> Serialize for Displayed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A list of values, each serialised as the string it displays as.
pub(super) struct DisplayedList<'a, T>(&'a [T]);

impl<T: Display> Serialize for DisplayedList<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Displayed))
    }
}

/// A point in time as RFC 3339 in UTC with nine fractional digits.
pub(super) struct Rfc3339(pub(super) Timestamp);

impl Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nanoseconds in 64 bits reach from 1677 to 2262, jiff from -9999 to 9999: it always fits.
        let time = jiff::Timestamp::from_nanosecond(i128::from(self.0.as_nanos())).unwrap_or_default();
        write!(f, "{time:.9}")
    }
}

/// Seconds as a number. The nearest double of a whole number of nanoseconds has that decimal as its
/// shortest form, so `1.01` never becomes `1.0100000000000002`.
#[derive(Serialize)]
struct Seconds(f64);

impl From<Span> for Seconds {
    fn from(span: Span) -> Self {
        Self(span.as_secs_f64())
    }
}

/// `net.ipv4.tcp_abort_on_overflow` as the kernel writes it: 0 or 1.
pub(super) fn sysctl(on: Option<bool>) -> Option<u8> {
    on.map(u8::from)
}

/// A statement for programs and for people: go by the code.
#[derive(Serialize)]
pub(super) struct StatementRecord {
    code: &'static str,
    text: Cow<'static, str>,
}

impl From<Evidence> for StatementRecord {
    fn from(evidence: Evidence) -> Self {
        Self { code: evidence.code(), text: wording::evidence(evidence) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_nine_digits_and_zulu() {
        let shown = |nanos| Rfc3339(Timestamp::from_nanos(nanos)).to_string();
        assert_eq!(shown(1_795_398_407_055_149_000), "2026-11-23T01:46:47.055149000Z");
        assert_eq!(shown(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(shown(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(shown(i64::MAX), "2262-04-11T23:47:16.854775807Z");
    }

    #[test]
    fn seconds_have_no_float_noise() {
        let shown = |nanos| serde_json::to_string(&Seconds::from(Span::from_nanos(nanos))).unwrap();
        assert_eq!(shown(1_010_000_000), "1.01");
        assert_eq!(shown(31_300_000_001), "31.300000001");
        assert_eq!(shown(100_000_003), "0.100000003");
        assert_eq!(shown(0), "0.0");
        assert_eq!(shown(-1_500_000_000), "-1.5");
    }
}
