//! The whole input: captures, their limits, packets by use, verdicts.

use serde::{Serialize, Serializer};
use strum::{EnumCount, IntoEnumIterator};

use super::verdict_counts::VerdictCounts;
use super::{Displayed, DisplayedList, Rfc3339, SCHEMA, StatementRecord, TOOL};
use crate::capture::{CaptureFormat, CaptureInfo};
use crate::engine::{Limit, PacketCounts, Summary, Undecoded};
use crate::packet::{CapturePoint, LinkType, Protocol, Skip};
use crate::report::wording;

/// Everything in a document but listeners and attempts.
#[derive(Serialize)]
pub(in crate::report) struct OverviewRecord<'a> {
    pub(in crate::report) schema: u32,
    pub(in crate::report) tool: &'static str,
    pub(in crate::report) captures: Vec<CaptureRecord<'a>>,
    pub(in crate::report) limits: Vec<StatementRecord>,
    pub(in crate::report) packets: PacketsRecord<'a>,
    pub(in crate::report) verdicts: VerdictCounts<'a>,
}

impl<'a> From<&'a Summary> for OverviewRecord<'a> {
    fn from(summary: &'a Summary) -> Self {
        Self {
            schema: SCHEMA,
            tool: TOOL,
            captures: summary.captures.iter().map(CaptureRecord::from).collect(),
            limits: summary.limits().iter().map(StatementRecord::from).collect(),
            packets: (&summary.packets).into(),
            verdicts: VerdictCounts(&summary.verdicts),
        }
    }
}

impl From<&Limit> for StatementRecord {
    fn from(limit: &Limit) -> Self {
        Self { code: limit.code(), text: wording::limit(limit).into() }
    }
}

/// Record of a capture.
#[derive(Serialize)]
pub(in crate::report) struct CaptureRecord<'a> {
    path: &'a str,
    format: Option<&'static str>,
    link_types: DisplayedList<'a, LinkType>,
    packets: u64,
    bytes: u64,
    first: Option<Displayed<Rfc3339>>,
    last: Option<Displayed<Rfc3339>>,
    damaged: Option<&'a str>,
    dropped: Option<u64>,
    untimed: u64,
    points: DisplayedList<'a, CapturePoint>,
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
            link_types: DisplayedList(&capture.link_types),
            packets: capture.packets,
            bytes: capture.bytes,
            first: capture.first.map(|t| Displayed(Rfc3339(t))),
            last: capture.last.map(|t| Displayed(Rfc3339(t))),
            damaged: capture.damaged.as_deref(),
            dropped: capture.dropped,
            untimed: capture.untimed,
            points: DisplayedList(&capture.points),
        }
    }
}

/// Packets by use.
#[derive(Serialize)]
pub(in crate::report) struct PacketsRecord<'a> {
    total: u64,
    tcp: u64,
    duplicates: u64,
    midstream: u64,
    icmp_errors: u64,
    skipped: SkipCounts<'a>,
    undecoded: Vec<UndecodedRecord>,
}

impl<'a> From<&'a PacketCounts> for PacketsRecord<'a> {
    fn from(counts: &'a PacketCounts) -> Self {
        Self {
            total: counts.total,
            tcp: counts.tcp,
            duplicates: counts.copies,
            midstream: counts.midstream,
            icmp_errors: counts.icmp_errors(),
            skipped: SkipCounts(&counts.skipped),
            undecoded: counts.undecoded.iter().map(UndecodedRecord::from).collect(),
        }
    }
}

/// Packets whose decoding stopped at one protocol.
#[derive(Serialize)]
struct UndecodedRecord {
    what: Displayed<Protocol>,
    packets: u64,
}

impl From<&Undecoded> for UndecodedRecord {
    fn from(undecoded: &Undecoded) -> Self {
        Self { what: Displayed(undecoded.protocol), packets: undecoded.packets }
    }
}

struct SkipCounts<'a>(&'a [u64; Skip::COUNT]);

impl Serialize for SkipCounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Skip::iter().map(Skip::name).zip(self.0))
    }
}
