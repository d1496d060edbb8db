//! Overflows of listeners that no captured client uses: the kernel counts them, and the report at the end names them.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use crate::kernel::{KernelStats, ListenerInterval, NetnsId};
use crate::listener::Listeners;
use crate::packet::{Endpoint, Seeded};

/// Most listeners that are remembered: a machine that is this overloaded has other troubles than a short list.
const MOST_LISTENERS: usize = 256;

/// Most intervals with an overflow that are kept of each; a further one joins the latest.
const MOST_INTERVALS: usize = 256;

/// A listener of this machine: its network namespace, and the address that its socket is bound to.
type ListenerPlace = (NetnsId, SocketAddr);

/// The kernel's counts of one listener.
struct CountedOverflows {
    /// The address to name it by.
    server: Endpoint,
    /// The latest figures at a time when it overflowed.
    stats: KernelStats,
    /// The intervals in which it overflowed.
    intervals: Vec<ListenerInterval>,
}

/// The listeners that overflowed and that no captured client was seen to use.
#[derive(Default)]
pub(super) struct UncapturedOverflows {
    counted: HashMap<ListenerPlace, CountedOverflows, Seeded>,
    /// Listeners that clients were seen to use: the report has them.
    used: HashSet<ListenerPlace, Seeded>,
}

impl UncapturedOverflows {
    /// Takes note of listeners that captured clients use now.
    pub(super) fn see_used(&mut self, used: impl Iterator<Item = ListenerPlace>) {
        for place in used {
            if self.used.insert(place) {
                self.counted.remove(&place);
            }
        }
    }

    /// True if a captured client used the listener.
    pub(super) fn is_used(&self, place: ListenerPlace) -> bool {
        self.used.contains(&place)
    }

    /// Adds an interval in which a listener overflowed.
    pub(super) fn add(
        &mut self,
        place: ListenerPlace,
        server: Endpoint,
        stats: KernelStats,
        interval: ListenerInterval,
    ) {
        if let Some(known) = self.counted.get_mut(&place) {
            known.stats = stats;
            let full = known.intervals.len() >= MOST_INTERVALS;
            match known.intervals.last_mut().filter(|_| full) {
                Some(last) => *last = last.joined(&interval),
                None => known.intervals.push(interval),
            }
        } else if self.counted.len() < MOST_LISTENERS {
            self.counted.insert(place, CountedOverflows { server, stats, intervals: vec![interval] });
        }
    }

    /// Records them in `listeners`, at the end of the run, with the figures that `latest` still has.
    pub(super) fn record(
        self,
        listeners: &mut Listeners,
        mut latest: impl FnMut(ListenerPlace) -> Option<KernelStats>,
    ) {
        for (place, CountedOverflows { server, stats, intervals }) in self.counted {
            listeners.record_uncaptured(server, &latest(place).unwrap_or(stats), &intervals);
        }
    }
}
