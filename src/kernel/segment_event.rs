//! What the kernel did with one segment of a handshake.

use std::net::SocketAddr;

use crate::packet::{Flags, Seq, Timestamp};

/// The reason of an ACK or data segment that met a full accept queue.
pub const LISTEN_OVERFLOW: &str = "TCP_LISTEN_OVERFLOW";

/// The reason of an ACK with a valid SYN cookie that met a full queue, where a LISTEN socket got it.
pub const COOKIE_DROPPED: &str = "NO_SOCKET";

/// What happened to a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentEventKind {
    /// Dropped, for this reason of the kernel's `skb_drop_reason`.
    Dropped(&'static str),
    /// A SYN-ACK sent again by its timer, or as an answer to a retried SYN.
    SynAckRetransmitted,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentEvent {
    /// When, by the clock that stamps packets.
    pub at: Timestamp,
    /// What happened.
    pub kind: SegmentEventKind,
    /// The sender.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// Its sequence number; 0 for a SYN-ACK.
    pub seq: Seq,
    /// Its acknowledgement number; 0 for a SYN-ACK.
    pub ack: Seq,
    /// Its control bits; none for a SYN-ACK.
    pub flags: Flags,
    /// The inode of the network namespace (`Netns::inode`).
    pub netns: u32,
}
