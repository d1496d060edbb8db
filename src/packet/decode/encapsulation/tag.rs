//! Tags of a fixed length between the Ethernet addresses and the EtherType.

use super::{Layer, Skip, ethernet};
use crate::packet::decode::bytes::Bytes;

/// Removes a tag of `N` bytes and the EtherType after it.
pub(super) fn decode<const N: usize>(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    bytes.skip(N)?;
    ether_type(bytes)
}

/// Removes the EtherType after a tag.
pub(super) fn ether_type(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[t0, t1] = bytes.take()?;
    ethernet::type_or_length(u16::from_be_bytes([t0, t1]), bytes)
}
