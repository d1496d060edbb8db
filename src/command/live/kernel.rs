//! Reads the kernel's figures once a second and records them for the servers of this machine, in every network namespace.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::kernel::{KernelError, KernelStats, Monitor, NetnsChoice, NetnsId, Owners, owners};
use crate::listener::Listeners;

/// An overflow after so long a rest is news again: longer than the 32 s between a client's last retries.
const REST: Duration = Duration::from_secs(60);

/// Shortest interval between two searches for the owners of new sockets: each looks at the files of every process.
const LOOK_UP: Duration = Duration::from_secs(10);

/// The kernel's figures since the capture began. Nothing where the kernel cannot be read.
pub(super) struct KernelPoller {
    monitor: Option<Monitor>,
    failure: Option<KernelError>,
    owners: KnownOwners,
    /// Time of each listener's latest overflow.
    overflowing: HashMap<(NetnsId, SocketAddr), Instant>,
}

impl KernelPoller {
    /// Takes the first snapshots, while the program may still enter other namespaces.
    pub(super) fn new(choice: &NetnsChoice) -> Self {
        let (monitor, failure) = match Monitor::open(choice) {
            Ok(monitor) => (Some(monitor), None),
            Err(error) => (None, Some(error)),
        };
        let mut owners = KnownOwners::default();
        if let Some(monitor) = &monitor {
            owners.update(monitor);
        }
        Self { monitor, failure, owners, overflowing: HashMap::new() }
    }

    /// Namespaces and figures that are read, and those that could not be, in sentences.
    pub(super) fn notes(&self) -> Vec<String> {
        self.monitor.as_ref().map(Monitor::notes).unwrap_or_default()
    }

    /// Takes snapshots and records them in `listeners`. Returns the error, once, when the kernel cannot be read any more.
    pub(super) fn ask(&mut self, listeners: &mut Listeners) -> Option<KernelError> {
        if let Some(monitor) = &mut self.monitor {
            if let Err(error) = monitor.sample() {
                self.monitor = None;
                return Some(error);
            }
            self.owners.update(monitor);
            record(monitor, &self.owners.found, listeners);
        }
        self.failure.take()
    }

    /// Listeners of this machine that have begun to overflow, each returned once: until their clients give up, a minute or
    /// two later, the packets alone decide nothing where SYNs get no answer.
    pub(super) fn begun_to_overflow(&mut self) -> Vec<KernelStats> {
        let Some(monitor) = &self.monitor else { return Vec::new() };
        self.overflowing.retain(|_, seen| seen.elapsed() < REST);
        let mut begun = Vec::new();
        for followed in monitor.namespaces() {
            for local in followed.watch.overflowing() {
                if self.overflowing.insert((followed.netns.id, local), Instant::now()).is_none() {
                    begun.extend(followed.stats(local, &self.owners.found));
                }
            }
        }
        begun
    }
}

/// Owners of the sockets seen so far: looked up once each, while that is still permitted.
#[derive(Default)]
struct KnownOwners {
    found: Owners,
    looked_up: HashSet<u64>,
    last: Option<Instant>,
}

impl KnownOwners {
    fn update(&mut self, monitor: &Monitor) {
        if self.last.is_some_and(|last| last.elapsed() < LOOK_UP) {
            return;
        }
        let sockets = monitor.namespaces().iter().flat_map(|followed| &followed.watch.latest().sockets);
        let inodes: HashSet<u64> = sockets.map(|socket| socket.inode).collect();
        let new: Vec<u64> = inodes.difference(&self.looked_up).copied().collect();
        if !new.is_empty() {
            self.found.extend(owners(new));
            self.last = Some(Instant::now());
        }
        self.looked_up = inodes;
    }
}

/// Records the figures of every server whose listener is in one of the namespaces.
fn record(monitor: &Monitor, owners: &Owners, listeners: &mut Listeners) {
    let servers: Vec<_> = listeners.servers().collect();
    for server in servers {
        let address = SocketAddr::new(server.ip(), server.port());
        let Some((followed, local)) = monitor.find(address) else { continue };
        let stats = followed.stats(local, owners);
        if let Some((stats, interval)) = stats.zip(followed.watch.listener_interval(local)) {
            listeners.record_kernel(server, stats, interval);
        }
    }
}
