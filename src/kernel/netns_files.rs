//! Descriptors that are opened inside a network namespace, and go on reading it from outside: as long as they are open, also
//! in another process, and after the privilege to enter it was given up.
//!
//! Owns what is opened. Does not own who opens it (`access`) nor reading it (`reader`, `dnat`).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use netlink_sys::protocols::{NETLINK_ROUTE, NETLINK_SOCK_DIAG};
use serde::{Deserialize, Serialize};

use super::dnat;
use super::dump::connect;
use super::netns::{Netns, in_netns};
use super::{KernelError, Sysctls};

/// Kind of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum NetnsFile {
    /// A netlink socket of sock_diag.
    SockDiag,
    /// A netlink socket of rtnetlink.
    Addresses,
    /// A netlink socket that gets the events of connection tracking.
    Conntrack,
    /// Counters.
    Netstat,
    /// More counters.
    Snmp,
    /// Sockets of IPv4.
    Tcp,
    /// Sockets of IPv6.
    Tcp6,
    /// A setting, by its place among [`Sysctls::names`].
    Sysctl(usize),
}

impl NetnsFile {
    /// The file of `/proc` in the calling thread's namespace; `None` for a socket, and for a setting that there is not.
    pub(super) fn path(self) -> Option<PathBuf> {
        let net = |name| Some(PathBuf::from(format!("/proc/thread-self/net/{name}")));
        match self {
            Self::SockDiag | Self::Addresses | Self::Conntrack => None,
            Self::Netstat => net("netstat"),
            Self::Snmp => net("snmp"),
            Self::Tcp => net("tcp"),
            Self::Tcp6 => net("tcp6"),
            Self::Sysctl(place) => Sysctls::names().nth(place).map(|name| Sysctls::file(name).into()),
        }
    }
}

/// The open descriptors of one namespace.
pub(super) struct NetnsFiles {
    /// Each with what it is of.
    pub(super) open: Vec<(NetnsFile, OwnedFd)>,
    /// The reason why there are no events of connection tracking, where there are none.
    pub(super) without_conntrack: Option<String>,
    /// The number that `lsns` shows.
    pub(super) inode: Option<u64>,
}

impl NetnsFiles {
    /// Opens those of the calling thread's namespace, all but the events of connection tracking.
    ///
    /// # Errors
    ///
    /// No netlink sock_diag, no `/proc`. A kernel may lack IPv6 and settings.
    pub(super) fn open_own() -> Result<Self, KernelError> {
        let diag =
            connect(NETLINK_SOCK_DIAG).map_err(|source| KernelError::Netlink { step: "socket()", source })?;
        let addresses = connect(NETLINK_ROUTE).map_err(KernelError::Addresses)?;
        let mut open = vec![(NetnsFile::SockDiag, diag), (NetnsFile::Addresses, addresses)];
        for file in [NetnsFile::Netstat, NetnsFile::Snmp, NetnsFile::Tcp] {
            open.extend(proc_file(file)?.map(|opened| (file, opened)));
        }
        let settings = (0..Sysctls::names().count()).map(NetnsFile::Sysctl);
        for file in [NetnsFile::Tcp6].into_iter().chain(settings) {
            open.extend(proc_file(file).ok().flatten().map(|opened| (file, opened)));
        }
        let inode = std::fs::metadata("/proc/thread-self/ns/net").ok().map(|metadata| metadata.ino());
        Ok(Self { open, without_conntrack: None, inode })
    }

    /// Opens all those of a namespace; another than the own one by entering it on a thread of its own.
    ///
    /// # Errors
    ///
    /// The namespace may not be entered, or has ended; as for [`Self::open_own`]. There may be no connection tracking.
    pub(super) fn open(netns: &Netns) -> Result<Self, KernelError> {
        if netns.own {
            return Self::open_own().map(Self::with_conntrack);
        }
        let path = netns.path().ok_or_else(|| KernelError::NoSuchNetns(netns.to_string()))?;
        in_netns(&path, || Self::open_own().map(Self::with_conntrack).map_err(io::Error::other))
            .map_err(|source| KernelError::Enter { path, source })
    }

    fn with_conntrack(mut self) -> Self {
        match dnat::subscribe() {
            Ok(events) => self.open.push((NetnsFile::Conntrack, events)),
            Err(error) => self.without_conntrack = Some(error.to_string()),
        }
        self
    }

    /// Takes out one descriptor.
    pub(super) fn take(&mut self, file: NetnsFile) -> Option<OwnedFd> {
        let at = self.open.iter().position(|&(of, _)| of == file)?;
        Some(self.open.swap_remove(at).1)
    }
}

fn proc_file(file: NetnsFile) -> Result<Option<OwnedFd>, KernelError> {
    let Some(path) = file.path() else { return Ok(None) };
    match File::open(&path) {
        Ok(file) => Ok(Some(file.into())),
        Err(source) => Err(KernelError::File { path, source }),
    }
}
