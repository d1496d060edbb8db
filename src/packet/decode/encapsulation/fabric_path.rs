//! Cisco FabricPath: Ethernet in Ethernet inside a data centre fabric.

use super::{Layer, Skip, ethernet};
use crate::packet::decode::bytes::Bytes;

/// Removes forwarding tag and TTL; the outer Ethernet header is removed already (Wireshark's
/// `packet-cisco-fp-mim`).
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    bytes.skip(2)?;
    ethernet::decode(bytes)
}
