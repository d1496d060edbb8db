//! Arista's time stamp in the Ethernet header of mirrored frames.

use super::{Layer, Skip, tag};
use crate::packet::decode::bytes::Bytes;

/// Removes a time stamp (Arista EOS manual, "Timestamping"; Wireshark's `packet-arista`).
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const TIMESTAMP: u16 = 1;
    /// Low byte of the version: seconds and nanoseconds in 64 bits, or in 48. The high byte selects TAI or UTC.
    const BITS_64: u8 = 0x10;
    const BITS_48: u8 = 0x20;
    let &[s0, s1, _, version] = bytes.take()?;
    let length = match (u16::from_be_bytes([s0, s1]), version) {
        (TIMESTAMP, BITS_64) => 8,
        (TIMESTAMP, BITS_48) => 6,
        _ => return Ok(Layer::Unknown),
    };
    bytes.skip(length)?;
    tag::ether_type(bytes)
}
