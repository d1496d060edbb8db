//! Reads one network namespace through descriptors that were opened inside it.
//!
//! Sockets and files of `/proc` stay in the namespace where they were opened, also after the program has given up the
//! privilege to enter it. They keep the namespace in existence, so a reader must go when nobody else uses the
//! namespace.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::diag::DiagSocket;
use super::netns::{Netns, in_netns};
use super::rtnl::AddressSocket;
use super::{
    Counters, KernelError, ListenSocket, LocalAddresses, Snapshot, Sysctls, WaitingConnection, table,
};
use crate::clock::now;

/// The largest `fib_trie` that is read for addresses, in bytes: a router's has all its routes.
const MAX_FIB: u64 = 4 << 20;

/// Shortest interval between two readings of a table. The kernel walks all connections of the machine for each, even if
/// the namespace has none: read every second, that was a fifth of what a busy live capture cost.
const TABLE_INTERVAL: Duration = Duration::from_secs(3);

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

/// The sockets of a table, and when they were read.
type TableSockets = (Instant, Vec<ListenSocket>);

impl NamespaceReader {
    /// Opens the calling thread's namespace.
    pub(super) fn own() -> Result<Self, KernelError> {
        let diag = DiagSocket::open().map_err(|source| KernelError::Netlink { step: "socket()", source })?;
        let addresses = AddressSocket::open().map_err(KernelError::Addresses)?;
        Self::of_files(Path::new("/proc/thread-self/net"), ReaderSource::Netlink(diag, addresses), true)
    }

    /// Opens another namespace: by entering it, or where that is not permitted by the files of a process in it.
    pub(super) fn open(netns: &Netns) -> Result<Self, KernelError> {
        if netns.own {
            return Self::own();
        }
        let path = netns.path();
        let entered = path.as_deref().map(|path| {
            in_netns(path, || Self::own().map_err(io::Error::other))
                .map_err(|source| KernelError::Enter { path: path.to_owned(), source })
        });
        match (entered, netns.pid) {
            (Some(Ok(reader)), _) => Ok(reader),
            (_, Some(pid)) => {
                let net = PathBuf::from(format!("/proc/{pid}/net"));
                let (fib_trie, if_inet6) = (net.join("fib_trie"), net.join("if_inet6"));
                let source = ReaderSource::Table {
                    fib_trie: ProcFile::open(fib_trie).ok(),
                    if_inet6: ProcFile::open(if_inet6).ok(),
                    latest: RefCell::default(),
                };
                Self::of_files(&net, source, false)
            }
            (Some(Err(error)), None) => Err(error),
            (None, None) => Err(KernelError::NoSuchNetns(netns.to_string())),
        }
    }

    fn of_files(net: &Path, source: ReaderSource, with_sysctls: bool) -> Result<Self, KernelError> {
        let sysctl = |name| Some((name, ProcFile::open(Sysctls::file(name).into()).ok()?));
        Ok(Self {
            source,
            netstat: ProcFile::open(net.join("netstat"))?,
            snmp: ProcFile::open(net.join("snmp"))?,
            // `/proc/sys/net` has the settings of the thread that opens it.
            sysctls: Sysctls::names().filter(|_| with_sysctls).filter_map(sysctl).collect(),
            tcp: ProcFile::open(net.join("tcp"))?,
            tcp6: ProcFile::open(net.join("tcp6")).ok(),
        })
    }

    /// True if limits and drops can be read, too.
    pub(super) const fn is_complete(&self) -> bool {
        matches!(self.source, ReaderSource::Netlink(..))
    }

    /// Reads the namespace's sockets, counters and sysctls.
    pub(super) fn snapshot(&self) -> Result<Snapshot, KernelError> {
        let at = now();
        Ok(Snapshot {
            at,
            sockets: self.listen_sockets()?,
            counters: Counters::parse(&self.netstat.read()?, &self.snmp.read()?),
            sysctls: self.sysctls(),
        })
    }

    fn listen_sockets(&self) -> Result<Vec<ListenSocket>, KernelError> {
        match &self.source {
            ReaderSource::Netlink(diag, _) => diag.listen_sockets(),
            ReaderSource::Table { latest, .. } => {
                if let Some((at, sockets)) = &*latest.borrow()
                    && at.elapsed() < TABLE_INTERVAL
                {
                    return Ok(sockets.clone());
                }
                let mut sockets = Vec::new();
                self.tables(|table| sockets.extend(table::listen_sockets(table)))?;
                *latest.borrow_mut() = Some((Instant::now(), sockets.clone()));
                Ok(sockets)
            }
        }
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
