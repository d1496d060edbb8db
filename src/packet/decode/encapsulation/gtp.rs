//! GTP-U: user traffic of mobile networks over UDP (3GPP TS 29.281).

use super::{Layer, Skip, ethernet, inner_ip, ppp};
use crate::packet::decode::bytes::Bytes;

/// Removes the header of a G-PDU, its optional fields and extension headers.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    /// Version and protocol type must be 1, the spare bit 0.
    const FIXED_MASK: u8 = 0xf8;
    const FIXED: u8 = 0x30;
    const EXTENSION: u8 = 0x04;
    /// Extension header, sequence number or N-PDU number: with any of them, there are fields for all three.
    const OPTIONAL: u8 = 0x07;
    const G_PDU: u8 = 255;
    let &[flags, kind, l0, l1, _, _, _, _] = bytes.take()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if flags & FIXED_MASK != FIXED || kind != G_PDU || length > bytes.wire() {
        return Ok(Layer::Unknown);
    }
    bytes.limit(length);
    if flags & OPTIONAL != 0 {
        let &[_, _, _, next] = bytes.take()?;
        if flags & EXTENSION != 0 && next != 0 {
            extensions(bytes)?;
        }
    }
    payload(bytes)
}

/// Removes extension headers: each has its length in words first, and the next one's type last (TS 29.281 §5.2.1).
fn extensions(bytes: &mut Bytes<'_>) -> Result<(), Skip> {
    loop {
        let &[words] = bytes.take()?;
        // A length of zero is invalid.
        let content = (usize::from(words) * 4).checked_sub(2).ok_or(Skip::Malformed)?;
        bytes.skip(content)?;
        if let [0] = bytes.take()? {
            return Ok(());
        }
    }
}

/// The user's packet: IP, or PPP, or since 5G also Ethernet. No field announces the type.
fn payload(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[first] = bytes.peek()?;
    if inner_ip::is_plausible(bytes, first >> 4) {
        inner_ip::by_version(bytes)
    } else if ethernet::carries_ip(*bytes) {
        ethernet::decode(bytes)
    } else if first == ppp::ALL_STATIONS {
        ppp::decode(bytes)
    } else {
        Ok(Layer::Unknown)
    }
}
