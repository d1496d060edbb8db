//! The serialisable views of attempts, listeners and summaries that `json`, `ndjson` and `csv` share.
//!
//! Owns every name, order and unit of the machine-readable outputs (schema 1). Does not own how the
//! views are framed into documents, lines or rows.

use std::borrow::Cow;
use std::fmt::{self, Display};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use strum::{EnumCount, IntoEnumIterator};

use super::wording;
use crate::capture::{CaptureFormat, CaptureInfo};
use crate::engine::{PacketCounts, Summary, Undecoded};
use crate::handshake::{
    Attempt, Cause, Confidence, Connect, Errno, Outcome, Reason, Retries, Timing, Vantage, Verdict,
};
use crate::kernel::KernelStats;
use crate::listener::{Listener, RetrySums, Tally};
use crate::packet::{Endpoint, LinkType, Protocol, Skip, Span, Timestamp};

/// Counts up when a name of the machine-readable outputs changes its meaning.
pub const SCHEMA: u32 = 1;

/// The program and version that wrote a document.
pub const TOOL: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// A value that is serialised as the string it displays as.
pub(super) struct Shown<T>(pub(super) T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A list of values, each serialised as the string it displays as.
struct ShownList<'a, T>(&'a [T]);

impl<T: Display> Serialize for ShownList<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Shown))
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

/// One attempt.
#[derive(Serialize)]
pub(crate) struct AttemptRecord<'a> {
    client: Shown<Endpoint>,
    server: Shown<Endpoint>,
    capture: u16,
    frame: u64,
    start: Shown<Rfc3339>,
    verdict: &'static str,
    reason: Option<Shown<Reason>>,
    cause: Option<&'static str>,
    abort_on_overflow: Option<u8>,
    confidence: Option<&'static str>,
    evidence: Vec<Cow<'a, str>>,
    established: Option<bool>,
    retries: RetriesRecord,
    retry_at: SecondsList<'a>,
    timing: TimingRecord,
    vantage: Option<&'static str>,
    connect: ConnectRecord,
    packets: u32,
}

impl<'a> From<&'a Attempt> for AttemptRecord<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        Self {
            client: Shown(attempt.client),
            server: Shown(attempt.server),
            capture: attempt.frame.capture(),
            frame: attempt.frame.number(),
            start: Shown(Rfc3339(attempt.start)),
            verdict: attempt.verdict.name(),
            reason: attempt.reason.map(Shown),
            cause: attempt.inference.cause.map(Cause::name),
            abort_on_overflow: sysctl(attempt.inference.abort_on_overflow),
            confidence: attempt.inference.confidence.map(Confidence::name),
            evidence: attempt
                .inference
                .evidence
                .iter()
                .map(|&evidence| wording::evidence(evidence))
                .collect(),
            established: attempt.established,
            retries: attempt.retries.into(),
            retry_at: SecondsList(&attempt.retry_at),
            timing: attempt.timing.into(),
            vantage: attempt.vantage.map(Vantage::name),
            connect: attempt.connect.into(),
            packets: attempt.packets,
        }
    }
}

struct SecondsList<'a>(&'a [Span]);

impl Serialize for SecondsList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|span| Seconds::from(*span)))
    }
}

#[derive(Serialize)]
struct RetriesRecord {
    syn: u64,
    syn_ack: u64,
    after_ack: u64,
}

impl From<Retries> for RetriesRecord {
    fn from(retries: Retries) -> Self {
        let Retries { syn, syn_ack, after_ack } = retries;
        Self { syn: syn.into(), syn_ack: syn_ack.into(), after_ack: after_ack.into() }
    }
}

impl From<RetrySums> for RetriesRecord {
    fn from(sums: RetrySums) -> Self {
        let RetrySums { syn, syn_ack, after_ack } = sums;
        Self { syn, syn_ack, after_ack }
    }
}

#[derive(Serialize)]
struct TimingRecord {
    syn_to_synack: Option<Seconds>,
    synack_to_ack: Option<Seconds>,
    ack_to_rst: Option<Seconds>,
    duration: Seconds,
}

impl From<Timing> for TimingRecord {
    fn from(timing: Timing) -> Self {
        Self {
            syn_to_synack: timing.syn_to_synack.map(Seconds::from),
            synack_to_ack: timing.synack_to_ack.map(Seconds::from),
            ack_to_rst: timing.ack_to_rst.map(Seconds::from),
            duration: timing.duration.into(),
        }
    }
}

#[derive(Serialize)]
struct ConnectRecord {
    outcome: &'static str,
    errno: Option<&'static str>,
    window: Option<Seconds>,
}

impl From<Connect> for ConnectRecord {
    fn from(connect: Connect) -> Self {
        Self {
            outcome: Outcome::name(connect.outcome),
            errno: connect.errno.map(Errno::name),
            window: connect.window.map(Seconds::from),
        }
    }
}

