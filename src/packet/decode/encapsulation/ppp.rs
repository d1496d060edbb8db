//! PPP.

use super::{Layer, Skip};
use crate::packet::Protocol;
use crate::packet::decode::bytes::Bytes;

/// The address byte of HDLC-like framing (RFC 1662 §3.1). No protocol number begins with it.
pub(super) const ALL_STATIONS: u8 = 0xff;

/// Removes address and control field of HDLC-like framing, if present, and the protocol field.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    if bytes.data().first() == Some(&ALL_STATIONS) {
        bytes.skip(2)?;
    }
    // The protocol field has one byte if compressed (RFC 1661 §6.5). The low bit of its last byte, and only of
    // that, is set (§2).
    let &[first] = bytes.take()?;
    let protocol = if first & 1 == 1 {
        u16::from(first)
    } else {
        let &[second] = bytes.take()?;
        u16::from_be_bytes([first, second])
    };
    Ok(Layer::Announced(Protocol::Ppp(protocol)))
}
