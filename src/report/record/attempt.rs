//! Record of an attempt: its names, order and units in JSON and NDJSON.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::sighting::SightingRecord;
use super::{Displayed, Rfc3339, Seconds, StatementRecord, sysctl};
use crate::handshake::{
    Attempt, Cause, Confidence, Connect, ConnectOutcome, Errno, History, IcmpAnswer, Reason, Retries,
    RuledOut, Timing, Unproven, Vantage,
};
use crate::listener::RetrySums;
use crate::packet::{Endpoint, Span};
use crate::report::wording;

/// Record of an attempt.
#[derive(Serialize)]
pub(crate) struct AttemptRecord<'a> {
    client: Displayed<Endpoint>,
    client_ip: IpAddr,
    client_port: u16,
    server: Displayed<Endpoint>,
    server_ip: IpAddr,
    server_port: u16,
    capture: u16,
    frame: u64,
    start: Displayed<Rfc3339>,
    verdict: &'static str,
    reason: Option<&'static str>,
    syn_missing: bool,
    icmp: Option<IcmpRecord>,
    unproven: Option<&'static str>,
    cause: Option<&'static str>,
    abort_on_overflow: Option<u8>,
    confidence: Option<&'static str>,
    evidence: Vec<StatementRecord>,
    ruled_out: Vec<RuledOutRecord>,
    established: Option<bool>,
    retries: RetriesRecord,
    retry_at: SecondsList<'a>,
    syn_retry_at: SecondsList<'a>,
    timing: TimingRecord,
    vantage: Option<&'static str>,
    connect: ConnectRecord,
    history: Displayed<History>,
    sightings: Vec<SightingRecord<'a>>,
    packets: u32,
}

impl<'a> From<&'a Attempt> for AttemptRecord<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        let inference = &attempt.inference;
        Self {
            client: Displayed(attempt.client),
            client_ip: attempt.client.ip(),
            client_port: attempt.client.port(),
            server: Displayed(attempt.server),
            server_ip: attempt.server.ip(),
            server_port: attempt.server.port(),
            capture: attempt.frame.capture(),
            frame: attempt.frame.number(),
            start: Displayed(Rfc3339(attempt.start)),
            verdict: attempt.verdict.name(),
            reason: attempt.reason.map(Reason::name),
            syn_missing: attempt.is_syn_missing(),
            icmp: attempt.icmp.map(IcmpRecord::from),
            unproven: attempt.unproven.map(Unproven::name),
            cause: inference.cause.map(Cause::name),
            abort_on_overflow: sysctl(inference.abort_on_overflow),
            confidence: inference.confidence.map(Confidence::name),
            evidence: inference.evidence.iter().map(|&evidence| evidence.into()).collect(),
            ruled_out: inference.ruled_out.iter().map(|&ruled_out| ruled_out.into()).collect(),
            established: attempt.established,
            retries: attempt.retries.into(),
            retry_at: SecondsList(&attempt.retry_at),
            syn_retry_at: SecondsList(&attempt.syn_retry_at),
            timing: attempt.timing.into(),
            vantage: attempt.vantage.map(Vantage::name),
            connect: attempt.connect.into(),
            history: Displayed(attempt.history),
            sightings: sightings(attempt),
            packets: attempt.packets,
        }
    }
}

fn sightings(attempt: &Attempt) -> Vec<SightingRecord<'_>> {
    let passage = attempt.passage.as_deref();
    passage.into_iter().flat_map(|passage| &passage.sightings).map(SightingRecord::from).collect()
}

/// Type, code and sender of the ICMP error that answered the SYN.
#[derive(Serialize)]
struct IcmpRecord {
    r#type: u8,
    code: u8,
    from: IpAddr,
}

impl From<IcmpAnswer> for IcmpRecord {
    fn from(IcmpAnswer { error, from }: IcmpAnswer) -> Self {
        Self { r#type: error.kind, code: error.code, from }
    }
}

/// A cause that is excluded, and by what.
#[derive(Serialize)]
struct RuledOutRecord {
    cause: &'static str,
    code: &'static str,
    text: Cow<'static, str>,
}

impl From<RuledOut> for RuledOutRecord {
    fn from(RuledOut { cause, evidence }: RuledOut) -> Self {
        Self { cause: cause.name(), code: evidence.code(), text: wording::evidence(evidence) }
    }
}

struct SecondsList<'a>(&'a [Span]);

impl Serialize for SecondsList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|span| Seconds::from(*span)))
    }
}

#[derive(Serialize)]
pub(super) struct RetriesRecord {
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
    connect: Option<Seconds>,
    delay: Option<Seconds>,
    stall: Option<Seconds>,
    syn_to_synack: Option<Seconds>,
    synack_to_ack: Option<Seconds>,
    ack_to_rst: Option<Seconds>,
    duration: Seconds,
}

impl From<Timing> for TimingRecord {
    fn from(timing: Timing) -> Self {
        Self {
            connect: timing.connect.map(Seconds::from),
            delay: timing.delay.map(Seconds::from),
            stall: timing.stall.map(Seconds::from),
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
            outcome: ConnectOutcome::name(connect.outcome),
            errno: connect.errno.map(Errno::name),
            window: connect.window.map(Seconds::from),
        }
    }
}
