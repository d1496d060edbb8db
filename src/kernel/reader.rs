//! Reads one network namespace through descriptors that were opened inside it.
//!
//! Sockets and files of `/proc` stay in the namespace where they were opened, also after the program has given up the
//! privilege to enter it. They keep the namespace in existence, so a reader must go when nobody else uses the
//! namespace.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::diag::DiagSocket;
use super::netns_files::{NetnsFile, NetnsFiles};
use super::rtnl::AddressSocket;
use super::{
    Counter, Counters, KernelError, ListenSocket, LocalAddresses, Snapshot, Sysctls, WaitingConnection, table,
};
use crate::clock::now;

/// The largest `fib_trie` that is read for addresses, in bytes: a router's has all its routes.
const MAX_FIB: u64 = 4 << 20;

/// Interval between two readings of a table: while the namespace's listeners drop, and otherwise. The kernel walks all
/// connections of the machine for each reading, even if the namespace has none: read every second, that was a fifth of what a
/// busy live capture cost. Its counters, which are cheap, are read every second.
const TABLE_INTERVAL: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(15));

/// Longest interval, where many namespaces have tables.
const MAX_TABLE_INTERVAL: Duration = Duration::from_secs(60);

/// Share of a processor that readings of tables may take, those of all namespaces together: one part in so many.
const TABLE_SHARE: u32 = 50;

/// The open descriptors of one namespace.
pub(super) struct NamespaceReader {
    source: ReaderSource,
    netstat: ProcFile,
    snmp: ProcFile,
    sysctls: Vec<(&'static str, ProcFile)>,
    tcp: ProcFile,
    /// `None` without IPv6.
    tcp6: Option<ProcFile>,
}

/// The source of sockets and addresses.
enum ReaderSource {
    /// Sockets of netlink.
    Netlink(DiagSocket, AddressSocket),
    /// `/proc/PID/net/tcp`, for namespaces that may not be entered: limits and drops are not known.
    Table { fib_trie: Option<ProcFile>, if_inet6: Option<ProcFile>, latest: RefCell<Option<TableSockets>> },
}

/// The sockets of a table, as last read.
struct TableSockets {
    at: Instant,
    /// Processor time that the reading took.
    took: Duration,
    /// Packets that the namespace's listeners had dropped by then.
    drops: Option<u64>,
    sockets: Vec<ListenSocket>,
}

impl TableSockets {
    /// True if the table is to be read again. Reading those of all namespaces once takes `all` of processor time.
    fn is_old(&self, drops: Option<u64>, all: Duration) -> bool {
        let (dropping, otherwise) = TABLE_INTERVAL;
        let interval = if drops == self.drops { otherwise } else { dropping };
        let affordable = all.saturating_mul(TABLE_SHARE).min(MAX_TABLE_INTERVAL);
        self.at.elapsed() >= interval.max(affordable)
    }
}

/// Processor time of the calling thread.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

impl NamespaceReader {
    /// Reads the calling thread's namespace.
    pub(super) fn own() -> Result<Self, KernelError> {
        Self::new(&mut NetnsFiles::open_own()?)
    }

    /// Reads a namespace by descriptors that were opened inside it.
    pub(super) fn new(files: &mut NetnsFiles) -> Result<Self, KernelError> {
        let absent = |file: NetnsFile| KernelError::File {
            path: file.path().unwrap_or_default(),
            source: io::ErrorKind::NotFound.into(),
        };
        let mut socket = |file| files.take(file).ok_or_else(|| absent(file));
        let diag = DiagSocket(socket(NetnsFile::SockDiag)?);
        let addresses = AddressSocket(socket(NetnsFile::Addresses)?);
        let mut optional = |file: NetnsFile| {
            Some(ProcFile { path: file.path().unwrap_or_default(), file: files.take(file)?.into() })
        };
        let mut needed = |file| optional(file).ok_or_else(|| absent(file));
        let (netstat, snmp) = (needed(NetnsFile::Netstat)?, needed(NetnsFile::Snmp)?);
        let tcp = needed(NetnsFile::Tcp)?;
        let tcp6 = optional(NetnsFile::Tcp6);
        let settings = Sysctls::names().enumerate();
        let sysctls =
            settings.filter_map(|(place, name)| Some((name, optional(NetnsFile::Sysctl(place))?))).collect();
        Ok(Self { source: ReaderSource::Netlink(diag, addresses), netstat, snmp, sysctls, tcp, tcp6 })
    }

    /// Reads the namespace of a process by its files that every user may read: without limits, drops and settings.
    pub(super) fn of_process(pid: u32) -> Result<Self, KernelError> {
        let net = PathBuf::from(format!("/proc/{pid}/net"));
        let open = |name| ProcFile::open(net.join(name));
        Ok(Self {
            source: ReaderSource::Table {
                fib_trie: open("fib_trie").ok(),
                if_inet6: open("if_inet6").ok(),
                latest: RefCell::default(),
            },
            netstat: open("netstat")?,
            snmp: open("snmp")?,
            // `/proc/sys/net` has the settings of the thread that opens it.
            sysctls: Vec::new(),
            tcp: open("tcp")?,
            tcp6: open("tcp6").ok(),
        })
    }

