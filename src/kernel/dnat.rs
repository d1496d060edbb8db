//! Destination NAT of this machine, learnt from connection-tracking events.
//!
//! A published port of a container has the host's address in packets, while the listener has the container's.
//! Subscribing needs CAP_NET_ADMIN once; events keep coming after it is given up.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use netlink_packet_core::{NLA_HEADER_SIZE, NetlinkBuffer, NlasIterator};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr as NetlinkAddr};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::dump::HEADER_LEN;

/// NFNLGRP_CONNTRACK_NEW (`linux/netfilter/nfnetlink_compat.h`).
const NEW_CONNECTIONS: u32 = 1;
/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW` (`linux/netfilter/nfnetlink_conntrack.h`).
const CT_NEW: u16 = 1 << 8;
/// Bytes of `struct nfgenmsg`.
const NFGENMSG_LEN: usize = 4;
/// Attributes of `linux/netfilter/nfnetlink_conntrack.h`, by nesting.
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// IPPROTO_TCP.
const TCP: u8 = 6;
/// Most remembered destinations: a machine publishes tens of ports, a balancer thousands.
const MAX_DESTINATIONS: usize = 4096;
/// Most datagrams that are read at once: in a flood events are lost, and later ones repeat them.
const AT_ONCE: usize = 4096;
/// A datagram holds one event of a few hundred bytes.
const DATAGRAM_LEN: usize = 8 * 1024;

/// The subscription, and the destinations learnt from it.
pub(super) struct Dnat {
    /// `None` after the namespace has ended.
    socket: Option<OwnedFd>,
    /// By the destination in the client's packets: the destination behind NAT.
    behind: HashMap<SocketAddr, SocketAddr>,
    /// The other way: by the destination behind NAT the lowest one before it.
    published: HashMap<SocketAddr, SocketAddr>,
}

/// A socket that gets the events of the calling thread's namespace.
///
/// # Errors
///
/// No privilege (CAP_NET_ADMIN), or no connection tracking in this kernel.
pub(super) fn subscribe() -> io::Result<OwnedFd> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind(&NetlinkAddr::new(0, 0))?;
    socket.add_membership(NEW_CONNECTIONS)?;
    socket.set_non_blocking(true)?;
    socket.as_fd().try_clone_to_owned()
}

impl Dnat {
    /// Learns from a socket that [`subscribe`] made.
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket: Some(socket), behind: HashMap::new(), published: HashMap::new() }
    }

    /// Takes the events that have come. Lost ones do not matter: every connection has its own.
    pub(super) fn drain(&mut self) {
        let Some(socket) = self.socket.as_ref().map(AsRawFd::as_raw_fd) else { return };
        let mut buffer = vec![0; DATAGRAM_LEN];
        for _ in 0..AT_ONCE {
            match recv(socket, &mut buffer, MsgFlags::empty()) {
                Ok(length) => {
                    if let Some((before, behind)) = buffer.get(..length).and_then(destination) {
                        self.learn(before, behind);
                    }
                }
                Err(Errno::ENOBUFS) => {}
                Err(_) => return,
            }
        }
    }

    fn learn(&mut self, before: SocketAddr, behind: SocketAddr) {
        if self.behind.len() >= MAX_DESTINATIONS {
            self.behind.clear();
            self.published.clear();
        }
        self.behind.insert(before, behind);
        self.published.entry(behind).and_modify(|known| *known = before.min(*known)).or_insert(before);
    }

    /// Closes the socket; what was learnt stays.
    pub(super) fn close(&mut self) {
        self.socket = None;
    }

    /// The destination behind NAT of packets to `server`.
    pub(super) fn behind(&self, server: SocketAddr) -> Option<SocketAddr> {
        self.behind.get(&server).copied()
    }

    /// A destination before NAT of packets that reach `listener`: a published port.
    pub(super) fn published(&self, listener: SocketAddr) -> Option<SocketAddr> {
        self.published.get(&listener).copied()
    }
}

/// The destination of a new TCP connection before and behind NAT; `None` where they are the same.
pub(super) fn destination(datagram: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let message = NetlinkBuffer::new_checked(datagram).ok()?;
    if message.message_type() != CT_NEW {
        return None;
    }
    let payload = datagram.get(HEADER_LEN + NFGENMSG_LEN..message.length() as usize)?;
    let before = tuple(find(payload, CTA_TUPLE_ORIG)?)?.destination;
    let behind = tuple(find(payload, CTA_TUPLE_REPLY)?)?.source;
    (before != behind).then_some((before, behind))
}

struct Tuple {
    source: SocketAddr,
    destination: SocketAddr,
}

/// Reads the addresses and ports of one direction of a TCP connection; `None` for another protocol.
fn tuple(nested: &[u8]) -> Option<Tuple> {
    let (ip, proto) = (find(nested, CTA_TUPLE_IP)?, find(nested, CTA_TUPLE_PROTO)?);
    if find(proto, CTA_PROTO_NUM)? != [TCP] {
        return None;
    }
    let address = |v4, v6| -> Option<IpAddr> {
        match find(ip, v4) {
            Some(bytes) => Some(<[u8; 4]>::try_from(bytes).ok()?.into()),
            None => Some(<[u8; 16]>::try_from(find(ip, v6)?).ok()?.into()),
        }
    };
    let port = |kind| Some(u16::from_be_bytes(find(proto, kind)?.try_into().ok()?));
    Some(Tuple {
        source: SocketAddr::new(address(CTA_IP_V4_SRC, CTA_IP_V6_SRC)?, port(CTA_PROTO_SRC_PORT)?),
        destination: SocketAddr::new(address(CTA_IP_V4_DST, CTA_IP_V6_DST)?, port(CTA_PROTO_DST_PORT)?),
    })
}

/// The value of the first attribute of this type.
fn find(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut intact = NlasIterator::new(attributes).map_while(Result::ok);
    let found = intact.find(|attribute| attribute.kind() == wanted)?;
    // `NlaBuffer::value` would borrow from `found`.
    found.into_inner().get(NLA_HEADER_SIZE..found.length().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn direction(kind: u16, source: ([u8; 4], u16), destination: ([u8; 4], u16)) -> Vec<u8> {
        let ip = [attribute(CTA_IP_V4_SRC, &source.0), attribute(CTA_IP_V4_DST, &destination.0)].concat();
        let proto = [
            attribute(CTA_PROTO_NUM, &[TCP]),
            attribute(CTA_PROTO_SRC_PORT, &source.1.to_be_bytes()),
            attribute(CTA_PROTO_DST_PORT, &destination.1.to_be_bytes()),
        ];
        let nested =
            [attribute(CTA_TUPLE_IP | 0x8000, &ip), attribute(CTA_TUPLE_PROTO | 0x8000, &proto.concat())];
        attribute(kind | 0x8000, &nested.concat())
    }

    fn event(attributes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER_LEN + NFGENMSG_LEN + attributes.len()).unwrap();
        let header = [&length.to_ne_bytes()[..], &CT_NEW.to_ne_bytes(), &[0; 10]].concat();
        [&header[..], &[2, 0, 0, 0], attributes].concat()
    }

    #[test]
    fn a_published_port_leads_to_the_containers() {
        let (client, host, container) =
            (([10, 0, 0, 9], 40_000), ([10, 0, 0, 1], 8080), ([172, 17, 0, 2], 80));
        let dnat =
            [direction(CTA_TUPLE_ORIG, client, host), direction(CTA_TUPLE_REPLY, container, client)].concat();
        let expected = ("10.0.0.1:8080".parse().unwrap(), "172.17.0.2:80".parse().unwrap());
        assert_eq!(destination(&event(&dnat)), Some(expected));
        let plain =
            [direction(CTA_TUPLE_ORIG, client, host), direction(CTA_TUPLE_REPLY, host, client)].concat();
        assert_eq!(destination(&event(&plain)), None);
    }

    #[test]
    fn the_lowest_address_that_leads_to_a_listener_is_its_published_one() {
        let [one, other, listener] =
            ["10.0.0.1:8080", "10.0.0.2:8080", "172.17.0.2:80"].map(|text| text.parse().unwrap());
        let mut dnat = Dnat { socket: None, behind: HashMap::new(), published: HashMap::new() };
        [other, one, other].into_iter().for_each(|before| dnat.learn(before, listener));
        assert_eq!((dnat.behind(other), dnat.published(listener)), (Some(listener), Some(one)));
        assert_eq!(dnat.published(one), None);
    }

    #[test]
    fn a_cut_event_is_none() {
        let (client, host, container) =
            (([10, 0, 0, 9], 40_000), ([10, 0, 0, 1], 8080), ([172, 17, 0, 2], 80));
        let whole = event(
            &[direction(CTA_TUPLE_ORIG, client, host), direction(CTA_TUPLE_REPLY, container, client)]
                .concat(),
        );
        for length in 0..whole.len() {
            let mut cut = whole[..length].to_vec();
            assert_eq!(destination(&cut), None, "{length}");
            if length >= 4 {
                cut[..4].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
                assert_eq!(destination(&cut), None, "{length}");
            }
        }
    }
}
