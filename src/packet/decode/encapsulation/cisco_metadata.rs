//! Cisco metadata: the security group tag of TrustSec.

use super::{Layer, Skip, tag};
use crate::packet::decode::bytes::Bytes;

/// Removes version, length in words of four bytes, and options (Wireshark's
/// `packet-cisco-metadata`).
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const VERSION: u8 = 1;
    let &[version, words] = bytes.take()?;
    if version != VERSION {
        return Ok(Layer::Unknown);
    }
    bytes.skip(usize::from(words) * 4)?;
    tag::ether_type(bytes)
}
