//! Figures of the moment, whose series end when they are over.

use std::collections::HashMap;
use std::hash::Hash;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// A family of gauges, of which only those of the latest moment are there.
#[derive(Debug)]
pub(super) struct Current<L> {
    family: Family<L, Gauge>,
    shown: HashMap<L, i64>,
}

impl<L: Clone + Hash + Eq> Current<L> {
    pub(super) fn new(family: Family<L, Gauge>) -> Self {
        Self { family, shown: HashMap::new() }
    }

    /// Shows these figures, and no others.
    pub(super) fn set(&mut self, now: HashMap<L, i64>) {
        for (labels, &value) in &now {
            self.family.get_or_create(labels).set(value);
        }
        for labels in self.shown.keys().filter(|labels| !now.contains_key(labels)) {
            self.family.remove(labels);
        }
        self.shown = now;
    }
}
