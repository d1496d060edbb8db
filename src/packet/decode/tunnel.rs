//! Tunnels inside IP: GRE, and over UDP VXLAN and Geneve. (IP in IP needs no header of its own.)

use etherparse::{EtherType, UdpHeaderSlice};

use super::bytes::Bytes;
use super::{Layer, Skip};

/// VXLAN's registered port (RFC 7348 §8).
const PORT_VXLAN: u16 = 4789;
/// The port Linux used before there was a registered one and still defaults to (`vxlan_port` in
/// drivers/net/vxlan/vxlan_core.c); flannel and Cilium use it.
const PORT_VXLAN_LINUX: u16 = 8472;
/// Geneve's registered port (RFC 8926 §3.3).
const PORT_GENEVE: u16 = 6081;

/// What a UDP datagram carries.
///
/// Ordinary UDP may use these ports too, so a tunnel header that is not as its RFC demands means
/// [`Layer::Foreign`], not a malformed packet.
pub(super) fn udp(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let Ok(header) = UdpHeaderSlice::from_slice(bytes.data()) else { return Ok(Layer::Foreign) };
    let decode = match header.destination_port() {
        PORT_VXLAN | PORT_VXLAN_LINUX => vxlan,
        PORT_GENEVE => geneve,
        _ => return Ok(Layer::Foreign),
    };
    bytes.skip(header.slice().len())?;
    decode(bytes)
}

/// Removes a VXLAN header (RFC 7348 §5).
fn vxlan(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const VNI_IS_VALID: u8 = 0x08;
    let &[flags, _, _, _, _, _, _, _] = bytes.take()?;
    Ok(if flags & VNI_IS_VALID != 0 { Layer::Ethernet } else { Layer::Foreign })
}

/// Removes a Geneve header and its options (RFC 8926 §3.4).
fn geneve(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[version_length, _, p0, p1, _, _, _, _] = bytes.take()?;
    if version_length >> 6 != 0 {
        return Ok(Layer::Foreign);
    }
    bytes.skip(usize::from(version_length & 0x3f) * 4)?;
    Ok(Layer::EtherType(EtherType(u16::from_be_bytes([p0, p1]))))
}

/// Removes a GRE header (RFC 2784 §2, RFC 2890 §2).
///
/// Source routing (RFC 1701) and version 1 (PPTP, whose PPP is compressed or encrypted) are not
/// decoded. ERSPAN has an EtherType of its own, which none of the layers knows.
pub(super) fn gre(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const CHECKSUM: u8 = 0x80;
    const ROUTING: u8 = 0x40;
    const KEY: u8 = 0x20;
    const SEQUENCE: u8 = 0x10;
    const VERSION: u8 = 0x07;
    let &[flags, version, p0, p1] = bytes.take()?;
    if flags & ROUTING != 0 || version & VERSION != 0 {
        return Ok(Layer::Foreign);
    }
    for field in [CHECKSUM, KEY, SEQUENCE] {
        if flags & field != 0 {
            bytes.skip(4)?;
        }
    }
    Ok(Layer::EtherType(EtherType(u16::from_be_bytes([p0, p1]))))
}