    /// True if limits and drops can be read, too.
    pub(super) const fn is_complete(&self) -> bool {
        matches!(self.source, ReaderSource::Netlink(..))
    }

    /// Reads the namespace's sockets, counters and sysctls. Sockets of a table are read only now and then: reading the tables
    /// of all namespaces once takes `tables` of processor time.
    pub(super) fn snapshot(&self, tables: Duration) -> Result<Snapshot, KernelError> {
        let at = now();
        let counters = || Ok(Counters::parse(&self.netstat.read()?, &self.snmp.read()?));
        let (sockets, counters) = match &self.source {
            ReaderSource::Netlink(diag, _) => (diag.listen_sockets()?, counters()?),
            ReaderSource::Table { latest, .. } => {
                let counters: Counters = counters()?;
                let drops = counters.get(Counter::ListenDrops);
                let mut latest = latest.borrow_mut();
                let table = match &mut *latest {
                    Some(latest) if !latest.is_old(drops, tables) => latest,
                    _ => latest.insert(self.table_sockets(drops)?),
                };
                (table.sockets.clone(), counters)
            }
        };
        Ok(Snapshot { at, sockets, counters, sysctls: self.sysctls() })
    }

    /// Processor time that the latest reading of the table took; none where netlink is read.
    pub(super) fn table_took(&self) -> Duration {
        match &self.source {
            ReaderSource::Netlink(..) => Duration::ZERO,
            ReaderSource::Table { latest, .. } => {
                latest.borrow().as_ref().map_or(Duration::ZERO, |latest| latest.took)
            }
        }
    }

    fn table_sockets(&self, drops: Option<u64>) -> Result<TableSockets, KernelError> {
        let begun = processor_time();
        let mut sockets = Vec::new();
        self.tables(|table| sockets.extend(table::listen_sockets(table)))?;
        let took = processor_time().saturating_sub(begun);
        Ok(TableSockets { at: Instant::now(), took, drops, sockets })
    }

    /// Established connections at `ports` that no process has accepted.
    pub(super) fn waiting(&self, ports: &[u16]) -> Result<Vec<WaitingConnection>, KernelError> {
        match &self.source {
            ReaderSource::Netlink(diag, _) => diag.waiting(ports),
            ReaderSource::Table { .. } => {
                let mut found = Vec::new();
                self.tables(|table| {
                    found.extend(
                        table::waiting(table).filter(|waiting| ports.contains(&waiting.local.port())),
                    );
                })?;
                Ok(found)
            }
        }
    }

    fn tables(&self, mut take: impl FnMut(&str)) -> Result<(), KernelError> {
        take(&self.tcp.read()?);
        if let Some(tcp6) = &self.tcp6 {
            take(&tcp6.read()?);
        }
        Ok(())
    }

    fn sysctls(&self) -> Sysctls {
        Sysctls::from_texts(|name| {
            let (_, file) = self.sysctls.iter().find(|(known, _)| *known == name)?;
            file.read().ok()
        })
    }

    /// The addresses of the namespace's interfaces; empty where they cannot be read.
    pub(super) fn addresses(&self) -> LocalAddresses {
        match &self.source {
            ReaderSource::Netlink(_, addresses) => {
                addresses.addresses().unwrap_or_default().into_iter().collect()
            }
            ReaderSource::Table { fib_trie, if_inet6, .. } => {
                let text = |file: &Option<ProcFile>| {
                    file.as_ref().and_then(|file| file.read_at_most(MAX_FIB).ok()).unwrap_or_default()
                };
                table::local_addresses(&text(fib_trie), &text(if_inet6)).into_iter().collect()
            }
        }
    }
}

/// An open file of `/proc`, read anew each time.
struct ProcFile {
    path: PathBuf,
    file: File,
}

impl ProcFile {
    fn open(path: PathBuf) -> Result<Self, KernelError> {
        match File::open(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(KernelError::File { path, source }),
        }
    }

    fn read(&self) -> Result<String, KernelError> {
        self.read_at_most(u64::MAX)
    }

    fn read_at_most(&self, limit: u64) -> Result<String, KernelError> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        file.rewind()
            .and_then(|()| file.take(limit).read_to_end(&mut bytes))
            .map_err(|source| KernelError::File { path: self.path.clone(), source })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_again_soon_while_its_listeners_drop_and_as_often_as_may_be_afforded() {
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        let is_old = |seconds, drops, all| {
            let table =
                TableSockets { at: ago(seconds), took: Duration::ZERO, drops: Some(7), sockets: Vec::new() };
            table.is_old(drops, Duration::from_millis(all))
        };
        assert!(!is_old(2, Some(9), 0) && is_old(4, Some(9), 0), "it drops");
        assert!(!is_old(14, Some(7), 0) && is_old(16, Some(7), 0), "it does not");
        assert!(!is_old(4, Some(9), 100) && is_old(6, Some(9), 100), "2 % of a processor");
        assert!(!is_old(59, Some(9), 100_000) && is_old(61, Some(9), 100_000));
    }
}
