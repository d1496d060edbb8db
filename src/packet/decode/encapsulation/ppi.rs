//! Per-packet information, a header before frames of another link type.

use super::{Layer, Skip};
use crate::packet::decode::bytes::Bytes;
use crate::packet::{LinkType, Protocol};

/// Removes a PPI header and its fields (PPI packet header application notes §3.1; all numbers little-endian).
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[version, _, l0, l1, d0, d1, d2, d3] = bytes.peek()?;
    let length = u16::from_le_bytes([l0, l1]);
    let Ok(link) = u16::try_from(u32::from_le_bytes([d0, d1, d2, d3])) else { return Ok(Layer::Unknown) };
    if version != 0 || length < 8 {
        return Ok(Layer::Unknown);
    }
    bytes.skip(usize::from(length))?;
    Ok(Layer::Announced(Protocol::LinkType(LinkType(link))))
}
