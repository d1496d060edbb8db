//! Names, kinds, labels and meaning of all metrics: what is registered, and what `docs/METRICS.md` lists.

use prometheus_client::registry::{Metric, Registry, Unit};

/// Beginning of every name.
pub(super) const PREFIX: &str = "hsanalyze";

/// The kinds of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// A figure of the moment.
    Gauge,
    /// Counts of values up to some bounds, their sum, and their number.
    Histogram,
}

impl MetricKind {
    /// The name in the exposition formats.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Name, kind and meaning of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricGuide {
    /// Name without the program's, the unit, and `_total`.
    pub(super) name: &'static str,
    /// Kind of the metric.
    pub kind: MetricKind,
    /// True for times, which are in seconds.
    pub(super) in_seconds: bool,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// Its meaning, without a full stop.
    pub help: &'static str,
}

impl MetricGuide {
    const fn new(
        kind: MetricKind,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind, in_seconds: false, labels, help }
    }

    const fn times(name: &'static str, help: &'static str) -> Self {
        Self { in_seconds: true, ..Self::new(MetricKind::Histogram, name, &["listener"], help) }
    }

    /// The whole name, as queries use it.
    #[must_use]
    pub fn full_name(&self) -> String {
        let unit = if self.in_seconds { "_seconds" } else { "" };
        let suffix = if self.kind == MetricKind::Counter { "_total" } else { "" };
        format!("{PREFIX}_{}{unit}{suffix}", self.name)
    }
}

use MetricKind::{Counter, Gauge};

pub(super) const ATTEMPTS: MetricGuide = MetricGuide::new(
    Counter,
    "attempts",
    &["listener", "verdict"],
    "Settled connection attempts; the listener \"other\" has those past the bound on listeners",
);
pub(super) const LATE: MetricGuide = MetricGuide::new(
    Counter,
    "late_connects",
    &["listener"],
    "Attempts that completed by a retry, or that the server answered late after the handshake",
);
pub(super) const RETRIES: MetricGuide = MetricGuide::new(
    Counter,
    "retries",
    &["listener", "segment"],
    "Retries of settled attempts: SYNs, SYN-ACKs, and SYN-ACKs that the server repeated after the client's ACK",
);
pub(super) const CONNECT_TIME: MetricGuide = MetricGuide::times(
    "connect_time",
    "Time from an attempt's first SYN to the SYN-ACK that the client took",
);
pub(super) const CONNECT_DELAY: MetricGuide = MetricGuide::times(
    "connect_delay",
    "Part of the connect time that retries cost, of the attempts that they cost any",
);
pub(super) const RACE_WINDOW: MetricGuide = MetricGuide::times(
    "race_window",
    "Time between SYN-ACK and RST at the client, of connects whose result the client's scheduler decides",
);
pub(super) const UNDECIDED: MetricGuide =
    MetricGuide::new(Gauge, "attempts_undecided", &[], "Attempts that are not settled yet");
pub(super) const EPISODES: MetricGuide = MetricGuide::new(
    Gauge,
    "episodes_ongoing",
    &["listener", "cause"],
    "Episodes of trouble that go on; the listener of a scan is \"several\"",
);
pub(super) const QUEUE_LENGTH: MetricGuide = MetricGuide::new(
    Gauge,
    "accept_queue_length",
    &["local", "netns"],
    "Connections that wait in the accept queue of a listening socket; of several sockets of one address in the fullest",
);
pub(super) const QUEUE_LIMIT: MetricGuide = MetricGuide::new(
    Gauge,
    "accept_queue_limit",
    &["local", "netns"],
    "Limit of the accept queue of a listening socket; Linux admits one connection more",
);
pub(super) const QUEUE_DROPS: MetricGuide = MetricGuide::new(
    Counter,
    "listener_drops",
    &["local", "netns"],
    "Drops of a listening socket since the capture began, by the kernel's count: a SYN is one, an ignored ACK two",
);
pub(super) const KERNEL_DROPS: MetricGuide = MetricGuide::new(
    Counter,
    "kernel_drops",
    &[],
    "Drops of all listening sockets since the capture began, by the kernel's count: a SYN is one, an ignored ACK two",
);
pub(super) const LISTENER_INFO: MetricGuide = MetricGuide::new(
    Gauge,
    "listener_info",
    &["listener", "local", "netns", "process", "container"],
    "Always 1: the socket that gets the packets to a listener, its process, and its container or systemd unit",
);
pub(super) const PACKETS: MetricGuide =
    MetricGuide::new(Counter, "capture_packets", &[], "Packets that the capture received");
pub(super) const CAPTURE_DROPS: MetricGuide = MetricGuide::new(
    Counter,
    "capture_dropped_packets",
    &["by"],
    "Packets that the capture lost: dropped by the kernel for want of buffer, or by the interface",
);
pub(super) const FOLDED: MetricGuide = MetricGuide::new(
    Gauge,
    "folded",
    &["kind"],
    "Listeners that share the label \"other\", 8192 at most are counted, and listening sockets without series",
);
pub(super) const FORGOTTEN: MetricGuide = MetricGuide::new(
    Counter,
    "listeners_forgotten",
    &[],
    "Idle listeners whose series ended to make room for others",
);
pub(super) const BUILD: MetricGuide =
    MetricGuide::new(Gauge, "build_info", &["version"], "Always 1: the program that captures");

/// All metrics, in the order in which they are exposed.
pub const GUIDES: [MetricGuide; 18] = [
    ATTEMPTS,
    LATE,
    RETRIES,
    CONNECT_TIME,
    CONNECT_DELAY,
    RACE_WINDOW,
    UNDECIDED,
    EPISODES,
    QUEUE_LENGTH,
    QUEUE_LIMIT,
    QUEUE_DROPS,
    KERNEL_DROPS,
    LISTENER_INFO,
    PACKETS,
    CAPTURE_DROPS,
    FOLDED,
    FORGOTTEN,
    BUILD,
];

/// Registers a metric under the name and with the help of its guide. Returns it.
pub(super) fn register<M: Metric + Clone>(registry: &mut Registry, guide: &MetricGuide, metric: M) -> M {
    match guide.in_seconds {
        true => registry.register_with_unit(guide.name, guide.help, Unit::Seconds, metric.clone()),
        false => registry.register(guide.name, guide.help, metric.clone()),
    }
    metric
}
