//! Cisco metadata: the security group tag of TrustSec.

use super::{Layer, Skip, tag};
use crate::packet::Protocol;
use crate::packet::decode::bytes::Bytes;

/// Removes the metadata and the EtherType after it (Wireshark's `packet-cisco-metadata`).
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    if metadata(bytes)? { tag::ether_type(bytes) } else { Ok(Layer::Unknown) }
}

/// As [`decode`], inside GRE, where the EtherType comes first.
pub(super) fn in_gre(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[t0, t1] = bytes.take()?;
    let announced = Protocol::EtherType(u16::from_be_bytes([t0, t1]));
    Ok(if metadata(bytes)? { Layer::Announced(announced) } else { Layer::Unknown })
}

/// Removes version, length in words of four bytes, and options; returns false if the version is unknown.
fn metadata(bytes: &mut Bytes<'_>) -> Result<bool, Skip> {
    const VERSION: u8 = 1;
    let &[version, words] = bytes.take()?;
    bytes.skip(usize::from(words) * 4)?;
    Ok(version == VERSION)
}
