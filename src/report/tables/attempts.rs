//! Columns of `attempts.parquet`.

use super::column::{
    TableColumn, count, fixed, integer, name, owned, port, span, spans, text, texts, time, yes_or_no,
};
use crate::handshake::{Attempt, Cause, Confidence, Errno, Reason, Timing, Unproven, Vantage};
use crate::packet::{Endpoint, Span};
use crate::report::record::sysctl;
use crate::report::wording;

/// The columns, in the order of `--format csv`.
pub(super) fn columns() -> Vec<TableColumn<Attempt>> {
    let mut columns = Vec::new();
    columns.extend(endpoint("client", |attempt: &Attempt| Some(attempt.client)));
    columns.extend(endpoint("server", |attempt: &Attempt| Some(attempt.server)));
    columns.extend(verdict());
    columns.extend(inference());
    columns.extend(timing());
    columns.extend([
        name("vantage", |attempt: &Attempt| attempt.vantage.map(Vantage::name)),
        name("connect_outcome", |attempt: &Attempt| Some(attempt.connect.outcome.name())),
        name("connect_errno", |attempt: &Attempt| attempt.connect.errno.map(Errno::name)),
        span("connect_window", |attempt: &Attempt| attempt.connect.window),
        text("history", |attempt: &Attempt| Some(owned(attempt.history.to_string()))),
        count("packets", |attempt: &Attempt| attempt.packets.into()),
    ]);
    columns
}

/// An address with its port, and both apart.
pub(super) fn endpoint<T>(
    of: &str,
    get: impl Fn(&T) -> Option<Endpoint> + Copy + Send + 'static,
) -> [TableColumn<T>; 3] {
    [
        text(of, move |row| get(row).map(|endpoint| owned(endpoint.to_string()))),
        text(format!("{of}_ip"), move |row| get(row).map(|endpoint| owned(endpoint.ip().to_string()))),
        port(format!("{of}_port"), move |row| get(row).map(|endpoint| endpoint.port())),
    ]
}

fn verdict() -> [TableColumn<Attempt>; 10] {
    [
        count("capture", |attempt: &Attempt| attempt.frame.capture().into()),
        count("frame", |attempt: &Attempt| attempt.frame.number()),
        time("start", |attempt: &Attempt| Some(attempt.start)),
        name("verdict", |attempt: &Attempt| Some(attempt.verdict.name())),
        name("reason", |attempt: &Attempt| attempt.reason.map(Reason::name)),
        yes_or_no("syn_missing", |attempt: &Attempt| Some(attempt.is_syn_missing())),
        integer("icmp_type", |attempt: &Attempt| attempt.icmp.map(|icmp| icmp.error.kind.into())),
        integer("icmp_code", |attempt: &Attempt| attempt.icmp.map(|icmp| icmp.error.code.into())),
        text("icmp_from", |attempt: &Attempt| attempt.icmp.map(|icmp| owned(icmp.from.to_string()))),
        name("unproven", |attempt: &Attempt| attempt.unproven.map(Unproven::name)),
    ]
}

fn inference() -> [TableColumn<Attempt>; 7] {
    [
        name("cause", |attempt: &Attempt| attempt.inference.cause.map(Cause::name)),
        integer("abort_on_overflow", |attempt: &Attempt| {
            sysctl(attempt.inference.abort_on_overflow).map(i64::from)
        }),
        name("confidence", |attempt: &Attempt| attempt.inference.confidence.map(Confidence::name)),
        texts("evidence_code", |attempt: &Attempt| {
            attempt.inference.evidence.iter().map(|evidence| fixed(evidence.code())).collect()
        }),
        texts("evidence_text", |attempt: &Attempt| {
            attempt.inference.evidence.iter().map(|&evidence| owned(wording::evidence(evidence))).collect()
        }),
        texts("ruled_out_cause", |attempt: &Attempt| {
            attempt.inference.ruled_out.iter().map(|ruled_out| fixed(ruled_out.cause.name())).collect()
        }),
        yes_or_no("established", |attempt: &Attempt| attempt.established),
    ]
}

fn timing() -> Vec<TableColumn<Attempt>> {
    /// A time of an attempt with its name.
    type Time = (&'static str, fn(&Timing) -> Option<Span>);
    const TIMES: [Time; 7] = [
        ("connect", |timing| timing.connect),
        ("delay", |timing| timing.delay),
        ("stall", |timing| timing.stall),
        ("syn_to_synack", |timing| timing.syn_to_synack),
        ("synack_to_ack", |timing| timing.synack_to_ack),
        ("ack_to_rst", |timing| timing.ack_to_rst),
        ("duration", |timing| Some(timing.duration)),
    ];
    let nanos = |times: &[Span]| times.iter().map(|span| span.as_nanos()).collect();
    let mut columns = vec![
        count("retries_syn", |attempt: &Attempt| attempt.retries.syn.into()),
        count("retries_syn_ack", |attempt: &Attempt| attempt.retries.syn_ack.into()),
        count("retries_after_ack", |attempt: &Attempt| attempt.retries.after_ack.into()),
        spans("retry_at", move |attempt: &Attempt| nanos(&attempt.retry_at)),
        spans("syn_retry_at", move |attempt: &Attempt| nanos(&attempt.syn_retry_at)),
    ];
    let times = TIMES
        .map(|(name, get)| span(format!("timing_{name}"), move |attempt: &Attempt| get(&attempt.timing)));
    columns.extend(times);
    columns
}
