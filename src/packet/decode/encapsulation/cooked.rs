//! Linux cooked captures, versions 1 and 2.

use super::{Layer, Skip, llc};
use crate::packet::decode::bytes::Bytes;
use crate::packet::{LinkType, Protocol};

/// Removes a header of version 1.
///
/// Not decoded by etherparse: its `LinuxSllHeaderSlice` accepts five hardware types, but not those of
/// loopback, TUN and PPP interfaces, and it does not support version 2.
pub(super) fn v1(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[_, _, h0, h1, _, _, _, _, _, _, _, _, _, _, p0, p1] = bytes.take::<16>()?;
    payload(u16::from_be_bytes([h0, h1]), u16::from_be_bytes([p0, p1]), bytes)
}

/// Removes a header of version 2.
pub(super) fn v2(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[p0, p1, _, _, _, _, _, _, h0, h1, ..] = bytes.take::<20>()?;
    payload(u16::from_be_bytes([h0, h1]), u16::from_be_bytes([p0, p1]), bytes)
}

/// The layer that a hardware type and a protocol field announce.
fn payload(hardware: u16, protocol: u16, bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    /// Hardware types (`ARPHRD_*`) whose protocol field is no EtherType. (For `ARPHRD_IPGRE` it is the protocol
    /// type of GRE, which is one.)
    const FRAD: u16 = 770;
    const RADIOTAP: u16 = 803;
    const NETLINK: u16 = 824;
    /// Linux's number for frames with an LLC header (`ETH_P_802_2`).
    const LLC: u16 = 4;
    match (hardware, protocol) {
        (FRAD | NETLINK, _) => Ok(Layer::Unknown),
        (RADIOTAP, _) => Ok(Layer::Announced(Protocol::LinkType(LinkType::IEEE802_11_RADIOTAP))),
        (_, LLC) => llc::decode(bytes),
        _ => Ok(Layer::Announced(Protocol::EtherType(protocol))),
    }
}
