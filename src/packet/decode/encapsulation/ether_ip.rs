//! EtherIP: Ethernet frames in IP (RFC 3378).

use super::{Layer, Skip, ethernet};
use crate::packet::decode::bytes::Bytes;

/// Removes version 3 and the reserved bits after it.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    match bytes.take()? {
        [0x30, 0] => ethernet::decode(bytes),
        _ => Ok(Layer::Unknown),
    }
}
