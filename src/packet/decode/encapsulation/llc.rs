//! LLC (IEEE 802.2) and SNAP (IEEE 802, RFC 1042).

use super::{Layer, Skip, inner_ip};
use crate::packet::Protocol;
use crate::packet::decode::bytes::Bytes;

/// Removes an LLC header, and the SNAP header after it.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const SNAP: u8 = 0xaa;
    const IP: u8 = 0x06;
    const UNNUMBERED_INFORMATION: u8 = 0x03;
    /// EtherTypes follow (RFC 1042), also where 802.1H translated an Ethernet frame.
    const ETHER_TYPE_OUIS: [[u8; 3]; 2] = [[0, 0, 0], [0, 0, 0xf8]];
    let &[destination, source, control] = bytes.peek()?;
    match (destination, source, control) {
        (SNAP, SNAP, UNNUMBERED_INFORMATION) => {
            let &[_, _, _, o0, o1, o2, t0, t1] = bytes.take()?;
            Ok(if ETHER_TYPE_OUIS.contains(&[o0, o1, o2]) {
                Layer::Announced(Protocol::EtherType(u16::from_be_bytes([t0, t1])))
            } else {
                Layer::Announced(Protocol::Llc(SNAP))
            })
        }
        (IP, IP, UNNUMBERED_INFORMATION) => {
            bytes.skip(3)?;
            inner_ip::by_version(bytes)
        }
        _ => Ok(Layer::Announced(Protocol::Llc(destination))),
    }
}
