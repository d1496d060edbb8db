//! The netlink exchange with `inet_diag`: one dump request per address family, its answer decoded.
//!
//! The fixed part of an answer is decoded by `netlink-packet-sock-diag`. Its attributes are read here: the
//! crate refuses an INET_DIAG_SKMEMINFO without a drop count, which is all that kernels before 4.7 send.

use std::io;
use std::net::SocketAddr;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NlasIterator, Parseable,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{
    AF_INET, AF_INET6, INET_DIAG_SKMEMINFO, INET_DIAG_SKV6ONLY, IPPROTO_TCP, SOCK_DIAG_BY_FAMILY, TCP_LISTEN,
};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddr};

use super::{KernelError, ListenSocket};

/// Message types of netlink itself (`linux/netlink.h`).
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Bytes of `struct nlmsghdr`.
const NETLINK_HEADER_LEN: usize = 16;

/// Bytes of `struct inet_diag_msg`: four u8, 48 of `inet_diag_sockid`, five u32.
const INET_DIAG_MSG_LEN: usize = 72;

/// `SK_MEMINFO_DROPS` (`linux/sock_diag.h`): the ninth u32 of INET_DIAG_SKMEMINFO, since Linux 4.7.
const SK_MEMINFO_DROPS: usize = 8;

/// The kernel sends dumps in datagrams of at most 32 KiB (`netlink_dump`, whatever larger buffer is offered).
const DATAGRAM_LEN: usize = 32 * 1024;

/// Dumps LISTEN sockets of both families. See [`super::listen_sockets`].
pub(super) fn listen_sockets() -> Result<Vec<ListenSocket>, KernelError> {
    let socket = Socket::new(NETLINK_SOCK_DIAG).map_err(at("socket()"))?;
    // Connected to the kernel (port 0), so that no other process can answer in its place.
    socket.connect(&NetlinkAddr::new(0, 0)).map_err(at("connect()"))?;
    let mut found = Vec::new();
    for id in [SocketId::new_v4(), SocketId::new_v6()] {
        dump(&socket, id, &mut found)?;
    }
    Ok(found)
}

/// Asks for the LISTEN sockets of one family and appends them.
fn dump(socket: &Socket, id: SocketId, found: &mut Vec<ListenSocket>) -> Result<(), KernelError> {
    let request = request(id);
    socket.send(&request, 0).map_err(at("send()"))?;
    let mut buffer = vec![0; DATAGRAM_LEN];
    loop {
        let length = match socket.recv(&mut &mut buffer[..], libc_msg_trunc()) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(at("recv()")(error)),
        };
        let Some(datagram) = buffer.get(..length) else {
            let reason = format!("cut to {DATAGRAM_LEN} bytes");
            return Err(KernelError::Answer { length, offset: DATAGRAM_LEN, reason });
        };
        if parse(datagram, found)? == Dump::Done {
            return Ok(());
        }
    }
}

/// MSG_TRUNC: `recv` returns the datagram's real length, so that a cut one is noticed.
const fn libc_msg_trunc() -> i32 {
    nix::sys::socket::MsgFlags::MSG_TRUNC.bits()
}