/// One listener. `server` is null on the record that folds the listeners past the bound.
#[derive(Serialize)]
pub(super) struct ListenerRecord<'a> {
    server: Option<Shown<Endpoint>>,
    attempts: u64,
    verdicts: VerdictCounts<'a>,
    cause: Option<&'static str>,
    abort_on_overflow: Option<u8>,
    confidence: Option<&'static str>,
    evidence: Vec<Cow<'a, str>>,
    diagnosis: String,
    retries: RetriesRecord,
    kernel: Option<&'a KernelStats>,
}

impl<'a> From<&'a Listener> for ListenerRecord<'a> {
    fn from(listener: &'a Listener) -> Self {
        Self {
            server: listener.server.map(Shown),
            attempts: listener.verdicts.total(),
            verdicts: VerdictCounts(&listener.verdicts),
            cause: listener.cause.map(Cause::name),
            abort_on_overflow: sysctl(listener.abort_on_overflow),
            confidence: listener.confidence.map(Confidence::name),
            evidence: listener.evidence.iter().map(wording::listener_evidence).collect(),
            diagnosis: wording::diagnosis(listener),
            retries: listener.retries.into(),
            kernel: listener.kernel.as_ref(),
        }
    }
}

/// Attempts by verdict, zeros included.
pub(super) struct VerdictCounts<'a>(&'a Tally);

impl Serialize for VerdictCounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Verdict::iter().map(|v| (v.name(), self.0.get(v))))
    }
}

/// One capture.
#[derive(Serialize)]
pub(super) struct CaptureRecord<'a> {
    path: &'a str,
    format: Option<&'static str>,
    link_types: ShownList<'a, LinkType>,
    packets: u64,
    bytes: u64,
    first: Option<Shown<Rfc3339>>,
    last: Option<Shown<Rfc3339>>,
    damaged: Option<&'a str>,
    dropped: Option<u64>,
    /// Only where there are any: hardly any capture has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    untimed: Option<u64>,
}

impl<'a> From<&'a CaptureInfo> for CaptureRecord<'a> {
    fn from(capture: &'a CaptureInfo) -> Self {
        Self {
            path: &capture.path,
            format: capture.format.map(|format| match format {
                CaptureFormat::Pcap => "pcap",
                CaptureFormat::PcapNg => "pcapng",
                CaptureFormat::Live => "live",
            }),
            link_types: ShownList(&capture.link_types),
            packets: capture.packets,
            bytes: capture.bytes,
            first: capture.first.map(|t| Shown(Rfc3339(t))),
            last: capture.last.map(|t| Shown(Rfc3339(t))),
            damaged: capture.damaged.as_deref(),
            dropped: capture.dropped,
            untimed: Some(capture.untimed).filter(|&untimed| untimed > 0),
        }
    }
}

/// Packets by use.
#[derive(Serialize)]
pub(super) struct PacketsRecord<'a> {
    total: u64,
    tcp: u64,
    copies: u64,
    midstream: u64,
    skipped: SkipCounts<'a>,
    undecoded: Vec<UndecodedRecord>,
}

impl<'a> From<&'a PacketCounts> for PacketsRecord<'a> {
    fn from(counts: &'a PacketCounts) -> Self {
        Self {
            total: counts.total,
            tcp: counts.tcp,
            copies: counts.copies,
            midstream: counts.midstream,
            skipped: SkipCounts(&counts.skipped),
            undecoded: counts.undecoded.iter().map(UndecodedRecord::from).collect(),
        }
    }
}

/// Packets whose decoding stopped at one protocol.
#[derive(Serialize)]
struct UndecodedRecord {
    what: Shown<Protocol>,
    packets: u64,
}

impl From<&Undecoded> for UndecodedRecord {
    fn from(undecoded: &Undecoded) -> Self {
        Self { what: Shown(undecoded.protocol), packets: undecoded.packets }
    }
}

struct SkipCounts<'a>(&'a [u64; Skip::COUNT]);

impl Serialize for SkipCounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (reason, count) in Skip::iter().zip(self.0) {
            map.serialize_entry(reason.name(), count)?;
        }
        map.end()
    }
}

/// What a document says of the whole input: everything but listeners and attempts.
#[derive(Serialize)]
pub(super) struct Overview<'a> {
    pub(super) schema: u32,
    pub(super) tool: &'static str,
    pub(super) captures: Vec<CaptureRecord<'a>>,
    pub(super) packets: PacketsRecord<'a>,
    pub(super) verdicts: VerdictCounts<'a>,
}

impl<'a> From<&'a Summary> for Overview<'a> {
    fn from(summary: &'a Summary) -> Self {
        Self {
            schema: SCHEMA,
            tool: TOOL,
            captures: summary.captures.iter().map(CaptureRecord::from).collect(),
            packets: (&summary.packets).into(),
            verdicts: VerdictCounts(&summary.verdicts),
        }
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
