//! Ethernet II and IEEE 802.3.

use super::{Layer, Skip, inner_ip, llc};
use crate::packet::Protocol;
use crate::packet::decode::bytes::Bytes;

/// Removes an Ethernet header.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[.., t0, t1] = bytes.take::<14>()?;
    type_or_length(u16::from_be_bytes([t0, t1]), bytes)
}

/// The layer after a type/length field: up to 1500 it is the length of an LLC frame (IEEE 802.3 §3.2.6).
pub(super) fn type_or_length(value: u16, bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    match value {
        // Without a look into the tables: most tags are before IP.
        0x0800 => Ok(Layer::Ipv4),
        0x86dd => Ok(Layer::Ipv6),
        0..=1500 => llc::decode(bytes),
        _ => Ok(Layer::Announced(Protocol::EtherType(value))),
    }
}

/// As [`decode`], for a tunnel header that ordinary UDP could resemble by chance: the frame must carry ARP, or
/// something that has a decoder.
pub(super) fn plausible(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const ARP: u16 = 0x0806;
    let layer = decode(bytes)?;
    match layer {
        Layer::Ipv4 | Layer::Ipv6 | Layer::Announced(Protocol::EtherType(ARP) | Protocol::Llc(_)) => {
            Ok(layer)
        }
        Layer::Announced(protocol) if super::decoder(protocol).is_some() => Ok(layer),
        _ => Ok(Layer::Unknown),
    }
}

/// Most VLAN tags that [`carries_ip`] looks behind.
const MAX_TAGS: usize = 2;
/// Most bytes that [`carries_ip`] reads: the header with tags, and one byte of IP.
pub(super) const MAX_BYTES_TO_IP: usize = 14 + 4 * MAX_TAGS + 1;

/// True if `bytes` begin with an Ethernet header, VLAN tags or none, and a plausible IP header.
///
/// For tunnels that do not announce where the frame begins. The snap length may cut the IP header.
pub(super) fn carries_ip(mut bytes: Bytes<'_>) -> bool {
    if bytes.skip(12).is_err() {
        return false;
    }
    for _ in 0..=MAX_TAGS {
        let Ok(&[t0, t1]) = bytes.take() else { return false };
        match u16::from_be_bytes([t0, t1]) {
            0x8100 | 0x88a8 if bytes.skip(2).is_ok() => {}
            0x0800 => return inner_ip::is_plausible(&bytes, 4),
            0x86dd => return inner_ip::is_plausible(&bytes, 6),
            _ => return false,
        }
    }
    false
}
