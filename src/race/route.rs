//! Interface and source address that the kernel uses to reach a host.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;

/// The way to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The address that connects come from.
    pub source: IpAddr,
    /// The interface that their packets pass.
    pub interface: String,
}

/// Finds the way to `target`, from `source` if that is given.
///
/// # Errors
///
/// There is no route, `source` is no address of this host, or no interface has the chosen address.
pub fn route(target: SocketAddr, source: Option<IpAddr>) -> io::Result<Route> {
    let any = match target {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    // Connecting a UDP socket sends nothing; it makes the kernel look up the route.
    let socket = UdpSocket::bind((source.unwrap_or(any), 0))?;
    socket.connect(target)?;
    let source = socket.local_addr()?.ip();
    let addresses: Vec<InterfaceAddress> = getifaddrs()?.collect();
    let of = |ip: IpAddr| addresses.iter().find(|address| address_of(address) == Some(ip));
    let loopback = || addresses.iter().find(|address| address.flags.contains(InterfaceFlags::IFF_LOOPBACK));
    // Packets to an address of this host pass the loopback interface.
    let here = target.ip().is_loopback() || of(target.ip()).is_some();
    match if here { loopback() } else { of(source) } {
        // An address that stays whatever way its packets take.
        #[cfg(target_os = "linux")]
        Some(address) if !here && address.flags.contains(InterfaceFlags::IFF_LOOPBACK) => {
            Ok(Route { source, interface: "any".to_owned() })
        }
        Some(address) => Ok(Route { source, interface: address.interface_name.clone() }),
        None => Err(io::Error::other(format!("no interface has the address {source}"))),
    }
}

fn address_of(address: &InterfaceAddress) -> Option<IpAddr> {
    let storage = address.address?;
    let v4 = storage.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_reached_over_loopback() {
        let found = route((Ipv4Addr::LOCALHOST, 9).into(), None).unwrap();
        assert_eq!(found.source, IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert!(found.interface.starts_with("lo"), "{found:?}");
    }

    #[test]
    fn a_foreign_source_is_refused() {
        // 192.0.2.0/24 is for documentation (RFC 5737): no host has it.
        let source = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        assert!(route((Ipv4Addr::LOCALHOST, 9).into(), Some(source)).is_err());
    }
}
