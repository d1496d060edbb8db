//! Record of a listener, with its clients and percentiles.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::Serialize;

use super::attempt::RetriesRecord;
use super::episode::EpisodeRecord;
use super::kernel::KernelRecord;
use super::size::SizeRecord;
use super::verdict_counts::VerdictCounts;
use super::{Displayed, Rfc3339, Seconds, StatementRecord, sysctl};
use crate::handshake::{Cause, Confidence};
use crate::listener::{CauseCount, Clients, Listener, ListenerEvidence, Percentiles, Scan};
use crate::packet::Endpoint;
use crate::report::{display_filter, wording};

/// Record of a listener. `server` is null on the record of a scan, and on that which folds the listeners past the bound.
#[derive(Serialize)]
pub(in crate::report) struct ListenerRecord<'a> {
    server: Option<Displayed<Endpoint>>,
    server_ip: Option<IpAddr>,
    server_port: Option<u16>,
    scan: Option<ScanRecord>,
    attempts: u64,
    verdicts: VerdictCounts<'a>,
    unproven: u64,
    failed: u64,
    late: u64,
    connect_time: Option<PercentilesRecord>,
    delay: Option<PercentilesRecord>,
    stall: Option<PercentilesRecord>,
    cause: Option<&'static str>,
    abort_on_overflow: Option<u8>,
    confidence: Option<&'static str>,
    causes: Vec<CauseRecord>,
    evidence: Vec<StatementRecord>,
    diagnosis: String,
    since: Option<Displayed<Rfc3339>>,
    until: Option<Displayed<Rfc3339>>,
    episodes: Vec<EpisodeRecord<'a>>,
    clients: ClientsRecord,
    advice: Vec<AdviceRecord>,
    display_filter: Option<String>,
    retries: RetriesRecord,
    size: Option<SizeRecord>,
    kernel: Option<Box<KernelRecord<'a>>>,
}

impl<'a> From<&'a Listener> for ListenerRecord<'a> {
    fn from(listener: &'a Listener) -> Self {
        let time = |time| Displayed(Rfc3339(time));
        let advice = listener.advice.iter().map(|&advice| AdviceRecord {
            kind: advice.kind().name(),
            text: wording::advice(advice, listener.server, listener.kernel.as_ref()),
        });
        Self {
            server: listener.server.map(Displayed),
            server_ip: listener.server.map(|server| server.ip()),
            server_port: listener.server.map(|server| server.port()),
            scan: listener.scan.map(ScanRecord::from),
            attempts: listener.verdicts.total(),
            verdicts: VerdictCounts(&listener.verdicts),
            unproven: listener.unproven,
            failed: listener.failed,
            late: listener.late,
            connect_time: listener.connect_time.map(PercentilesRecord::from),
            delay: listener.delay.map(PercentilesRecord::from),
            stall: listener.stall.map(PercentilesRecord::from),
            cause: listener.cause.map(Cause::name),
            abort_on_overflow: sysctl(listener.abort_on_overflow),
            confidence: listener.confidence.map(Confidence::name),
            causes: listener.causes.iter().map(CauseRecord::from).collect(),
            evidence: listener.evidence.iter().map(StatementRecord::from).collect(),
            diagnosis: wording::diagnosis(listener),
            since: listener.since.map(time),
            until: listener.until.map(time),
            episodes: listener.episodes.iter().map(EpisodeRecord::from).collect(),
            clients: listener.clients.into(),
            advice: advice.collect(),
            display_filter: display_filter::of(listener),
            retries: listener.retries.into(),
            size: listener.size.as_ref().map(SizeRecord::of),
            kernel: listener.kernel.as_ref().map(|stats| Box::new(KernelRecord::from(stats))),
        }
    }
}

impl From<&ListenerEvidence> for StatementRecord {
    fn from(evidence: &ListenerEvidence) -> Self {
        Self { code: evidence.code(), text: wording::listener_evidence(evidence) }
    }
}

/// A cause of some of the attempts.
#[derive(Serialize)]
struct CauseRecord {
    cause: &'static str,
    confidence: Option<&'static str>,
    attempts: u64,
}

impl From<&CauseCount> for CauseRecord {
    fn from(count: &CauseCount) -> Self {
        Self {
            cause: count.cause.name(),
            confidence: count.confidence().map(Confidence::name),
            attempts: count.verdicts.total(),
        }
    }
}

/// A scan whose listeners this record sums up; `host` is null if they are on several.
#[derive(Serialize)]
struct ScanRecord {
    client: IpAddr,
    host: Option<IpAddr>,
    servers: u64,
}

impl From<Scan> for ScanRecord {
    fn from(Scan { client, host, servers }: Scan) -> Self {
        Self { client, host, servers }
    }
}

#[derive(Serialize)]
struct AdviceRecord {
    kind: &'static str,
    text: Cow<'static, str>,
}

/// Clients of overflowed attempts. `unsure` are those of which the packets do not show whether they are right to
/// believe that they are connected.
#[derive(Serialize)]
struct ClientsRecord {
    believe_connected: u64,
    unsure: u64,
    waiting: u64,
    late: u64,
    reset: u64,
    timed_out: u64,
}

impl From<Clients> for ClientsRecord {
    fn from(clients: Clients) -> Self {
        let Clients { believe_connected, unsure, waiting, late, reset, timed_out, reset_after: _ } = clients;
        Self { believe_connected, unsure, waiting, late, reset, timed_out }
    }
}

#[derive(Serialize)]
pub(super) struct PercentilesRecord {
    p50: Seconds,
    p90: Seconds,
    p99: Seconds,
    max: Seconds,
}

impl From<Percentiles> for PercentilesRecord {
    fn from(Percentiles { p50, p90, p99, max }: Percentiles) -> Self {
        Self { p50: p50.into(), p90: p90.into(), p99: p99.into(), max: max.into() }
    }
}
