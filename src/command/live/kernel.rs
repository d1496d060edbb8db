//! Asks the kernel about the servers of this machine, and enters its word into the book.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::kernel::{KernelError, LocalAddresses, Sample, Watch, local_addresses};
use crate::listener::Book;
use crate::packet::Endpoint;

/// How often the addresses of this machine are looked up: they change rarely, and each look costs a dump.
const REFRESH: Duration = Duration::from_secs(10);

/// The kernel's figures since the capture began. Nothing where the kernel cannot be asked.
pub(super) struct Kernel {
    watch: Option<Watch>,
    local: LocalAddresses,
    refreshed: Option<Instant>,
    failure: Option<KernelError>,
}

impl Kernel {
    /// Takes the first sample.
    pub(super) fn new() -> Self {
        let (watch, failure) = match Sample::take() {
            Ok(sample) => (Some(Watch::new(sample)), None),
            Err(error) => (None, Some(error)),
        };
        Self { watch, local: LocalAddresses::default(), refreshed: None, failure }
    }

    /// Takes a sample and tells `book` of it. Gives the reason, once, when the kernel cannot be asked any more.
    pub(super) fn ask(&mut self, book: &mut Book) -> Option<KernelError> {
        if let Err(error) = self.sample(book) {
            self.watch = None;
            return Some(error);
        }
        self.failure.take()
    }

    fn sample(&mut self, book: &mut Book) -> Result<(), KernelError> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let since = watch.latest().at;
        watch.push(Sample::take()?);
        let until = watch.latest().at;
        if self.refreshed.is_none_or(|at| at.elapsed() >= REFRESH) {
            self.local = local_addresses()?;
            self.refreshed = Some(Instant::now());
        }
        let here = |server: &Endpoint| self.local.contains(server.ip());
        let servers: Vec<Endpoint> = book.servers().filter(here).collect();
        for server in servers {
            let address = SocketAddr::new(server.ip(), server.port());
            if let Some(word) = watch.word(address) {
                book.kernel_says(server, word, watch.overflowed_lately(address), (since, until));
            }
        }
        Ok(())
    }
}
