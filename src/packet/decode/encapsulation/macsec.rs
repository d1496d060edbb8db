//! MACsec without encryption (IEEE 802.1AE): frames with an integrity check only.

use super::{Layer, Skip, tag};
use crate::packet::decode::bytes::Bytes;

/// Removes a security tag (IEEE 802.1AE §9.3).
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const VERSION: u8 = 0x80;
    const CHANNEL_IDENTIFIER: u8 = 0x20;
    const ENCRYPTED: u8 = 0x08;
    const CHANGED: u8 = 0x04;
    let &[control, _, _, _, _, _] = bytes.take()?;
    if control & (VERSION | ENCRYPTED | CHANGED) != 0 {
        return Ok(Layer::Unknown);
    }
    if control & CHANNEL_IDENTIFIER != 0 {
        bytes.skip(8)?;
    }
    tag::ether_type(bytes)
}
