//! Kernel event of one segment of a handshake: its drop, or the retransmission of a SYN-ACK.

use std::net::SocketAddr;

use strum::{EnumCount, EnumIter, IntoStaticStr};

use crate::packet::{Flags, Seq, Timestamp};

/// Reason of a drop that concerns handshakes, of the kernel's `skb_drop_reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumCount, EnumIter, IntoStaticStr)]
pub enum DropReason {
    /// An ACK or a data segment met a full accept queue.
    #[strum(serialize = "TCP_LISTEN_OVERFLOW")]
    ListenOverflow,
    /// A SYN to a port on which nothing listens; and, where a LISTEN socket got it, an ACK with a valid SYN cookie that met a full
    /// queue.
    #[strum(serialize = "NO_SOCKET")]
    NoSocket,
    /// A timestamp that is older than one that was seen of the connection.
    #[strum(serialize = "TCP_RFC7323_PAWS")]
    Paws,
    /// The same, of a connection in TIME-WAIT.
    #[strum(serialize = "TCP_RFC7323_TW_PAWS")]
    TimeWaitPaws,
    /// A SYN that no handshake allows.
    #[strum(serialize = "TCP_INVALID_SYN")]
    InvalidSyn,
    /// A wrong checksum.
    #[strum(serialize = "TCP_CSUM")]
    Checksum,
    /// A rule of nftables or iptables.
    #[strum(serialize = "NETFILTER_DROP")]
    Netfilter,
    /// The way back to its sender leads over another interface (`rp_filter`).
    #[strum(serialize = "IP_RPFILTER")]
    ReversePath,
    /// A filter of the socket.
    #[strum(serialize = "SOCKET_FILTER")]
    SocketFilter,
    /// An IPsec policy.
    #[strum(serialize = "XFRM_POLICY")]
    Xfrm,
    /// A BPF program of the sender's cgroup.
    #[strum(serialize = "BPF_CGROUP_EGRESS")]
    BpfCgroupEgress,
    /// No room in a queue of an interface.
    #[strum(serialize = "QDISC_DROP")]
    Qdisc,
    /// No room in the queue of a CPU (`net.core.netdev_max_backlog`).
    #[strum(serialize = "CPU_BACKLOG")]
    CpuBacklog,
}

impl DropReason {
    /// The kernel's name, without `SKB_DROP_REASON_`: numbers change between versions.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// True if something dropped the segment before a listener, or a connection, could judge it.
    #[must_use]
    pub const fn is_before_listener(self) -> bool {
        match self {
            Self::Checksum
            | Self::Netfilter
            | Self::ReversePath
            | Self::SocketFilter
            | Self::Xfrm
            | Self::BpfCgroupEgress
            | Self::Qdisc
            | Self::CpuBacklog => true,
            Self::ListenOverflow | Self::NoSocket | Self::Paws | Self::TimeWaitPaws | Self::InvalidSyn => {
                false
            }
        }
    }
}

/// Network namespace in which a segment of a captured handshake was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DropNetns {
    /// Namespace of the server's listener; the program's own where no listener is known.
    #[default]
    Listener,
    /// The program's own, while the listener is in another.
    Own,
    /// Namespace of neither, by the inode that `lsns` shows.
    Other(u32),
}

/// Kind of a segment event: a drop, or a SYN-ACK retransmission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentEventKind {
    /// Dropped, for this reason.
    Dropped(DropReason),
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
    /// True if a LISTEN socket had got the dropped segment.
    pub on_listener: bool,
}

impl SegmentEvent {
    /// True if the segment met a full accept queue, as far as its reason shows that.
    #[must_use]
    pub fn is_overflow(&self) -> bool {
        match self.kind {
            SegmentEventKind::Dropped(DropReason::ListenOverflow) => true,
            SegmentEventKind::Dropped(DropReason::NoSocket) => self.on_listener,
            SegmentEventKind::Dropped(_) | SegmentEventKind::SynAckRetransmitted => false,
        }
    }
}
