//! Radiotap: properties of the radio reception, before 802.11 frames (<https://www.radiotap.org>).

use super::{Layer, Skip, ieee80211};
use crate::packet::decode::bytes::Bytes;

/// Removes a radiotap header, whose numbers are little-endian.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const LEAST: usize = 8;
    let &[version, _, l0, l1] = bytes.peek()?;
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    if version != 0 || length < LEAST {
        return Ok(Layer::Unknown);
    }
    let header = bytes.data().get(..length).ok_or(bytes.lacking(length))?;
    let flags = flags(header);
    bytes.skip(length)?;
    if flags & PADDED != 0 { ieee80211::padded(bytes) } else { ieee80211::decode(bytes) }
}

/// The 802.11 header is padded to a multiple of four bytes.
const PADDED: u8 = 0x20;

/// The field "flags" of a header; 0 if absent.
fn flags(header: &[u8]) -> u8 {
    const PRESENT_TSFT: u8 = 0x01;
    const PRESENT_FLAGS: u8 = 0x02;
    const PRESENT_MORE: u8 = 0x80;
    let words = header.get(4..).unwrap_or_default().as_chunks::<4>().0;
    let Some([present, ..]) = words.first() else { return 0 };
    if present & PRESENT_FLAGS == 0 {
        return 0;
    }
    // Fields begin after the last word of presence bits, each aligned to its size.
    let more = words.iter().take_while(|[.., last]| last & PRESENT_MORE != 0).count();
    let fields = 4 + 4 * (more + 1);
    let at = if present & PRESENT_TSFT != 0 { fields.next_multiple_of(8) + 8 } else { fields };
    header.get(at).copied().unwrap_or_default()
}
