//! Kernel figures of one listener over an interval, and the rule by which they prove an overflow.

use std::net::SocketAddr;

use super::{Counter, Counters, LimitFrom, Netns, Owner};
use crate::packet::{Span, Timestamp};

/// Replacement of all sockets of a listener by others, as a restart of the server makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketReplaced {
    /// Time of the last snapshot that had one of the old sockets.
    pub from: Timestamp,
    /// Time of the first snapshot that had a new one.
    pub until: Timestamp,
}

/// Figures of one listener between the first and the latest snapshot of a [`Watch`](super::Watch).
#[derive(Debug, Clone, PartialEq)]
pub struct KernelStats {
    /// The address that its socket is bound to, perhaps any (`0.0.0.0`, `[::]`).
    pub local: SocketAddr,
    /// Further address under which clients reach it, by destination NAT; `None` where none is known.
    pub published: Option<SocketAddr>,
    /// Number of sockets that share it (SO_REUSEPORT); the queue below is that of the fullest.
    pub sockets: usize,
    /// Number of those whose queue was full at the latest snapshot.
    pub sockets_full: usize,
    /// Most of them that one snapshot found full.
    pub sockets_full_max: usize,
    /// True if it still listened at the latest snapshot.
    pub listening: bool,
    /// From the first snapshot to the latest.
    pub span: Span,
    /// Number of snapshots.
    pub samples: u64,
    /// Connections waiting at the latest snapshot that had it.
    pub recv_q: u32,
    /// The queue's limit then; `None` where it may not be read.
    pub send_q: Option<u32>,
    /// Longest wait of a connection in its queues, while one of them is full or has not been empty for
    /// [`Self::STUCK`]; `None` where it was not looked up.
    pub longest_wait: Option<Span>,
    /// Most connections waiting at any snapshot.
    pub recv_q_max: u32,
    /// True if any snapshot found the queue full (`Recv-Q > Send-Q`).
    pub full_seen: bool,
    /// From the start of the first interval between two snapshots in which its queue certainly overflowed to the end of the last.
    pub overflowed_within: Option<(Timestamp, Timestamp)>,
    /// The latest replacement of its sockets by others.
    pub replaced: Option<SocketReplaced>,
    /// Packets that this listener dropped in that time, counted as [`super::ListenSocket::drops`] are.
    pub drops: Option<u64>,
    /// Origin of the limit.
    pub limit_from: Option<LimitFrom>,
    /// `net.core.somaxconn`.
    pub somaxconn: Option<u32>,
    /// `net.ipv4.tcp_abort_on_overflow`, which no packet shows for sure.
    pub abort_on_overflow: Option<bool>,
    /// `net.ipv4.tcp_synack_retries`.
    pub synack_retries: Option<u32>,
    /// `net.ipv4.tcp_syncookies` is on.
    pub syncookies: Option<bool>,
    /// The network namespace that it listens in.
    pub netns: Netns,
    /// A process that holds its socket; `None` where that is not known.
    pub owner: Option<Owner>,
    /// Growth of the counters of the whole network namespace: other listeners count there, too.
    pub namespace: Counters,
}

impl KernelStats {
    /// Time for which connections wait for `accept()` at no application that goes on.
    pub const STUCK: Span = Span::from_secs(2);

    /// Connections that wait in the fullest queue and the longest wait of any, if no application that goes on leaves them there so
    /// long.
    #[must_use]
    pub fn stuck(&self) -> Option<(u32, Span)> {
        self.longest_wait.filter(|&wait| wait >= Self::STUCK).map(|wait| (self.recv_q, wait))
    }

    /// True if some of the sockets that share the address were full, and never all of them.
    #[must_use]
    pub const fn is_one_of_several(&self) -> bool {
        self.sockets_full_max > 0 && self.sockets_full_max < self.sockets
    }

    /// True if this listener's accept queue overflowed between the two snapshots.
    ///
    /// `Some(false)`: ListenOverflows of the whole namespace did not grow, or this listener dropped nothing
    /// (`tcp_listendrop` counts every overflow there, too).
    /// `Some(true)`: ListenOverflows grew, and this listener was seen full, or dropped more than all that the
    /// namespace's listeners dropped for other reasons: a full SYN queue or no memory (ListenDrops less
    /// ListenOverflows), and the bare ACKs that TCP_DEFER_ACCEPT holds back. Or that holds of one of the intervals.
    /// `None`: the figures leave both open, or this kernel lacks them.
    #[must_use]
    pub fn overflowed(&self) -> Option<bool> {
        if self.overflowed_within.is_some() {
            // Drops of other listeners since then may leave the sums open.
            return Some(true);
        }
        overflowed(&self.namespace, self.drops, self.full_seen)
    }
}

/// See [`KernelStats::overflowed`].
pub(super) fn overflowed(namespace: &Counters, drops: Option<u64>, full_seen: bool) -> Option<bool> {
    let overflows = namespace.get(Counter::ListenOverflows);
    if overflows == Some(0) || drops == Some(0) {
        return Some(false);
    }
    if full_seen {
        return overflows.map(|_| true);
    }
    let others = namespace.get(Counter::ListenDrops)?.saturating_sub(overflows?);
    let deferred = namespace.get(Counter::TcpDeferAcceptDrop).unwrap_or(0);
    // A SYN that a full SYN queue drops is one drop of the socket and one ListenDrops.
    let syns = namespace.get(Counter::TcpReqQFullDrop).unwrap_or(0).min(others);
    // Twice: what is dropped at the ACK counts two drops of the socket, and one ListenDrops. A deferred ACK
    // is one drop of the socket and no ListenDrops.
    let most = (others - syns).saturating_mul(2).saturating_add(syns).saturating_add(deferred);
    (drops? > most).then_some(true)
}
