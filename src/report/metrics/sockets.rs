//! Series of listening sockets, from the kernel's figures.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::current::Current;
use super::guide::{self, register};
use super::labels::{InfoLabels, SocketLabels};
use super::slots::Slots;
use crate::kernel::{KernelStats, Netns};
use crate::packet::Endpoint;
use crate::printable::printable;

/// Most listening sockets that have series.
const MAX_SOCKETS: usize = 100;

/// A listening socket with the address that clients were seen to connect to, or its own.
#[derive(Debug, Clone, PartialEq)]
pub struct SocketNow {
    /// That address.
    pub server: Endpoint,
    /// The kernel's figures.
    pub stats: KernelStats,
}

#[derive(Debug)]
struct SocketSeries {
    labels: SocketLabels,
    length: Gauge,
    /// `None` where it may not be read.
    limit: Option<Gauge>,
    drops: Option<Counter>,
}

/// All listening sockets with series.
#[derive(Debug)]
pub(super) struct SocketMetrics {
    length: Family<SocketLabels, Gauge>,
    limit: Family<SocketLabels, Gauge>,
    drops: Family<SocketLabels, Counter>,
    slots: Slots<SocketLabels, SocketSeries>,
    info: Current<InfoLabels>,
    folded: usize,
}

impl SocketMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            length: register(registry, &guide::QUEUE_LENGTH, Family::default()),
            limit: register(registry, &guide::QUEUE_LIMIT, Family::default()),
            drops: register(registry, &guide::QUEUE_DROPS, Family::default()),
            slots: Slots::new(MAX_SOCKETS),
            info: Current::new(register(registry, &guide::LISTENER_INFO, Family::default())),
            folded: 0,
        }
    }

    /// Shows the sockets of this moment, the fullest first.
    pub(super) fn set(&mut self, sockets: &[SocketNow], now: Instant) {
        let labelled: Vec<(SocketLabels, &SocketNow)> =
            sockets.iter().map(|socket| (labels(&socket.stats), socket)).collect();
        let open: HashSet<&SocketLabels> = labelled.iter().map(|(labels, _)| labels).collect();
        let Self { length, limit, drops, slots, .. } = self;
        let remove = |series: SocketSeries| {
            length.remove(&series.labels);
            limit.remove(&series.labels);
            drops.remove(&series.labels);
        };
        slots.keep(|labels| open.contains(labels), remove);
        self.folded = 0;
        let mut info = HashMap::new();
        for (labels, socket) in &labelled {
            if slots.get(labels).is_none() {
                if !slots.make_room(now, remove) {
                    self.folded += 1;
                    continue;
                }
                slots.take(labels.clone(), now, || series(length, limit, drops, labels, &socket.stats));
            }
            let stats = &socket.stats;
            let Some(series) = slots.get(labels) else { continue };
            let is_busy = series.show(stats);
            if is_busy {
                slots.touch(labels, now);
            }
            info.insert(info_labels(labels.clone(), socket), 1);
        }
        self.info.set(info);
    }

    /// Listening sockets without series.
    pub(super) fn folded(&self) -> usize {
        self.folded
    }
}

impl SocketSeries {
    /// Shows these figures. True if the socket is in use.
    fn show(&self, stats: &KernelStats) -> bool {
        self.length.set(stats.recv_q.into());
        if let (Some(gauge), Some(limit)) = (&self.limit, stats.send_q) {
            gauge.set(limit.into());
        }
        let dropped = stats.drops.unwrap_or(0);
        let before =
            self.drops.as_ref().map_or(0, |counter| counter.inner().swap(dropped, Ordering::Relaxed));
        stats.recv_q > 0 || dropped > before
    }
}

fn series(
    length: &Family<SocketLabels, Gauge>,
    limit: &Family<SocketLabels, Gauge>,
    drops: &Family<SocketLabels, Counter>,
    labels: &SocketLabels,
    stats: &KernelStats,
) -> SocketSeries {
    SocketSeries {
        length: length.get_or_create_owned(labels),
        limit: stats.send_q.map(|_| limit.get_or_create_owned(labels)),
        drops: stats.drops.map(|_| drops.get_or_create_owned(labels)),
        labels: labels.clone(),
    }
}

fn labels(stats: &KernelStats) -> SocketLabels {
    SocketLabels { local: stats.local.to_string(), netns: netns(&stats.netns) }
}

/// The name of a network namespace, or its number; empty for one whose number may not be read.
fn netns(netns: &Netns) -> String {
    let number = || netns.inode.map(|inode| inode.to_string()).unwrap_or_default();
    netns.name.as_deref().map_or_else(number, |name| printable(name).into_owned())
}

fn info_labels(SocketLabels { local, netns }: SocketLabels, socket: &SocketNow) -> InfoLabels {
    let owner = socket.stats.owner.as_ref();
    let container = owner.and_then(|owner| owner.container.as_ref()).map(ToString::to_string);
    InfoLabels {
        listener: socket.server.to_string(),
        local,
        netns,
        process: owner.map(|owner| printable(&owner.command).into_owned()).unwrap_or_default(),
        container: container.map(|name| printable(&name).into_owned()).unwrap_or_default(),
    }
}
