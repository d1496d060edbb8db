//! Provider backbone bridges: Ethernet in Ethernet (IEEE 802.1ah).

use super::{Layer, Skip, ethernet};
use crate::packet::decode::bytes::Bytes;

/// Removes the tag control information of an I-tag; the customer's Ethernet header follows.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    bytes.skip(4)?;
    ethernet::decode(bytes)
}
