//! TZSP: frames forwarded by an access point or router (TaZmen Sniffer Protocol, as MikroTik sends it).

use super::{Layer, Skip, ethernet};
use crate::packet::decode::bytes::Bytes;
use crate::packet::{LinkType, Protocol};

/// Removes a TZSP header and its tagged fields.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const VERSION: u8 = 1;
    const RECEIVED: u8 = 0;
    const TO_TRANSMIT: u8 = 1;
    const ETHERNET: u16 = 1;
    const IEEE80211: u16 = 18;
    let &[version, kind, p0, p1] = bytes.take()?;
    if version != VERSION || !matches!(kind, RECEIVED | TO_TRANSMIT) {
        return Ok(Layer::Unknown);
    }
    tags(bytes)?;
    match u16::from_be_bytes([p0, p1]) {
        ETHERNET => ethernet::plausible(bytes),
        IEEE80211 => Ok(Layer::Announced(Protocol::LinkType(LinkType::IEEE802_11))),
        _ => Ok(Layer::Unknown),
    }
}

/// Removes tagged fields up to the end tag. Padding and end have no length byte.
fn tags(bytes: &mut Bytes<'_>) -> Result<(), Skip> {
    const PADDING: u8 = 0;
    const END: u8 = 1;
    loop {
        match bytes.take()? {
            [PADDING] => {}
            [END] => return Ok(()),
            [_] => {
                let &[length] = bytes.take()?;
                bytes.skip(usize::from(length))?;
            }
        }
    }
}
