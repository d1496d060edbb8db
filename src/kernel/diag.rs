//! The netlink exchange with `inet_diag`: one dump request per address family, its answer decoded.
//!
//! The fixed part of an answer is decoded by `netlink-packet-sock-diag`. Its attributes are read here: the
//! crate refuses an INET_DIAG_SKMEMINFO without a drop count, which is all that kernels before 4.7 send.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use netlink_packet_core::{Emitable, NlasIterator, Parseable};
use netlink_packet_sock_diag::constants::{
    AF_INET, AF_INET6, INET_DIAG_INFO, INET_DIAG_SKMEMINFO, INET_DIAG_SKV6ONLY, IPPROTO_TCP,
    SOCK_DIAG_BY_FAMILY, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_LISTEN,
};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};

use super::bytes::u32_at;
use super::dump::{Dump, dump};
use super::{KernelError, ListenSocket, WaitingConnection};

/// Bytes of `struct inet_diag_msg`: four u8, 48 of `inet_diag_sockid`, five u32.
const INET_DIAG_MSG_LEN: usize = 72;

/// Offset of `SK_MEMINFO_DROPS` (`linux/sock_diag.h`), the ninth u32 of INET_DIAG_SKMEMINFO, since Linux 4.7.
const SK_MEMINFO_DROPS: usize = 32;

/// Offset of `tcpi_last_data_sent` (`linux/tcp.h`), a u32: milliseconds since the last data, or for a socket that has
/// sent none since the kernel made it (`tcp_create_openreq_child`).
const TCPI_LAST_DATA_SENT: usize = 44;

/// A socket of sock_diag, which stays in the namespace where it was opened.
pub(super) struct DiagSocket(pub(super) OwnedFd);

