//! Packets logged by Linux's netfilter (link type NFLOG).

use super::{Layer, Skip, inner_ip};
use crate::packet::decode::bytes::Bytes;

/// Removes the header and the attributes before the payload
/// (<https://www.tcpdump.org/linktypes/LINKTYPE_NFLOG.html>).
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const INET: u8 = 2;
    const INET6: u8 = 10;
    const VERSION: u8 = 0;
    const PAYLOAD: u16 = 9;
    let &[family, version, _, _] = bytes.take()?;
    // Packets of other families, as of bridges, begin with other headers.
    if !matches!(family, INET | INET6) || version != VERSION {
        return Ok(Layer::Unknown);
    }
    loop {
        let &[l0, l1, t0, t1] = bytes.take()?;
        // In the byte order of the capturing host. Types are small, so one byte of theirs is zero.
        let number = if t0 == 0 { u16::from_be_bytes } else { u16::from_le_bytes };
        let length = usize::from(number([l0, l1])).checked_sub(4).ok_or(Skip::Malformed)?;
        if number([t0, t1]) == PAYLOAD {
            bytes.limit(length);
            return inner_ip::by_version(bytes);
        }
        bytes.skip(length.next_multiple_of(4))?;
    }
}
