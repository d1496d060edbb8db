//! Connections in an accept queue.

use std::net::SocketAddr;
use std::time::Duration;

/// A connection that the kernel has completed and no process has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingConnection {
    /// The server's end: a listener's address, or an address of the machine where the listener has any.
    pub local: SocketAddr,
    /// The client's end.
    pub client: SocketAddr,
    /// Bytes that the client has sent.
    pub unread: u32,
    /// True if the client has closed it: a process that accepts it finds its end.
    pub closed: bool,
    /// Time since the handshake was complete; `None` where only `/proc` could be read.
    pub waited: Option<Duration>,
}
