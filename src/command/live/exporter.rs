//! Serves the metrics of a live run (`--metrics`): `/metrics` and `/healthz`.
//!
//! Owns what is asked for at which path, and which figures become metrics. Does not own the metrics (`report/metrics`) nor
//! HTTP (`http`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::display::LiveNow;
use super::kernel::QueueNow;
use crate::handshake::Attempt;
use crate::http::{HttpListener, HttpRequest, HttpStatus, Response};
use crate::report::Verbosity;
use crate::report::metrics::{LiveMetrics, MetricsFormat, MetricsNow, MetricsRegistry, SocketNow};

/// Most listening sockets whose figures are taken each second: the fullest.
const MAX_SOCKETS: usize = 500;

/// Age of a text of all metrics at which it is written anew: figures of the moment are as old. However often clients ask,
/// and however slowly they read, so few texts are made and held.
const FRESH: Duration = Duration::from_secs(1);

/// Longest time between two updates of a capture that is well: a second, and what a busy machine may add.
const LONGEST_SILENCE: Duration = Duration::from_secs(15);

/// Updates the metrics of a run, which a thread of its own serves.
pub(super) struct MetricsExporter {
    metrics: LiveMetrics,
    alive: Heartbeat,
}

impl MetricsExporter {
    /// Binds the address at which metrics will be served.
    ///
    /// # Errors
    ///
    /// The address is in use, or may not be used.
    pub(super) fn bind(address: SocketAddr) -> anyhow::Result<HttpListener> {
        HttpListener::bind(address).with_context(|| format!("--metrics {address}: cannot listen there"))
    }

    /// Begins to serve metrics, and says where.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub(super) fn serve(listener: HttpListener, verbosity: Verbosity) -> anyhow::Result<Self> {
        let address = listener.address().context("--metrics")?;
        let (metrics, registry) = LiveMetrics::new();
        let alive = Heartbeat::new();
        let mut documents = Documents { registry, alive: alive.clone(), latest: [None, None] };
        listener.serve(move |request| documents.answer(request)).context("--metrics: starting a thread")?;
        if verbosity != Verbosity::Quiet {
            super::say(&format!("metrics: http://{address}/metrics"));
        }
        Ok(Self { metrics, alive })
    }

    /// Counts a settled attempt.
    pub(super) fn count(&mut self, attempt: &Attempt) {
        self.metrics.count(attempt);
    }

    /// Shows the figures of the moment.
    pub(super) fn update(&mut self, now: &LiveNow<'_>) {
        let queues = now.kernel.queues(MAX_SOCKETS).into_iter();
        self.metrics.update(&MetricsNow {
            at: Instant::now(),
            counts: now.counts,
            sockets: queues.map(|QueueNow { server, stats, .. }| SocketNow { server, stats }).collect(),
            episodes: now.episodes.ongoing().collect(),
        });
        self.alive.beat();
    }
}

/// The time of the latest update, shared with the thread that serves.
#[derive(Clone)]
struct Heartbeat {
    begun: Instant,
    /// Milliseconds from the beginning.
    latest: Arc<AtomicU64>,
}

impl Heartbeat {
    fn new() -> Self {
        Self { begun: Instant::now(), latest: Arc::new(AtomicU64::new(0)) }
    }

    fn beat(&self) {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.latest.store(millis, Ordering::Relaxed);
    }

    /// Time since the latest update.
    fn silence(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.latest.load(Ordering::Relaxed)))
    }
}

/// The texts that are served.
struct Documents {
    registry: MetricsRegistry,
    alive: Heartbeat,
    /// The latest text in each format, with when it was made.
    latest: [Option<(Instant, Arc<str>)>; 2],
}

impl Documents {
    fn answer(&mut self, request: &HttpRequest) -> Response {
        match request.path.as_str() {
            "/metrics" => self.metrics(MetricsFormat::accepted(&request.accept)),
            "/healthz" => self.health(),
            _ => Response::line(HttpStatus::NotFound, "there are /metrics and /healthz"),
        }
    }

    fn metrics(&mut self, format: MetricsFormat) -> Response {
        let latest = &mut self.latest[format as usize];
        let body = match latest {
            Some((made, text)) if made.elapsed() < FRESH => Ok(text.clone()),
            _ => self.registry.encode(format).map(|text| {
                let text: Arc<str> = text.into();
                *latest = Some((Instant::now(), text.clone()));
                text
            }),
        };
        let answer =
            body.map(|body| Response { status: HttpStatus::Ok, content_type: format.content_type(), body });
        answer.unwrap_or_else(|_| Response::line(HttpStatus::Unavailable, "the metrics cannot be written"))
    }

    fn health(&self) -> Response {
        let silence = self.alive.silence();
        if silence <= LONGEST_SILENCE {
            return Response::line(HttpStatus::Ok, "ok");
        }
        let text = format!("the capture has made no progress for {} s", silence.as_secs());
        Response::line(HttpStatus::Unavailable, &text)
    }
}
