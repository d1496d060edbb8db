//! Geneve: overlay networks over UDP (RFC 8926).

use super::{Layer, Skip, decoder, ethernet};
use crate::packet::Protocol;
use crate::packet::decode::bytes::Bytes;

/// Removes a Geneve header and its options (RFC 8926 §3.4).
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const ETHERNET: u16 = 0x6558;
    let &[version_length, _, p0, p1, _, _, _, _] = bytes.take()?;
    let protocol = u16::from_be_bytes([p0, p1]);
    let announced = Protocol::EtherType(protocol);
    if version_length >> 6 != 0 || decoder(announced).is_none() {
        return Ok(Layer::Unknown);
    }
    bytes.skip(usize::from(version_length & 0x3f) * 4)?;
    if protocol == ETHERNET { ethernet::plausible(bytes) } else { Ok(Layer::Announced(announced)) }
}
