//! Reads the kernel's figures once a second and records them for the servers of this machine.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::kernel::{KernelError, KernelStats, LocalAddresses, Snapshot, Watch, local_addresses};
use crate::listener::Listeners;
use crate::packet::Endpoint;

/// Interval between two reads of this machine's addresses: they change rarely, and each read costs a dump.
const REFRESH: Duration = Duration::from_secs(10);

/// An overflow after so long a rest is news again: longer than the 32 s between a client's last repeats.
const REST: Duration = Duration::from_secs(60);

/// The kernel's figures since the capture began. Nothing where the kernel cannot be asked.
pub(super) struct Kernel {
    watch: Option<Watch>,
    local: LocalAddresses,
    refreshed: Option<Instant>,
    failure: Option<KernelError>,
    /// Time of each listener's latest overflow.
    overflowing: HashMap<SocketAddr, Instant>,
}

impl Kernel {
    /// Takes the first sample.
    pub(super) fn new() -> Self {
        let (watch, failure) = match Snapshot::take() {
            Ok(sample) => (Some(Watch::new(sample)), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            watch,
            local: LocalAddresses::default(),
            refreshed: None,
            failure,
            overflowing: HashMap::new(),
        }
    }

    /// Takes a snapshot and records it in `listeners`. Returns the error, once, when the kernel cannot be read any more.
    pub(super) fn ask(&mut self, listeners: &mut Listeners) -> Option<KernelError> {
        if let Err(error) = self.sample(listeners) {
            self.watch = None;
            return Some(error);
        }
        self.failure.take()
    }

    /// Listeners of this machine that have begun to overflow, each returned once: until their clients give up, a minute or
    /// two later, the packets alone decide nothing where SYNs get no answer.
    pub(super) fn begun_to_overflow(&mut self) -> Vec<KernelStats> {
        let Some(watch) = &self.watch else { return Vec::new() };
        self.overflowing.retain(|_, seen| seen.elapsed() < REST);
        let mut begun = Vec::new();
        for local in watch.overflowing() {
            if self.overflowing.insert(local, Instant::now()).is_none() {
                begun.extend(watch.stats(local));
            }
        }
        begun
    }

    fn sample(&mut self, listeners: &mut Listeners) -> Result<(), KernelError> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let since = watch.latest().at;
        watch.push(Snapshot::take()?);
        let until = watch.latest().at;
        if self.refreshed.is_none_or(|at| at.elapsed() >= REFRESH) {
            self.local = local_addresses()?;
            self.refreshed = Some(Instant::now());
        }
        let here = |server: &Endpoint| self.local.contains(server.ip());
        let servers: Vec<Endpoint> = listeners.servers().filter(here).collect();
        for server in servers {
            let address = SocketAddr::new(server.ip(), server.port());
            if let Some(word) = watch.stats(address) {
                listeners.record_kernel(server, word, watch.overflowed_lately(address), (since, until));
            }
        }
        Ok(())
    }
}
