//! The address family before packets of BSD's loopback interface.

use super::{Layer, Skip};
use crate::packet::decode::bytes::Bytes;

/// Removes an address family in the byte order of the capturing host, which the file does not give.
pub(super) fn host_order(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    // Address families are below 0x10000, so a larger value has the other byte order.
    let value = u32::from_be_bytes(*bytes.take()?);
    Ok(address_family(if value > 0xffff { value.swap_bytes() } else { value }))
}

/// Removes an address family in network byte order (OpenBSD).
pub(super) fn network_order(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    Ok(address_family(u32::from_be_bytes(*bytes.take()?)))
}

const fn address_family(family: u32) -> Layer {
    match family {
        2 => Layer::Ipv4,
        // AF_INET6 of Linux; NetBSD, OpenBSD and BSD/OS; FreeBSD and DragonFly; macOS.
        10 | 24 | 28 | 30 => Layer::Ipv6,
        _ => Layer::Unknown,
    }
}
