//! LISP: IP in UDP between sites (RFC 9300), and its generic protocol extension (RFC 9305).

use super::{Layer, Skip, inner_ip, nsh};
use crate::packet::decode::bytes::Bytes;

/// Removes the header of a data packet (RFC 9300 §5.1).
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const NONCE: u8 = 0x80;
    const ECHO_NONCE: u8 = 0x20;
    const MAP_VERSION: u8 = 0x10;
    const NEXT_PROTOCOL: u8 = 0x04;
    const ENCRYPTED: u8 = 0x03;
    let &[flags, _, _, next, _, _, _, _] = bytes.take()?;
    let has = |flag| flags & flag != 0;
    // Combinations that §5.3 excludes.
    if has(ENCRYPTED) || has(NONCE) && has(MAP_VERSION) || has(ECHO_NONCE) && !has(NONCE) {
        return Ok(Layer::Unknown);
    }
    if has(NEXT_PROTOCOL) { nsh::next_protocol(next, bytes) } else { inner_ip::plausible_by_version(bytes) }
}
