//! One reading of the kernel's figures in a network namespace.

use super::{Counters, KernelError, ListenSocket, Sysctls};
use crate::clock::now;
use crate::packet::Timestamp;

/// The kernel's figures at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Time by the machine's clock, as the time stamps of a live capture.
    pub at: Timestamp,
    /// LISTEN sockets.
    pub sockets: Vec<ListenSocket>,
    /// The namespace's counters since it exists.
    pub counters: Counters,
    /// The namespace's sysctls.
    pub sysctls: Sysctls,
}

impl Snapshot {
    /// Reads them now, in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// Those of [`listen_sockets`] and [`Counters::read`].
    pub fn take() -> Result<Self, KernelError> {
        Ok(Self {
            at: now(),
            sockets: listen_sockets()?,
            counters: Counters::read()?,
            sysctls: Sysctls::read(),
        })
    }
}

/// The LISTEN sockets of TCP, IPv4 and IPv6, in the calling thread's network namespace.
///
/// Needs no privilege.
///
/// # Errors
///
/// Netlink sock_diag is absent or forbidden, or answers with something else; not Linux.
pub fn listen_sockets() -> Result<Vec<ListenSocket>, KernelError> {
    #[cfg(target_os = "linux")]
    return super::diag::listen_sockets();
    #[cfg(not(target_os = "linux"))]
    Err(KernelError::Unsupported)
}
