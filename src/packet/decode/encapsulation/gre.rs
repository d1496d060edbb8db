//! GRE, and the enhanced GRE of PPTP.

use super::{Layer, Skip, cisco_metadata, ethernet};
use crate::packet::Protocol;
use crate::packet::decode::bytes::Bytes;

const CHECKSUM: u8 = 0x80;
const ROUTING: u8 = 0x40;
const KEY: u8 = 0x20;
const SEQUENCE: u8 = 0x10;
const VERSION: u8 = 0x07;

/// Removes a GRE header (RFC 2784 §2, RFC 2890 §2).
///
/// Source routing (RFC 1701) is not decoded.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const ERSPAN: u16 = 0x88be;
    const CISCO_METADATA: u16 = 0x8909;
    let &[flags, version, p0, p1] = bytes.take()?;
    let protocol = u16::from_be_bytes([p0, p1]);
    match version & VERSION {
        0 if flags & ROUTING == 0 => {}
        1 => return enhanced(flags, version, protocol, bytes),
        _ => return Ok(Layer::Unknown),
    }
    for field in [CHECKSUM, KEY, SEQUENCE] {
        if flags & field != 0 {
            bytes.skip(4)?;
        }
    }
    match protocol {
        // Type I of ERSPAN has neither a sequence number nor a header of its own.
        ERSPAN if flags & SEQUENCE == 0 => ethernet::decode(bytes),
        CISCO_METADATA => cisco_metadata::in_gre(bytes),
        _ => Ok(Layer::Announced(Protocol::EtherType(protocol))),
    }
}

/// Removes the rest of an enhanced GRE header (RFC 2637 §4.1).
fn enhanced(flags: u8, version: u8, protocol: u16, bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const PPP: u16 = 0x880b;
    const ACKNOWLEDGMENT: u8 = 0x80;
    let &[l0, l1, _, _] = bytes.take()?;
    // Without a sequence number there is only an acknowledgment.
    if protocol != PPP || flags & (CHECKSUM | ROUTING) != 0 || flags & SEQUENCE == 0 {
        return Ok(Layer::Unknown);
    }
    bytes.skip(4)?;
    if version & ACKNOWLEDGMENT != 0 {
        bytes.skip(4)?;
    }
    bytes.limit(usize::from(u16::from_be_bytes([l0, l1])));
    Ok(Layer::Announced(Protocol::EtherType(PPP)))
}
