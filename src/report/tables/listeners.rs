//! Columns of `listeners.parquet` and `episodes.parquet`.

use strum::IntoEnumIterator;

use super::attempts::endpoint;
use super::column::{TableColumn, count, fixed, integer, name, owned, span, text, texts, time, yes_or_no};
use crate::handshake::{Cause, Confidence, Verdict};
use crate::kernel::KernelStats;
use crate::listener::{Clients, Episode, Listener, Percentiles, Scan, Tally};
use crate::packet::{Endpoint, Span};
use crate::report::record::sysctl;
use crate::report::{display_filter, wording};

/// An episode with its listener.
pub(super) struct EpisodeRow {
    pub(super) server: Option<Endpoint>,
    pub(super) scan: Option<Scan>,
    pub(super) episode: Episode,
}

/// The columns of listeners, in the order of JSON.
pub(super) fn columns() -> Vec<TableColumn<Listener>> {
    let mut columns = Vec::new();
    columns.extend(endpoint("server", |listener: &Listener| listener.server));
    columns.extend(scan(|listener: &Listener| listener.scan));
    columns.push(count("attempts", |listener: &Listener| listener.verdicts.total()));
    columns.extend(verdicts(|listener: &Listener| &listener.verdicts));
    columns.push(count("unproven", |listener: &Listener| listener.unproven));
    columns.extend(percentiles("connect_time", |listener: &Listener| listener.connect_time));
    columns.extend(percentiles("delay", |listener: &Listener| listener.delay));
    columns.extend(percentiles("stall", |listener: &Listener| listener.stall));
    columns.extend(meaning());
    columns.extend(clients());
    columns.extend([
        text("display_filter", |listener: &Listener| display_filter::of(listener).map(owned)),
        count("retries_syn", |listener: &Listener| listener.retries.syn),
        count("retries_syn_ack", |listener: &Listener| listener.retries.syn_ack),
        count("retries_after_ack", |listener: &Listener| listener.retries.after_ack),
    ]);
    columns.extend(kernel());
    columns
}

/// The columns of episodes, in the order of JSON.
pub(super) fn episode_columns() -> Vec<TableColumn<EpisodeRow>> {
    let mut columns = Vec::new();
    columns.extend(endpoint("server", |row: &EpisodeRow| row.server));
    columns.extend(scan(|row: &EpisodeRow| row.scan));
    columns.extend([
        name("cause", |row: &EpisodeRow| row.episode.cause.map(Cause::name)),
        name("confidence", |row: &EpisodeRow| row.episode.confidence.map(Confidence::name)),
        time("from", |row: &EpisodeRow| Some(row.episode.from)),
        time("until", |row: &EpisodeRow| Some(row.episode.until)),
        yes_or_no("ongoing", |row: &EpisodeRow| Some(row.episode.ongoing)),
        count("attempts", |row: &EpisodeRow| row.episode.verdicts.total()),
    ]);
    columns.extend(verdicts(|row: &EpisodeRow| &row.episode.verdicts));
    columns
}

fn scan<T: 'static>(get: impl Fn(&T) -> Option<Scan> + Copy + Send + 'static) -> [TableColumn<T>; 3] {
    [
        text("scan_client", move |row| get(row).map(|scan| owned(scan.client.to_string()))),
        text("scan_host", move |row| Some(owned(get(row)?.host?.to_string()))),
        integer("scan_servers", move |row| i64::try_from(get(row)?.servers).ok()),
    ]
}

/// Attempts by verdict, whose names have underscores here, so that SQL needs no quotes.
fn verdicts<T: 'static>(
    get: impl Fn(&T) -> &Tally + Copy + Send + 'static,
) -> impl Iterator<Item = TableColumn<T>> {
    Verdict::iter().map(move |verdict| {
        let name = format!("verdicts_{}", verdict.name().replace('-', "_"));
        count(name, move |row| get(row).get(verdict))
    })
}

fn percentiles(of: &str, get: fn(&Listener) -> Option<Percentiles>) -> [TableColumn<Listener>; 4] {
    /// A percentile with its name.
    type Percentile = (&'static str, fn(Percentiles) -> Span);
    const PERCENTILES: [Percentile; 4] =
        [("p50", |all| all.p50), ("p90", |all| all.p90), ("p99", |all| all.p99), ("max", |all| all.max)];
    PERCENTILES
        .map(|(name, part)| span(format!("{of}_{name}"), move |listener: &Listener| get(listener).map(part)))
}

fn meaning() -> [TableColumn<Listener>; 11] {
    [
        name("cause", |listener: &Listener| listener.cause.map(Cause::name)),
        integer("abort_on_overflow", |listener: &Listener| sysctl(listener.abort_on_overflow).map(i64::from)),
        name("confidence", |listener: &Listener| listener.confidence.map(Confidence::name)),
        texts("evidence_code", |listener: &Listener| {
            listener.evidence.iter().map(|evidence| fixed(evidence.code())).collect()
        }),
        texts("evidence_text", |listener: &Listener| {
            listener.evidence.iter().map(|evidence| owned(wording::listener_evidence(evidence))).collect()
        }),
        text("diagnosis", |listener: &Listener| Some(owned(wording::diagnosis(listener)))),
        time("since", |listener: &Listener| listener.since),
        time("until", |listener: &Listener| listener.until),
        count("episodes", |listener: &Listener| listener.episodes.len() as u64),
        texts("advice_kind", |listener: &Listener| {
            listener.advice.iter().map(|advice| fixed(advice.kind().name())).collect()
        }),
        texts("advice_text", |listener: &Listener| {
            let text = |&advice| owned(wording::advice(advice, listener.server, listener.kernel.as_ref()));
            listener.advice.iter().map(text).collect()
        }),
    ]
}

fn clients() -> [TableColumn<Listener>; 6] {
    /// A number of clients with its name.
    type Count = (&'static str, fn(&Clients) -> u64);
    const COUNTS: [Count; 6] = [
        ("believe_connected", |clients| clients.believe_connected),
        ("unsure", |clients| clients.unsure),
        ("waiting", |clients| clients.waiting),
        ("late", |clients| clients.late),
        ("reset", |clients| clients.reset),
        ("timed_out", |clients| clients.timed_out),
    ];
    COUNTS.map(|(name, get)| count(format!("clients_{name}"), move |row: &Listener| get(&row.clients)))
}

/// The kernel's figures, which only a live capture has.
fn kernel() -> [TableColumn<Listener>; 5] {
    let of = |listener: &Listener, get: fn(&KernelStats) -> Option<u64>| {
        listener.kernel.as_ref().and_then(get).and_then(|value| i64::try_from(value).ok())
    };
    [
        text("kernel_local", |listener: &Listener| {
            listener.kernel.as_ref().map(|stats| owned(stats.local.to_string()))
        }),
        integer("kernel_recv_q_max", move |listener: &Listener| {
            of(listener, |stats| Some(stats.recv_q_max.into()))
        }),
        integer("kernel_send_q", move |listener: &Listener| {
            of(listener, |stats| stats.send_q.map(u64::from))
        }),
        integer("kernel_drops", move |listener: &Listener| of(listener, |stats| stats.drops)),
        text("kernel_owner_command", |listener: &Listener| {
            let owner = listener.kernel.as_ref()?.owner.as_ref()?;
            Some(owned(owner.command.clone()))
        }),
    ]
}
