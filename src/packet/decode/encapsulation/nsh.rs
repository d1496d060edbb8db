//! Network service header: service function chains (RFC 8300).

use super::{Layer, Skip, ethernet, inner_ip, mpls};
use crate::packet::Protocol;
use crate::packet::decode::bytes::Bytes;

const NSH: u16 = 0x894f;

/// Removes a header, whose length is in words of four bytes (RFC 8300 §2.2).
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    /// Base header and service path header.
    const MIN_WORDS: u8 = 2;
    let &[version, length, _, next] = bytes.peek()?;
    let words = length & 0x3f;
    if version >> 6 != 0 || words < MIN_WORDS {
        return Ok(Layer::Unknown);
    }
    bytes.skip(usize::from(words) * 4)?;
    next_protocol(next, bytes)
}

/// The layer that a next-protocol number announces; VXLAN-GPE and LISP-GPE have the same numbers.
///
/// Those are in UDP, so the payload must be plausible.
pub(super) fn next_protocol(number: u8, bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    match number {
        1 => inner_ip::plausible(bytes, 4),
        2 => inner_ip::plausible(bytes, 6),
        3 => ethernet::plausible(bytes),
        // Announced, so that a chain of these headers counts as layers.
        4 => Ok(Layer::Announced(Protocol::EtherType(NSH))),
        5 => mpls::plausible(bytes),
        _ => Ok(Layer::Unknown),
    }
}