/// The request for every LISTEN socket of `id`'s family, with its memory (and so drop) figures.
fn request(id: SocketId) -> Vec<u8> {
    let family = if id.source_address.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let inner = SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::SKMEMINFO,
        states: StateFlags::LISTEN,
        socket_id: id,
    });
    let mut message = NetlinkMessage::new(header, inner.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// State of a dump: more datagrams follow, or it is complete.
#[derive(Debug, PartialEq, Eq)]
enum Dump {
    More,
    Done,
}

/// Reads one datagram of an answer: netlink messages back to back, each aligned to 4 bytes.
fn parse(datagram: &[u8], found: &mut Vec<ListenSocket>) -> Result<Dump, KernelError> {
    let mut offset = 0;
    while let Some(rest) = datagram.get(offset..).filter(|rest| !rest.is_empty()) {
        let wrong = |reason: String| KernelError::Answer { length: datagram.len(), offset, reason };
        let message = NetlinkBuffer::new_checked(rest).map_err(|error| wrong(error.to_string()))?;
        let payload = rest.get(NETLINK_HEADER_LEN..message.length() as usize).unwrap_or_default();
        match message.message_type() {
            SOCK_DIAG_BY_FAMILY => found.extend(listen_socket(payload).map_err(wrong)?),
            // Both carry an errno, negated; NLMSG_DONE has 0 or nothing when all went well.
            NLMSG_ERROR | NLMSG_DONE => {
                let code = payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                if code != 0 {
                    let source = io::Error::from_raw_os_error(code.saturating_neg());
                    return Err(KernelError::Netlink { step: "the dump of LISTEN sockets", source });
                }
                return Ok(Dump::Done);
            }
            NLMSG_NOOP => {}
            other => return Err(wrong(format!("message type {other} instead of SOCK_DIAG_BY_FAMILY"))),
        }
        offset += (message.length() as usize).next_multiple_of(4);
    }
    Ok(Dump::More)
}

/// Decodes `struct inet_diag_msg` and its attributes; `None` for a socket in another state.
fn listen_socket(payload: &[u8]) -> Result<Option<ListenSocket>, String> {
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
        send_q: header.send_queue,
        drops: None,
        inode: u64::from(header.inode),
        cookie: u64::from_ne_bytes(id.cookie),
        uid: header.uid,
    };
    for attribute in NlasIterator::new(payload.get(INET_DIAG_MSG_LEN..).unwrap_or_default()) {
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

/// The `index`th u32, in the machine's order, of an attribute that may be shorter.
fn u32_at(value: &[u8], index: usize) -> Option<u32> {
    let (values, _) = value.as_chunks();
    values.get(index).map(|value| u32::from_ne_bytes(*value))
}

/// Names the step that failed.
fn at(step: &'static str) -> impl Fn(io::Error) -> KernelError {
    move |source| KernelError::Netlink { step, source }
}

#[cfg(test)]
#[cfg(target_endian = "little")] // netlink uses native byte order; the captured answers are from x86-64
mod tests {
    use super::*;

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

    fn parsed(datagram: &[u8]) -> Result<(Dump, Vec<ListenSocket>), KernelError> {
        let mut found = Vec::new();
        parse(datagram, &mut found).map(|dump| (dump, found))
    }

    #[test]
    fn a_real_answer_gives_every_field() {
        let datagram = [bytes(V4), bytes(V6), bytes(DONE)].concat();
        let (dump, found) = parsed(&datagram).unwrap();
        assert_eq!(dump, Dump::Done);
        let v4 = ListenSocket {
            local: "127.0.0.1:7001".parse().unwrap(),
            device: None,
            v6only: None,
            recv_q: 5,
            send_q: 4,
            drops: Some(2),
            inode: 0xccd1,
            cookie: 15,
            uid: 0,
        };
        let v6 = ListenSocket {
            local: "[::]:7005".parse().unwrap(),
            v6only: Some(false),
            recv_q: 0,
            send_q: 10,
            drops: Some(0),
            inode: 0xccd2,
            cookie: 16,
            ..v4.clone()
        };
        assert_eq!(found, [v4, v6]);
    }

    #[test]
    fn a_kernel_before_4_7_has_no_drop_count() {
        // SK_MEMINFO_BACKLOG is the last value then: the attribute is 4 bytes shorter.
        let mut datagram = bytes(V4);
        let length = datagram.len() - 4;
        datagram.truncate(length);
        datagram[0] = u8::try_from(length).unwrap();
        datagram[length - 36] = 36;
        let (dump, found) = parsed(&datagram).unwrap();
        assert_eq!(dump, Dump::More);
        assert_eq!((found[0].recv_q, found[0].drops), (5, None));
    }

    #[test]
    fn a_kernel_without_tcp_diag_says_what_to_do() {
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
            if let Ok((dump, found)) = cut {
                assert_eq!(dump, Dump::More, "{length}");
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
            let mut datagram = [&bytes(V4)[..NETLINK_HEADER_LEN + INET_DIAG_MSG_LEN], &tail].concat();
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
