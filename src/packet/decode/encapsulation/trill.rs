//! TRILL: Ethernet routed between bridges (RFC 6325 §3.2).

use super::{Layer, Skip, ethernet};
use crate::packet::decode::bytes::Bytes;

/// Removes a TRILL header and its options.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[b0, b1, _, _, _, _] = bytes.take()?;
    let fields = u16::from_be_bytes([b0, b1]);
    if fields >> 14 != 0 {
        return Ok(Layer::Unknown);
    }
    bytes.skip(usize::from(fields >> 6 & 0x1f) * 4)?;
    ethernet::decode(bytes)
}
