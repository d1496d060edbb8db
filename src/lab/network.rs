//! Addresses, routes and link state inside a namespace, by rtnetlink: no `ip` needed.
//!
//! Owns the netlink messages. Does not own which addresses are used (`path::PathAddresses`).

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::net::if_::if_nametoindex;

/// The kernel refused to configure an interface.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {source}")]
pub struct NetworkError {
    action: String,
    source: io::Error,
}

/// A netlink socket in the calling thread's network namespace.
pub(super) struct Network {
    socket: Socket,
    sequence: u32,
}

impl Network {
    /// Opens the socket.
    ///
    /// # Errors
    ///
    /// The kernel lacks rtnetlink, or descriptors ran out.
    pub(super) fn open() -> Result<Self, NetworkError> {
        let failed = |source| NetworkError { action: "open an rtnetlink socket".to_owned(), source };
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// The index of the interface `name`.
    ///
    /// # Errors
    ///
    /// There is no such interface.
    pub(super) fn index(&self, name: &str) -> Result<u32, NetworkError> {
        if_nametoindex(name)
            .map_err(|errno| NetworkError { action: format!("find interface {name}"), source: errno.into() })
    }

    /// Takes the interface up, with room for `queue` packets where that is given.
    ///
    /// # Errors
    ///
    /// The error of the system call.
    pub(super) fn up(&mut self, index: u32, queue: Option<u32>) -> Result<(), NetworkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes.extend(queue.map(LinkAttribute::TxQueueLen));
        self.request(RouteNetlinkMessage::SetLink(message), 0, || format!("take interface {index} up"))
    }

    /// Gives the interface one address of its own, usable at once: `NODAD` skips IPv6's duplicate
    /// address detection (RFC 4862 §5.4), a second in which the address would be tentative.
    ///
    /// # Errors
    ///
    /// The error of the system call.
    pub(super) fn add_address(&mut self, index: u32, address: IpAddr) -> Result<(), NetworkError> {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = host_prefix(address);
        message.header.family = family(address);
        message.attributes.push(AddressAttribute::Local(address));
        message.attributes.push(AddressAttribute::Address(address));
        if address.is_ipv6() {
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL, || {
            format!("add address {address}")
        })
    }

    /// Routes one address through the interface.
    ///
    /// # Errors
    ///
    /// The error of the system call.
    pub(super) fn add_route(&mut self, index: u32, destination: IpAddr) -> Result<(), NetworkError> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(destination);
        message.header.destination_prefix_length = host_prefix(destination);
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = if destination.is_ipv4() { RouteScope::Link } else { RouteScope::Universe };
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Destination(match destination {
            IpAddr::V4(address) => RouteAddress::Inet(address),
            IpAddr::V6(address) => RouteAddress::Inet6(address),
        }));
        message.attributes.push(RouteAttribute::Oif(index));
        self.request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL, || {
            format!("add a route to {destination}")
        })
    }

    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        action: impl Fn() -> String,
    ) -> Result<(), NetworkError> {
        self.exchange(message, flags).map_err(|source| NetworkError { action: action(), source })
    }

    fn exchange(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;

        let (answer, _) = self.socket.recv_from_full()?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        match answer.payload {
            NetlinkPayload::Error(error) if error.code.is_none() => Ok(()),
            NetlinkPayload::Error(error) => Err(error.to_io()),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "rtnetlink answered without an acknowledgement",
            )),
        }
    }
}

const fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

const fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
