//! PPP over Ethernet.

use super::{Layer, Skip, ppp};
use crate::packet::decode::bytes::Bytes;

/// Removes a PPPoE session header (RFC 2516 §4).
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const VERSION_1_TYPE_1: u8 = 0x11;
    const SESSION_DATA: u8 = 0;
    let &[version_type, code, _, _, l0, l1] = bytes.take()?;
    if version_type != VERSION_1_TYPE_1 || code != SESSION_DATA {
        return Err(Skip::Malformed);
    }
    bytes.limit(usize::from(u16::from_be_bytes([l0, l1])));
    ppp::decode(bytes)
}
