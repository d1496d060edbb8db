//! HDLC on serial lines: Cisco's, or that of PPP.

use super::{Layer, Skip, ppp};
use crate::packet::Protocol;
use crate::packet::decode::bytes::Bytes;

/// Removes a header of Cisco HDLC; anything else must be PPP (RFC 1662), which has another address.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const UNICAST: u8 = 0x0f;
    const BROADCAST: u8 = 0x8f;
    let &[address] = bytes.peek()?;
    if !matches!(address, UNICAST | BROADCAST) {
        return ppp::decode(bytes);
    }
    let &[_, _, p0, p1] = bytes.take()?;
    Ok(Layer::Announced(Protocol::EtherType(u16::from_be_bytes([p0, p1]))))
}
