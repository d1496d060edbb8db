//! Snapshot of the kernel's figures in one network namespace.

use super::{Counters, ListenSocket, Sysctls};
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
