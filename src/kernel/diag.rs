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

/// Octets of `struct nlmsghdr`.
const NETLINK_HEADER_LEN: usize = 16;

/// Octets of `struct inet_diag_msg`: 4 of bytes, 48 of `inet_diag_sockid`, five u32.
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
            let reason = format!("cut to {DATAGRAM_LEN} octets");
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

/// Whether the kernel has more to send.
#[derive(Debug, PartialEq, Eq)]
enum Dump {
    More,
    Done,
}

/// Reads one datagram of an answer: netlink messages back to back, each aligned to 4 octets.
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
            INET_DIAG_SKMEMINFO => socket.drops = word(attribute.value(), SK_MEMINFO_DROPS),
            INET_DIAG_SKV6ONLY => socket.v6only = attribute.value().first().map(|&only| only != 0),
            // Sent unasked: shutdown state, cgroup, mark and whatever newer kernels add.
            _ => {}
        }
    }
    Ok(Some(socket))
}

/// The `index`th u32, in the machine's order, of an attribute that may be shorter.
fn word(value: &[u8], index: usize) -> Option<u32> {
    let (words, _) = value.as_chunks();
    words.get(index).map(|word| u32::from_ne_bytes(*word))
}

/// Names the step that failed.
fn at(step: &'static str) -> impl Fn(io::Error) -> KernelError {
    move |source| KernelError::Netlink { step, source }
}
