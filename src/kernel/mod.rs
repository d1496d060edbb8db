//! Linux's accept queues: LISTEN sockets, their owners, counters and sysctls.
//!
//! Owns netlink sock_diag, `/proc`, network namespaces, and the differences between two snapshots. Changes nothing, and
//! needs no privilege but to enter other namespaces and for the owners of other users' sockets. Does not own what an
//! overflow looks like on the wire (`handshake`), the diagnosis (`listener`) nor the table that people see (`report`).
//!
//! [`Monitor`] follows many namespaces; functions without one read the calling thread's.
//!
//! Types exist on every platform; what reads them fails with [`KernelError::Unsupported`] outside Linux.
//!
//! # Events of single segments
//!
//! Counters bound what is confirmed; [`SegmentEvents`] (feature `bpf`, CAP_BPF and CAP_PERFMON) has the kernel's own
//! event of each dropped ACK and data segment, with addresses, numbers, network namespace and reason. Perf's
//! tracepoints have less: `tcp:tcp_send_reset` gives `dest=0.0.0.0:0` for an overflow with `tcp_abort_on_overflow=1`
//! (Linux 6.18), and no tracepoint record carries the network namespace.

#[cfg(target_os = "linux")]
mod access;
mod address;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod btf;
#[cfg(target_os = "linux")]
mod bytes;
mod container;
mod counters;
#[cfg(target_os = "linux")]
mod diag;
#[cfg(target_os = "linux")]
mod dnat;
#[cfg(target_os = "linux")]
mod dump;
#[cfg(target_os = "linux")]
mod elf;
#[cfg(all(target_os = "linux", feature = "bpf", feature = "fuzzing"))]
pub(crate) mod fuzzing;
#[cfg(target_os = "linux")]
mod helper;
#[cfg(target_os = "linux")]
mod holders;
mod interval;
#[cfg(target_os = "linux")]
mod monitor;
#[cfg(target_os = "linux")]
mod netns;
#[cfg(target_os = "linux")]
mod netns_files;
mod owner;
#[cfg(target_os = "linux")]
mod reader;
#[cfg(target_os = "linux")]
mod rtnl;
mod segment_event;
#[cfg_attr(not(all(target_os = "linux", feature = "bpf")), path = "segment_events_off.rs")]
mod segment_events;
mod snapshot;
mod socket;
mod stats;
mod sysctl;
#[cfg(target_os = "linux")]
mod table;
mod waiting;
mod watch;

use std::io;
use std::path::PathBuf;

#[cfg(target_os = "linux")]
pub use access::Access;
pub use address::{LocalAddresses, device_name, local_addresses};
pub use container::Container;
pub use counters::{Counter, Counters};
#[cfg(target_os = "linux")]
pub use helper::{HELPER_ARGUMENT, Helper, HelperError, serve_helper};
pub use interval::{EventBounds, ListenerInterval};
#[cfg(target_os = "linux")]
pub use monitor::{Monitor, WatchedNetns};
#[cfg(target_os = "linux")]
pub use netns::{Netns, NetnsChoice, NetnsId};
pub use owner::{BacklogBy, Owner, Owners, ProcessState, owners};
pub use segment_event::{DropNetns, DropReason, SegmentEvent, SegmentEventKind};
pub use segment_events::{SegmentEvents, SegmentEventsError};
pub use snapshot::Snapshot;
pub use socket::{LimitFrom, ListenSocket};
pub use stats::{KernelStats, SocketReplaced};
pub use sysctl::Sysctls;
pub use waiting::WaitingConnection;
pub use watch::{Interval, ListenerDelta, Watch, WatchedListener};

/// Reading the kernel's figures failed.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// Not Linux.
    #[error("accept queues, their counters and sysctls can be read on Linux only")]
    Unsupported,
    /// A system call of the netlink exchange failed.
    #[error("netlink sock_diag: {step} failed: {source}{}", netlink_advice(.source))]
    Netlink {
        /// The failed step.
        step: &'static str,
        /// The error of the system call, or the one that the kernel's answer carried.
        source: io::Error,
    },
    /// The answer is not what `inet_diag` sends.
    #[error("netlink sock_diag: answer of {length} bytes, at byte {offset}: {reason}")]
    Answer {
        /// Bytes of the datagram.
        length: usize,
        /// Offset of the unreadable message.
        offset: usize,
        /// The defect.
        reason: String,
    },
    /// A file of `/proc` could not be read.
    #[error("{}: {source}", .path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A network namespace could not be entered.
    #[error("{}: cannot enter this network namespace: {source}", .path.display())]
    Enter {
        /// Path of the namespace.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The helper could not enter it.
    #[error("{0}")]
    Helper(String),
    /// No network namespace has this name.
    #[error("there is no network namespace '{0}' (see `ip netns`)")]
    NoSuchNetns(String),
    /// The process whose network namespace is asked for does not exist.
    #[error("there is no process {0}, whose network namespace is asked for")]
    NoSuchProcess(u32),
    /// `getifaddrs` failed.
    #[error("the addresses of this machine cannot be listed: {0}")]
    Addresses(io::Error),
}

impl Snapshot {
    /// Reads the figures of the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// Netlink sock_diag is absent or forbidden, `/proc` cannot be read; not Linux.
    pub fn take() -> Result<Self, KernelError> {
        #[cfg(target_os = "linux")]
        return reader::NamespaceReader::own()?.snapshot(std::time::Duration::ZERO);
        #[cfg(not(target_os = "linux"))]
        Err(KernelError::Unsupported)
    }
}

/// The LISTEN sockets of TCP, IPv4 and IPv6, in the calling thread's network namespace. Needs no privilege.
///
/// # Errors
///
/// Netlink sock_diag is absent or forbidden, or answers with something else; not Linux.
pub fn listen_sockets() -> Result<Vec<ListenSocket>, KernelError> {
    #[cfg(target_os = "linux")]
    return dump::connect(netlink_sys::protocols::NETLINK_SOCK_DIAG)
        .map_err(|source| KernelError::Netlink { step: "socket()", source })
        .and_then(|socket| diag::DiagSocket(socket).listen_sockets());
    #[cfg(not(target_os = "linux"))]
    Err(KernelError::Unsupported)
}

/// Advice for an error of netlink sock_diag; empty where there is none.
fn netlink_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        // inet_diag answers ENOENT when no handler for TCP is registered.
        io::ErrorKind::NotFound => {
            "; the kernel has no tcp_diag: try `modprobe tcp_diag`, or a kernel with CONFIG_INET_DIAG"
        }
        io::ErrorKind::PermissionDenied => {
            "; a sandbox (seccomp, container profile) forbids netlink sockets here: run it outside, or allow \
             AF_NETLINK"
        }
        io::ErrorKind::Unsupported => "; this kernel or sandbox offers no netlink sock_diag",
        _ => "",
    }
}

/// Reads a file of `/proc` as text; bytes that are no UTF-8 are replaced.
fn read_proc(path: &str) -> Result<String, KernelError> {
    if !cfg!(target_os = "linux") {
        return Err(KernelError::Unsupported);
    }
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|source| KernelError::File { path: path.into(), source })
}
