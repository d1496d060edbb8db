//! CAPWAP data: frames between access points and their controller (RFC 5415 §4.3).

use super::{Layer, Skip, ethernet, ieee80211};
use crate::packet::decode::bytes::Bytes;

/// Removes the header of an unencrypted data packet.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    /// Version 0, and a header that is not encrypted.
    const PREAMBLE: u8 = 0;
    const NATIVE_FRAME: u8 = 0x01;
    const FRAGMENT: u8 = 0x80;
    const KEEP_ALIVE: u8 = 0x08;
    const RESERVED: u8 = 0x07;
    const IEEE80211: u8 = 1;
    let &[preamble, b1, b2, b3, _, _, o0, o1] = bytes.peek()?;
    let words = b1 >> 3;
    let binding = b2 >> 1 & 0x1f;
    let native = b2 & NATIVE_FRAME != 0;
    let implausible = preamble != PREAMBLE || words < 2 || b3 & (KEEP_ALIVE | RESERVED) != 0 || o1 & 7 != 0;
    if implausible || binding != IEEE80211 && native {
        return Ok(Layer::Unknown);
    }
    bytes.skip(usize::from(words) * 4)?;
    if b3 & FRAGMENT != 0 && (o0, o1) != (0, 0) {
        return Err(Skip::Fragment);
    }
    if native { native_frame(bytes) } else { ethernet::plausible(bytes) }
}

/// Decodes an 802.11 frame.
///
/// Cisco's devices swap the two bytes of the frame control field.
fn native_frame(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    /// Version 0, type data, with or without QoS.
    const DATA: [u8; 2] = [0x08, 0x88];
    let &[first, second] = bytes.peek()?;
    if !DATA.contains(&first) && DATA.contains(&second) {
        return ieee80211::with_swapped_control(bytes);
    }
    ieee80211::decode(bytes)
}
