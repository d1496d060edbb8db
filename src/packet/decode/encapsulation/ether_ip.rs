//! EtherIP: Ethernet frames in IP (RFC 3378).

use super::{Layer, Skip, ethernet};
use crate::packet::decode::bytes::Bytes;

/// Removes version 3 and the reserved bits after it, which are ignored.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[version, _] = bytes.take()?;
    if version >> 4 == 3 { ethernet::decode(bytes) } else { Ok(Layer::Unknown) }
}
