//! Series of listeners, from their settled attempts.

use std::collections::HashSet;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use strum::IntoEnumIterator;

use super::guide::{self, register};
use super::labels::{AttemptLabels, ListenerLabels, RetryLabels};
use super::slots::Slots;
use crate::handshake::{Attempt, Verdict};
use crate::packet::{Endpoint, Span};

/// Most listeners that have series of their own; at about sixty series each, a scrape of them all has a megabyte.
pub(super) const MAX_LISTENERS: usize = 100;

/// The label of all others together.
pub(super) const OTHER: &str = "other";

/// Most listeners that are counted as folded.
const MAX_FOLDED: usize = 8192;

/// Bounds of the connect time in seconds: from a local network's to the last retry of a SYN.
const CONNECT_BUCKETS: [f64; 18] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0,
    32.0, 128.0,
];

/// Bounds of the delay in seconds: each lies behind one more retry of Linux, which come 1, 3, 7, 15, 31, 63 and 127 s after
/// the first SYN; other systems begin sooner.
const DELAY_BUCKETS: [f64; 11] = [0.05, 0.25, 0.5, 1.25, 2.5, 3.5, 7.5, 15.5, 31.5, 63.5, 128.0];

/// Bounds of the race window in seconds: from the time that a system call takes to a scheduler's time slice and more.
const WINDOW_BUCKETS: [f64; 11] =
    [0.000_001, 0.000_005, 0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1];

/// Kinds of retries, as the label `segment` names them: each retry has one of them.
const SEGMENTS: [&str; 3] = ["syn", "synack", "synack-after-ack"];

/// The families of series that each listener has.
#[derive(Debug, Clone)]
struct Families {
    attempts: Family<AttemptLabels, Counter>,
    late: Family<ListenerLabels, Counter>,
    retries: Family<RetryLabels, Counter>,
    connect: ConnectHistograms,
    delay: ConnectHistograms,
    window: ConnectHistograms,
}

/// Histograms by listener.
type ConnectHistograms = Family<ListenerLabels, Histogram, fn() -> Histogram>;

/// The series of one listener.
#[derive(Debug)]
struct ListenerSeries {
    labels: ListenerLabels,
    /// In the order of the verdicts.
    attempts: Vec<Counter>,
    late: Counter,
    retries: [Counter; SEGMENTS.len()],
}

impl Families {
    /// Series that begin at 0, all of them: Prometheus sees an increase only from a series' second sample, so that one which began
    /// with its first value would lose it.
    fn of(&self, listener: String) -> ListenerSeries {
        let attempts = Verdict::iter().map(|verdict| {
            let labels = AttemptLabels { listener: listener.clone(), verdict: verdict.name() };
            self.attempts.get_or_create_owned(&labels)
        });
        let retries = SEGMENTS.map(|segment| {
            self.retries.get_or_create_owned(&RetryLabels { listener: listener.clone(), segment })
        });
        let attempts = attempts.collect();
        let labels = ListenerLabels { listener };
        for times in [&self.connect, &self.delay, &self.window] {
            drop(times.get_or_create(&labels));
        }
        ListenerSeries { attempts, late: self.late.get_or_create_owned(&labels), retries, labels }
    }

    fn remove(&self, ListenerSeries { labels, .. }: &ListenerSeries) {
        let listener = || labels.listener.clone();
        for verdict in Verdict::iter().map(Verdict::name) {
            self.attempts.remove(&AttemptLabels { listener: listener(), verdict });
        }
        for segment in SEGMENTS {
            self.retries.remove(&RetryLabels { listener: listener(), segment });
        }
        self.late.remove(labels);
        for times in [&self.connect, &self.delay, &self.window] {
            times.remove(labels);
        }
    }

    fn count(&self, series: &ListenerSeries, attempt: &Attempt) {
        if let Some(counter) = series.attempts.get(attempt.verdict as usize) {
            counter.inc();
        }
        if attempt.is_late() {
            series.late.inc();
        }
        let retries = attempt.retries;
        let before_ack = retries.syn_ack.saturating_sub(retries.after_ack);
        for (counter, more) in series.retries.iter().zip([retries.syn, before_ack, retries.after_ack]) {
            counter.inc_by(more.into());
        }
        let delay = attempt.timing.delay.filter(|&delay| delay > Span::ZERO);
        let (connect, window) = (attempt.timing.connect, attempt.connect.window);
        for (times, value) in [(&self.connect, connect), (&self.delay, delay), (&self.window, window)] {
            if let Some(value) = value {
                times.get_or_create(&series.labels).observe(value.as_secs_f64());
            }
        }
    }
}

/// All listeners with series.
#[derive(Debug)]
pub(super) struct ListenerMetrics {
    families: Families,
    places: AttemptPlaces,
}

/// The listeners that have series of their own, and all others.
#[derive(Debug)]
struct AttemptPlaces {
    slots: Slots<Endpoint, ListenerSeries>,
    /// All listeners that have no place.
    rest: Option<ListenerSeries>,
    folded: HashSet<Endpoint>,
    forgotten: Counter,
}

impl ListenerMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let families = Families {
            attempts: register(registry, &guide::ATTEMPTS, Family::default()),
            late: register(registry, &guide::LATE, Family::default()),
            retries: register(registry, &guide::RETRIES, Family::default()),
            connect: register(registry, &guide::CONNECT_TIME, times(|| Histogram::new(CONNECT_BUCKETS))),
            delay: register(registry, &guide::CONNECT_DELAY, times(|| Histogram::new(DELAY_BUCKETS))),
            window: register(registry, &guide::RACE_WINDOW, times(|| Histogram::new(WINDOW_BUCKETS))),
        };
        let forgotten = register(registry, &guide::FORGOTTEN, Counter::default());
        let slots = Slots::new(MAX_LISTENERS);
        Self { families, places: AttemptPlaces { slots, rest: None, folded: HashSet::new(), forgotten } }
    }

    /// Counts a settled attempt.
    pub(super) fn count(&mut self, attempt: &Attempt, now: Instant) {
        let Self { families, places } = self;
        families.count(places.series(attempt.server, families, now), attempt);
    }

    /// The label of a listener, which has trouble now: perhaps before any attempt to it was settled.
    pub(super) fn label(&mut self, server: Endpoint, now: Instant) -> String {
        self.places.series(server, &self.families, now).labels.listener.clone()
    }

    /// Listeners that have no series of their own.
    pub(super) fn folded(&self) -> usize {
        self.places.folded.len()
    }
}

impl AttemptPlaces {
    /// The series of a listener that is in use: its own if there is room, else those of all others.
    fn series(&mut self, server: Endpoint, families: &Families, now: Instant) -> &ListenerSeries {
        let Self { slots, rest, folded, forgotten } = self;
        let is_new = slots.get(&server).is_none();
        let forget = |idle| {
            families.remove(&idle);
            forgotten.inc();
        };
        if is_new && !slots.make_room(now, forget) {
            if folded.len() < MAX_FOLDED {
                folded.insert(server);
            }
            return rest.get_or_insert_with(|| families.of(OTHER.to_owned()));
        }
        if is_new {
            folded.remove(&server);
        }
        slots.take(server, now, || families.of(server.to_string()))
    }
}

fn times(constructor: fn() -> Histogram) -> ConnectHistograms {
    Family::new_with_constructor(constructor)
}
