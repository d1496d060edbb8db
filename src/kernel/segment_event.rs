//! Kernel event of one segment of a handshake: its drop, or the retransmission of a SYN-ACK.

use std::net::SocketAddr;

use crate::packet::{Flags, Seq, Timestamp};

/// The reason of an ACK or data segment that met a full accept queue.
pub const LISTEN_OVERFLOW: &str = "TCP_LISTEN_OVERFLOW";

/// The reason of an ACK with a valid SYN cookie that met a full queue, where a LISTEN socket got it.
pub const COOKIE_DROPPED: &str = "NO_SOCKET";

/// Kind of a segment event: a drop, or a SYN-ACK retransmission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentEventKind {
    /// Dropped, for this reason of the kernel's `skb_drop_reason`.
    Dropped(&'static str),
    /// A SYN-ACK sent again by its timer, or as an answer to a retried SYN.
    SynAckRetransmitted,
}

/// Event of one segment, as the BPF program recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentEvent {
    /// Time of the event, by the clock that stamps packets.
    pub at: Timestamp,
    /// Kind of the event.
    pub kind: SegmentEventKind,
    /// The sender.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// Sequence number of a dropped segment; 0 for a SYN-ACK retransmission, whose event has none.
    pub seq: Seq,
    /// Acknowledgement number of a dropped segment; 0 for a SYN-ACK retransmission.
    pub ack: Seq,
    /// Control bits of a dropped segment; none for a SYN-ACK retransmission.
    pub flags: Flags,
    /// The inode of the network namespace (`Netns::inode`).
    pub netns: u32,
}
