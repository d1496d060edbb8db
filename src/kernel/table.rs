//! The connection table of `/proc/PID/net/tcp` and `tcp6`, which needs no privilege.
//!
//! It has less than sock_diag: no limit of an accept queue, no drops, no interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{ListenSocket, WaitingConnection};

/// States of `net/tcp_states.h`.
const TCP_ESTABLISHED: u8 = 1;
const TCP_CLOSE_WAIT: u8 = 8;
const TCP_LISTEN: u8 = 10;

/// The columns of one line that are used here.
struct SocketLine {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    /// Of a listener the connections in its accept queue, else unread bytes.
    rx_queue: u32,
    uid: u32,
    inode: u64,
}

/// LISTEN sockets of a table; lines that cannot be read are passed over.
pub(super) fn listen_sockets(table: &str) -> impl Iterator<Item = ListenSocket> + '_ {
    lines(table).filter(|line| line.state == TCP_LISTEN).map(|line| ListenSocket {
        local: line.local,
        device: None,
        v6only: None,
        recv_q: line.rx_queue,
        send_q: None,
        drops: None,
        inode: line.inode,
        cookie: line.inode,
        uid: line.uid,
    })
}

/// Connections that no process has accepted: their sockets have no inode yet. Also those that their clients have closed.
pub(super) fn waiting(table: &str) -> impl Iterator<Item = WaitingConnection> + '_ {
    let waits = |line: &SocketLine| matches!(line.state, TCP_ESTABLISHED | TCP_CLOSE_WAIT) && line.inode == 0;
    lines(table).filter(waits).map(|line| {
        let closed = line.state == TCP_CLOSE_WAIT;
        WaitingConnection {
            local: line.local,
            client: line.remote,
            // A FIN has a sequence number, too.
            unread: line.rx_queue.saturating_sub(closed.into()),
            closed,
            waited: None,
        }
    })
}

fn lines(table: &str) -> impl Iterator<Item = SocketLine> + '_ {
    table.lines().skip(1).filter_map(line)
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`, in hexadecimal but for
/// the last three.
fn line(text: &str) -> Option<SocketLine> {
    let mut fields = text.split_ascii_whitespace().skip(1);
    let local = address(fields.next()?)?;
    let remote = address(fields.next()?)?;
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let rx_queue = u32::from_str_radix(fields.next()?.split_once(':')?.1, 16).ok()?;
    let uid = fields.nth(2)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    Some(SocketLine { local, remote, state, rx_queue, uid, inode })
}

/// `0100007F:1F90`: the address as u32 words in the machine's byte order, the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(index * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Local addresses of a namespace, from the text of `fib_trie` (IPv4) and `if_inet6`.
pub(super) fn local_addresses(fib_trie: &str, if_inet6: &str) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    let mut last = None;
    for line in fib_trie.lines() {
        let line = line.trim_start();
        if let Some(leaf) = line.strip_prefix("|-- ") {
            last = leaf.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            addresses.extend(last.map(IpAddr::V4));
        }
    }
    let digits = if_inet6.lines().filter_map(|line| line.split_ascii_whitespace().next());
    addresses.extend(digits.filter_map(|digits| {
        // In network order, unlike the connection table.
        (digits.len() == 32)
            .then(|| u128::from_str_radix(digits, 16).ok())?
            .map(|bits| IpAddr::V6(bits.into()))
    }));
    addresses
}

#[cfg(test)]
#[cfg(target_endian = "little")] // the lines are of x86-64
mod tests {
    use super::*;

    /// Linux 6.18: a listener with three connections waiting, one of them with 5 unread bytes and one closed by its client, and an
    /// accepted one.
    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000    33        0 5021 1 ffff 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000005 00:00000000 00000000     0        0 0 1 ffff 20 4 30 10 -1
   2: 0100007F:1F90 0100007F:C351 01 00000000:00000000 00:00000000 00000000     0        0 0 1 ffff 20 4 30 10 -1
   3: 0100007F:1F90 0100007F:C352 01 00000000:00000000 00:00000000 00000000    33        0 5022 1 ffff 20 4 30 10 -1
   4: 0100007F:1F90 0100007F:C353 08 00000000:00000001 00:00000000 00000000     0        0 0 1 ffff 20 4 30 10 -1
";
    const TCP6: &str = "  sl  local_address                         remote_address
   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 ffff
";

    #[test]
    fn listeners_and_who_waits_are_read_without_a_limit() {
        let listeners: Vec<_> = listen_sockets(TCP).collect();
        assert_eq!(listeners.len(), 1);
        let listener = &listeners[0];
        assert_eq!((listener.local, listener.recv_q), ("127.0.0.1:8080".parse().unwrap(), 3));
        assert_eq!((listener.send_q, listener.drops, listener.inode, listener.uid), (None, None, 5021, 33));
        let of = |waiting: WaitingConnection| (waiting.client.port(), waiting.unread, waiting.closed);
        let waiting: Vec<_> = waiting(TCP).map(of).collect();
        assert_eq!(waiting, [(50_000, 5, false), (50_001, 0, false), (50_003, 0, true)]);
        assert_eq!(listen_sockets(TCP6).next().unwrap().local, "[::1]:80".parse().unwrap());
    }

    #[test]
    fn odd_lines_are_passed_over() {
        for odd in
            ["", "x\n", "x\n 0: 0100007F:1F90\n", "x\n 0: 01:1 02:2 0A 0:0 0 0 0 0 0\n", "x\n0: é:1 0:0 0A\n"]
        {
            assert_eq!(listen_sockets(odd).count(), 0, "{odd}");
        }
    }

    #[test]
    fn local_addresses_are_the_host_leaves() {
        let fib = "Local:\n  +-- 0.0.0.0/0 2 0 2\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.5\n        \
                   /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n";
        let v6 = "fd090000000000000000000000000001 02 40 00 80     eth0\nbad\n";
        let expected: Vec<IpAddr> = ["10.0.0.5", "fd09::1"].iter().map(|ip| ip.parse().unwrap()).collect();
        assert_eq!(local_addresses(fib, v6), expected);
    }
}
