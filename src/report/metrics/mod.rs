//! The figures of a live capture as metrics, for Prometheus and all that read its formats.
//!
//! Owns names, labels and the bound on the number of series. Does not own who asks for them (`command/live/exporter.rs`).
//! Counters count each attempt once, when it is settled; figures of the moment are set once a second. Scrapes happen on
//! another thread: they lock single families while they are written out, which takes milliseconds.

mod current;
mod guide;
mod labels;
mod listeners;
mod slots;
mod sockets;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Instant;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use self::current::Current;
use self::guide::register;
pub use self::guide::{GUIDES, MetricGuide, MetricKind};
use self::labels::{BuildLabels, DropLabels, EpisodeLabels, FoldedLabels};
use self::listeners::ListenerMetrics;
use self::sockets::SocketMetrics;
pub use self::sockets::SocketNow;
use super::status::LiveCounts;
use crate::handshake::{Attempt, Cause};
use crate::packet::Endpoint;

/// The label of the listener of a scan.
const SEVERAL: &str = "several";

/// The label of the cause of what nothing explains.
const UNKNOWN: &str = "unknown";

/// An episode that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OngoingEpisode {
    /// Address of the listener; `None` for a scan.
    pub server: Option<Endpoint>,
    /// Its cause, if one is known.
    pub cause: Option<Cause>,
}

/// The figures of a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsNow {
    /// The moment.
    pub at: Instant,
    /// Counts since the beginning.
    pub counts: LiveCounts,
    /// Listening sockets, the fullest first.
    pub sockets: Vec<SocketNow>,
    /// Episodes that go on.
    pub episodes: Vec<OngoingEpisode>,
}

/// The metrics of a live capture, which one thread updates and others write out.
#[derive(Debug)]
pub struct LiveMetrics {
    listeners: ListenerMetrics,
    sockets: SocketMetrics,
    undecided: Gauge,
    episodes: Current<EpisodeLabels>,
    kernel_drops: Counter,
    kernel_drops_before: u64,
    packets: Counter,
    dropped_by_kernel: Counter,
    dropped_by_interface: Counter,
    folded_listeners: Gauge,
    folded_sockets: Gauge,
    /// The moment of the latest figures.
    at: Instant,
}

impl LiveMetrics {
    /// Metrics of a capture that begins now, and the registry that they are written out from.
    #[must_use]
    pub fn new() -> (Self, MetricsRegistry) {
        let mut registry = Registry::with_prefix(guide::PREFIX);
        let listeners = ListenerMetrics::new(&mut registry);
        let undecided = register(&mut registry, &guide::UNDECIDED, Gauge::default());
        let episodes = Current::new(register(&mut registry, &guide::EPISODES, Family::default()));
        let sockets = SocketMetrics::new(&mut registry);
        let kernel_drops = register(&mut registry, &guide::KERNEL_DROPS, Counter::default());
        let packets = register(&mut registry, &guide::PACKETS, Counter::default());
        let drops: Family<DropLabels, Counter> =
            register(&mut registry, &guide::CAPTURE_DROPS, Family::default());
        let folded: Family<FoldedLabels, Gauge> = register(&mut registry, &guide::FOLDED, Family::default());
        let build: Family<BuildLabels, Gauge> = register(&mut registry, &guide::BUILD, Family::default());
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        let metrics = Self {
            listeners,
            sockets,
            undecided,
            episodes,
            kernel_drops,
            kernel_drops_before: 0,
            packets,
            dropped_by_kernel: drops.get_or_create_owned(&DropLabels { by: "kernel" }),
            dropped_by_interface: drops.get_or_create_owned(&DropLabels { by: "interface" }),
            folded_listeners: folded.get_or_create_owned(&FoldedLabels { kind: "listener" }),
            folded_sockets: folded.get_or_create_owned(&FoldedLabels { kind: "socket" }),
            at: Instant::now(),
        };
        (metrics, MetricsRegistry(registry))
    }

    /// Counts an attempt, which must be settled, and not counted before.
    pub fn count(&mut self, attempt: &Attempt) {
        self.listeners.count(attempt, self.at);
    }

    /// Shows the figures of a moment.
    pub fn update(&mut self, now: &MetricsNow) {
        self.at = now.at;
        let mut episodes = HashMap::new();
        for episode in &now.episodes {
            let server = episode.server.map(|server| self.listeners.label(server, now.at));
            let listener = server.unwrap_or_else(|| SEVERAL.to_owned());
            let cause = episode.cause.map_or(UNKNOWN, Cause::name);
            *episodes.entry(EpisodeLabels { listener, cause }).or_insert(0) += 1;
        }
        self.episodes.set(episodes);
        self.sockets.set(&now.sockets, now.at);
        let counts = &now.counts;
        self.undecided.set(counts.undecided.try_into().unwrap_or(i64::MAX));
        // The sum lacks the drops of a namespace that is gone: a counter never falls.
        self.kernel_drops.inc_by(counts.kernel_drops.saturating_sub(self.kernel_drops_before));
        self.kernel_drops_before = counts.kernel_drops;
        self.packets.inner().store(counts.packets, Ordering::Relaxed);
        self.dropped_by_kernel.inner().store(counts.dropped.by_kernel, Ordering::Relaxed);
        self.dropped_by_interface.inner().store(counts.dropped.by_interface, Ordering::Relaxed);
        self.folded_listeners.set(self.listeners.folded() as i64);
        self.folded_sockets.set(self.sockets.folded() as i64);
    }
}

/// All metrics, to be written out.
#[derive(Debug)]
pub struct MetricsRegistry(Registry);

/// The formats that metrics are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    /// OpenMetrics 1.0, which Prometheus asks for.
    OpenMetrics,
    /// The older format of Prometheus, which `promtool` and all collectors read.
    PrometheusText,
}

impl MetricsFormat {
    /// The format for a client that takes these media types.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Self::OpenMetrics,
            false => Self::PrometheusText,
        }
    }

    /// The media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::PrometheusText => prometheus_text::CONTENT_TYPE,
        }
    }
}

impl MetricsRegistry {
    /// Writes all metrics out.
    ///
    /// # Errors
    ///
    /// None but what formatting text may give.
    pub fn encode(&self, format: MetricsFormat) -> Result<String, fmt::Error> {
        let mut text = String::new();
        match format {
            MetricsFormat::OpenMetrics => text::encode(&mut text, &self.0)?,
            MetricsFormat::PrometheusText => prometheus_text::encode(&mut text, &self.0)?,
        }
        Ok(text)
    }
}