impl DiagSocket {
    /// Dumps LISTEN sockets of both families.
    pub(super) fn listen_sockets(&self) -> Result<Vec<ListenSocket>, KernelError> {
        let mut found = Vec::new();
        for id in [SocketId::new_v4(), SocketId::new_v6()] {
            self.dump(&request(id, StateFlags::LISTEN, ExtensionFlags::SKMEMINFO), &mut |payload| {
                found.extend(listen_socket(payload)?);
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Dumps connections that no process has accepted, at `ports`; also those that their clients have closed.
    ///
    /// The kernel walks all established sockets for it: ask when a queue is not empty.
    pub(super) fn waiting(&self, ports: &[u16]) -> Result<Vec<WaitingConnection>, KernelError> {
        let mut found = Vec::new();
        for mut id in [SocketId::new_v4(), SocketId::new_v6()] {
            if let [port] = ports {
                // Then the kernel leaves out the others.
                id.source_port = *port;
            }
            let states = StateFlags::ESTABLISHED | StateFlags::CLOSE_WAIT;
            self.dump(&request(id, states, ExtensionFlags::INFO), &mut |payload| {
                found.extend(waiting(payload)?.filter(|waiting| ports.contains(&waiting.local.port())));
                Ok(())
            })?;
        }
        Ok(found)
    }

    fn dump(
        &self,
        request: &InetRequest,
        take: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), KernelError> {
        let mut payload = vec![0; request.buffer_len()];
        request.emit(&mut payload);
        let request = Dump { kind: SOCK_DIAG_BY_FAMILY, payload: &payload, what: "the dump of sockets" };
        dump(&self.0, &request, &mut |kind, payload| match kind {
            SOCK_DIAG_BY_FAMILY => take(payload),
            other => Err(format!("message type {other} instead of SOCK_DIAG_BY_FAMILY")),
        })
    }
}

/// The request for the sockets of `id`'s family in these states.
fn request(id: SocketId, states: StateFlags, extensions: ExtensionFlags) -> InetRequest {
    let family = if id.source_address.is_ipv4() { AF_INET } else { AF_INET6 };
    InetRequest { family, protocol: IPPROTO_TCP, extensions, states, socket_id: id }
}

/// Decodes a connection without inode; `None` for one that was accepted.
pub(super) fn waiting(payload: &[u8]) -> Result<Option<WaitingConnection>, String> {
    let header = InetResponseHeader::parse(payload).map_err(|error| error.to_string())?;
    if !matches!(header.state, TCP_ESTABLISHED | TCP_CLOSE_WAIT) || header.inode != 0 {
        return Ok(None);
    }
    let closed = header.state == TCP_CLOSE_WAIT;
    let id = header.socket_id;
    let mut waited = None;
    for attribute in attributes(payload) {
        let attribute = attribute.map_err(|error| error.to_string())?;
        if attribute.kind() == INET_DIAG_INFO {
            let millis = u32_at(attribute.value(), TCPI_LAST_DATA_SENT);
            waited = millis.map(|millis| Duration::from_millis(millis.into()));
        }
    }
    Ok(Some(WaitingConnection {
        local: SocketAddr::new(id.source_address, id.source_port),
        client: SocketAddr::new(id.destination_address, id.destination_port),
        // A FIN has a sequence number, too.
        unread: header.recv_queue.saturating_sub(closed.into()),
        closed,
        waited,
    }))
}

fn attributes(payload: &[u8]) -> NlasIterator<&[u8]> {
    NlasIterator::new(payload.get(INET_DIAG_MSG_LEN..).unwrap_or_default())
}

/// Decodes `struct inet_diag_msg` and its attributes; `None` for a socket in another state.
pub(super) fn listen_socket(payload: &[u8]) -> Result<Option<ListenSocket>, String> {
    let header = InetResponseHeader::parse(payload).map_err(|error| error.to_string())?;
    // Kernels that ignore the request's state mask exist (`idiag_states` of non-LISTEN request sockets).
    if header.state != TCP_LISTEN {
        return Ok(None);
    }
    let id = header.socket_id;
    let mut socket = ListenSocket {
        local: SocketAddr::new(id.source_address, id.source_port),
        device: (id.interface_id != 0).then_some(id.interface_id),
        v6only: None,
        recv_q: header.recv_queue,
        send_q: Some(header.send_queue),
        drops: None,
        inode: u64::from(header.inode),
        cookie: u64::from_ne_bytes(id.cookie),
        uid: header.uid,
    };
    for attribute in attributes(payload) {
        let attribute = attribute.map_err(|error| error.to_string())?;
        match attribute.kind() {
            INET_DIAG_SKMEMINFO => socket.drops = u32_at(attribute.value(), SK_MEMINFO_DROPS),
            INET_DIAG_SKV6ONLY => socket.v6only = attribute.value().first().map(|&only| only != 0),
            // Sent unasked: shutdown state, cgroup, mark and whatever newer kernels add.
            _ => {}
        }
    }
    Ok(Some(socket))
}

#[cfg(test)]
#[cfg(target_endian = "little")] // netlink uses native byte order; the captured answers are from x86-64
mod tests {
    use super::*;
    use crate::kernel::dump::{HEADER_LEN, Progress, parse};

    /// Linux 6.18: 127.0.0.1:7001 with backlog 4, five connections waiting, two SYNs dropped.
    const V4: &str = "a4000000140002000000000098760000020a00001b5900007f0000010000000000000000000000000000000000000000\
        0000000000000000000000000f0000000000000000000000050000000400000000000000d1cc00000500080000000000\
        08000f00000000000c001500010000000000000006001600520000002800070000000000000002000000000000400000\
        0000000000000000000000000000000002000000";

    /// The same kernel: [::]:7005, dual-stack, backlog 10, empty.
    const V6: &str = "ac0000001400020000000000987600000a0a00001b5d0000000000000000000000000000000000000000000000000000\
        000000000000000000000000100000000000000000000000000000000a00000000000000d2cc00000500080000000000\
        05000b000000000008000f00000000000c00150001000000000000000600160012000000280007000000000000000200\
        00000000004000000000000000000000000000000000000000000000";

    const DONE: &str = "1400000003000200000000009876000000000000";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<char> = hex.chars().collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap()).collect()
    }

    fn parsed(datagram: &[u8]) -> Result<(Progress, Vec<ListenSocket>), KernelError> {
        let mut found = Vec::new();
        let progress = parse(datagram, "the dump of sockets", &mut |kind, payload| {
            if kind != SOCK_DIAG_BY_FAMILY {
                return Err(format!("message type {kind}"));
            }
            found.extend(listen_socket(payload)?);
            Ok(())
        })?;
        Ok((progress, found))
    }

    #[test]
    fn a_real_answer_gives_every_field() {
        let datagram = [bytes(V4), bytes(V6), bytes(DONE)].concat();
        let (progress, found) = parsed(&datagram).unwrap();
        assert_eq!(progress, Progress::Complete);
        let v4 = ListenSocket {
            local: "127.0.0.1:7001".parse().unwrap(),
            device: None,
            v6only: None,
            recv_q: 5,
            send_q: Some(4),
            drops: Some(2),
            inode: 0xccd1,
            cookie: 15,
            uid: 0,
        };
        let v6 = ListenSocket {
            local: "[::]:7005".parse().unwrap(),
            v6only: Some(false),
            recv_q: 0,
            send_q: Some(10),
            drops: Some(0),
            inode: 0xccd2,
            cookie: 16,
            ..v4.clone()
        };
        assert_eq!(found, [v4, v6]);
    }

    #[test]
    fn a_connection_that_its_client_has_closed_waits_without_its_fin() {
        let mut datagram = bytes(V4);
        let payload = &mut datagram[HEADER_LEN..];
        payload[1] = TCP_CLOSE_WAIT;
        assert_eq!(waiting(payload).unwrap(), None, "accepted: it has an inode");
        payload[INET_DIAG_MSG_LEN - 4..INET_DIAG_MSG_LEN].fill(0);
        let waits = waiting(payload).unwrap().unwrap();
        assert_eq!((waits.closed, waits.unread), (true, 4));
    }

    #[test]
    fn a_kernel_before_4_7_has_no_drop_count() {
        // SK_MEMINFO_BACKLOG is the last value then: the attribute is 4 bytes shorter.
        let mut datagram = bytes(V4);
        let length = datagram.len() - 4;
        datagram.truncate(length);
        datagram[0] = u8::try_from(length).unwrap();
        datagram[length - 36] = 36;
        let (progress, found) = parsed(&datagram).unwrap();
        assert_eq!(progress, Progress::More);
        assert_eq!((found[0].recv_q, found[0].drops), (5, None));
    }

    #[test]
    fn the_error_of_a_kernel_without_tcp_diag_has_advice() {
        let refusal = bytes("24000000020000000000000098760000feffffff");
        let refusal = [refusal, vec![0; 16]].concat();
        let message = parsed(&refusal).unwrap_err().to_string();
        assert!(message.contains("modprobe tcp_diag"), "{message}");
    }

    #[test]
    fn any_cut_or_damage_is_an_error_or_an_answer_but_no_panic() {
        let datagram = [bytes(V4), bytes(V6), bytes(DONE)].concat();
        for length in 0..datagram.len() {
            let cut = parsed(&datagram[..length]);
            if let Ok((progress, found)) = cut {
                assert_eq!(progress, Progress::More, "{length}");
                assert!(found.len() < 3 && [0, 164, 336].contains(&length), "{length}");
            }
        }
        for at in 0..datagram.len() {
            for value in [0, 1, 3, 0x7f, 0xff] {
                let mut damaged = datagram.clone();
                damaged[at] = value;
                let _ = parsed(&damaged);
            }
        }
        let message = parsed(&datagram[..170]).unwrap_err().to_string();
        assert!(message.contains("answer of 170 bytes, at byte 164"), "{message}");
    }

    proptest::proptest! {
        #[test]
        fn attributes_of_any_content_do_not_panic(tail in proptest::collection::vec(0..=u8::MAX, 0..200)) {
            // A true header and inet_diag_msg, then anything, with the length that fits.
            let mut datagram = [&bytes(V4)[..HEADER_LEN + INET_DIAG_MSG_LEN], &tail].concat();
            let length = u32::try_from(datagram.len()).unwrap();
            datagram[..4].copy_from_slice(&length.to_ne_bytes());
            if let Ok((_, found)) = parsed(&datagram) {
                proptest::prop_assert_eq!(found[0].recv_q, 5);
            }
            let _ = parsed(&tail);
        }
    }

    #[test]
    fn another_message_type_is_named() {
        let mut datagram = bytes(V4);
        datagram[4] = 99;
        assert!(parsed(&datagram).unwrap_err().to_string().contains("message type 99"));
    }
}
