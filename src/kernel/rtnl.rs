//! The netlink exchange with rtnetlink: the addresses of a namespace's interfaces.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use netlink_packet_core::NlasIterator;

use super::KernelError;
use super::dump::{Dump, dump};

/// Message types of `linux/rtnetlink.h`.
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
/// Attributes of `linux/if_addr.h`.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// Bytes of `struct ifaddrmsg`.
const IFADDRMSG_LEN: usize = 8;

/// A socket of rtnetlink, which stays in the namespace where it was opened.
pub(super) struct AddressSocket(pub(super) OwnedFd);

impl AddressSocket {
    /// The addresses of all interfaces, IPv4 and IPv6.
    pub(super) fn addresses(&self) -> Result<Vec<IpAddr>, KernelError> {
        let mut addresses = Vec::new();
        // Family 0 selects all.
        let request = Dump { kind: RTM_GETADDR, payload: &[0; IFADDRMSG_LEN], what: "the dump of addresses" };
        dump(&self.0, &request, &mut |kind, payload| {
            if kind != RTM_NEWADDR {
                return Err(format!("message type {kind} instead of RTM_NEWADDR"));
            }
            addresses.extend(address(payload)?);
            Ok(())
        })?;
        Ok(addresses)
    }
}

/// The interface's own address; on a point-to-point link IFA_ADDRESS is the other end's.
pub(super) fn address(payload: &[u8]) -> Result<Option<IpAddr>, String> {
    let (mut local, mut address) = (None, None);
    for attribute in NlasIterator::new(payload.get(IFADDRMSG_LEN..).unwrap_or_default()) {
        let attribute = attribute.map_err(|error| error.to_string())?;
        match attribute.kind() {
            IFA_LOCAL => local = ip(attribute.value()),
            IFA_ADDRESS => address = ip(attribute.value()),
            _ => {}
        }
    }
    Ok(local.or(address))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::V4(v4.into()));
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| IpAddr::V6(v6.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_to_point_link_gives_its_own_end() {
        let attribute = |kind: u16, value: &[u8]| {
            let length = u16::try_from(4 + value.len()).unwrap();
            [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat()
        };
        let header = [2_u8, 32, 0, 0, 1, 0, 0, 0];
        let both =
            [&header[..], &attribute(IFA_ADDRESS, &[10, 0, 0, 2]), &attribute(IFA_LOCAL, &[10, 0, 0, 1])];
        assert_eq!(address(&both.concat()), Ok(Some("10.0.0.1".parse().unwrap())));
        let one = [&header[..], &attribute(IFA_ADDRESS, &[0; 16])].concat();
        assert_eq!(address(&one), Ok(Some("::".parse().unwrap())));
        assert_eq!(address(&header), Ok(None));
        assert!(address(&[&header[..], &[3, 0, 1, 0]].concat()).is_err());
    }

    #[test]
    fn loopback_is_among_the_addresses() {
        let socket = crate::kernel::dump::connect(netlink_sys::protocols::NETLINK_ROUTE).unwrap();
        let socket = AddressSocket(socket);
        assert!(socket.addresses().unwrap().contains(&"127.0.0.1".parse().unwrap()));
    }
}
