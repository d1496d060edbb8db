//! A socket in LISTEN, as `inet_diag` describes it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Origin of an accept queue's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitFrom {
    /// The backlog given to `listen()`: it is another number than `net.core.somaxconn`.
    Listen,
    /// The limit is `net.core.somaxconn`: the argument of `listen()` was cut to it, or equal to it.
    Somaxconn,
}

/// One LISTEN socket of TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSocket {
    /// The address it is bound to; `0.0.0.0` or `[::]` for any.
    pub local: SocketAddr,
    /// The interface index it is bound to (SO_BINDTODEVICE, or a VRF).
    pub device: Option<u32>,
    /// IPV6_V6ONLY; `None` for IPv4 sockets, and for IPv6 ones before Linux 4.3.
    pub v6only: Option<bool>,
    /// Connections that wait for `accept()`: `sk_ack_backlog`.
    pub recv_q: u32,
    /// The queue's limit, `min(backlog, somaxconn)` at the time of `listen()`: `sk_max_ack_backlog`. `None` where only
    /// `/proc/PID/net/tcp` may be read, which does not have it.
    pub send_q: Option<u32>,
    /// Packets that this socket dropped since it exists, `sk_drops`: a SYN once; an ACK or data that met a full
    /// queue twice (`tcp_listendrop` and the discard); a bare ACK that TCP_DEFER_ACCEPT holds back once.
    /// Wraps. `None` before Linux 4.7.
    pub drops: Option<u32>,
    /// The socket's inode, which `/proc/PID/fd` shows.
    pub inode: u64,
    /// The kernel's number of this socket, never used again until the machine restarts (`sock_gen_cookie`);
    /// an inode may be.
    pub cookie: u64,
    /// The user that created the socket, as seen from the caller's user namespace.
    pub uid: u32,
}

impl ListenSocket {
    /// True if the next connection overflows: `sk_acceptq_is_full`, **more** than the limit wait. False without a
    /// limit.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        match self.send_q {
            Some(limit) => self.recv_q > limit,
            None => false,
        }
    }

    /// Fill of the queue: 1.0 when it can take no more (`Send-Q + 1` connections), 0.0 when empty. 0.0 without a limit.
    #[must_use]
    pub fn fill(&self) -> f64 {
        self.send_q.map_or(0.0, |limit| (f64::from(self.recv_q) / (f64::from(limit) + 1.0)).min(1.0))
    }

    /// Origin of its limit, given the namespace's `net.core.somaxconn`; `None` without a limit.
    ///
    /// A `somaxconn` changed after `listen()` does not show: the kernel keeps the cut number only.
    #[must_use]
    pub const fn limit_from(&self, somaxconn: u32) -> Option<LimitFrom> {
        match self.send_q {
            Some(limit) if limit == somaxconn => Some(LimitFrom::Somaxconn),
            Some(_) => Some(LimitFrom::Listen),
            None => None,
        }
    }

    /// True if it is bound to any address, of IPv6 and of IPv4: one socket with one queue for both.
    #[must_use]
    pub fn is_dual_stack(&self) -> bool {
        self.v6only == Some(false) && self.local.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    }

    /// Closeness of the match with `server`: `None` for no match, then the higher the closer.
    ///
    /// The order is that of `compute_score` in the kernel: an exact address before any, the own family
    /// before a dual-stack socket.
    #[must_use]
    pub fn matches(&self, server: SocketAddr) -> Option<u8> {
        let (local, wanted) = (self.local.ip().to_canonical(), server.ip().to_canonical());
        if self.local.port() != server.port() {
            None
        } else if local == wanted {
            Some(3)
        } else if local == IpAddr::V4(Ipv4Addr::UNSPECIFIED) && wanted.is_ipv4()
            || local == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && wanted.is_ipv6()
        {
            Some(2)
        } else if local == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && self.v6only != Some(true) {
            Some(1)
        } else {
            None
        }
    }
}

#[cfg(test)]
impl ListenSocket {
    /// A socket for tests, with a limit of 4, at which nothing waits.
    pub(crate) fn sample(local: SocketAddr) -> Self {
        Self {
            local,
            device: None,
            v6only: None,
            recv_q: 0,
            send_q: Some(4),
            drops: Some(0),
            inode: 1,
            cookie: 1,
            uid: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(local: &str, v6only: Option<bool>) -> ListenSocket {
        ListenSocket { v6only, ..ListenSocket::sample(local.parse().unwrap()) }
    }

    #[test]
    fn a_queue_is_full_one_past_its_limit() {
        let mut socket = socket("127.0.0.1:80", None);
        socket.recv_q = 4;
        assert!(!socket.is_full());
        assert!(socket.fill() < 1.0);
        socket.recv_q = 5;
        assert!(socket.is_full());
        assert_eq!(socket.fill(), 1.0);
        socket.send_q = Some(0); // listen(fd, 0): one connection fits
        socket.recv_q = 0;
        assert!(!socket.is_full());
        assert_eq!(socket.fill(), 0.0);
    }

    #[test]
    fn the_limit_is_somaxconns_when_it_equals_it() {
        let socket = socket("127.0.0.1:80", None);
        assert_eq!(socket.limit_from(4), Some(LimitFrom::Somaxconn));
        assert_eq!(socket.limit_from(4096), Some(LimitFrom::Listen));
        assert_eq!(socket.limit_from(3), Some(LimitFrom::Listen), "somaxconn was lowered after listen()");
    }

    #[test]
    fn a_server_address_finds_its_socket_as_the_kernel_would() {
        let v4 = "10.0.0.1:80".parse().unwrap();
        let v6 = "[fd00::1]:80".parse().unwrap();
        assert_eq!(socket("10.0.0.1:80", None).matches(v4), Some(3));
        assert_eq!(socket("0.0.0.0:80", None).matches(v4), Some(2));
        assert_eq!(socket("[::]:80", Some(false)).matches(v4), Some(1));
        assert_eq!(socket("[::]:80", Some(true)).matches(v4), None);
        assert_eq!(socket("[::]:80", Some(true)).matches(v6), Some(2));
        assert_eq!(socket("0.0.0.0:80", None).matches(v6), None);
        assert_eq!(socket("[::ffff:10.0.0.1]:80", Some(false)).matches(v4), Some(3));
        assert_eq!(socket("0.0.0.0:81", None).matches(v4), None);
        assert_eq!(socket("10.0.0.2:80", None).matches(v4), None);
    }
}
