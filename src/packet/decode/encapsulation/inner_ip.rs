//! IP headers, also those whose version nothing announces.

use super::{Layer, Skip};
use crate::packet::decode::bytes::Bytes;

/// An IPv4 header follows.
pub(super) fn v4(_: &mut Bytes<'_>) -> Result<Layer, Skip> {
    Ok(Layer::Ipv4)
}

/// An IPv6 header follows.
pub(super) fn v6(_: &mut Bytes<'_>) -> Result<Layer, Skip> {
    Ok(Layer::Ipv6)
}

/// IP of the version in the first nibble.
pub(super) fn by_version(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[first] = bytes.peek()?;
    Ok(match first >> 4 {
        4 => Layer::Ipv4,
        6 => Layer::Ipv6,
        _ => Layer::Unknown,
    })
}

/// IP of this version, if the header is plausible.
pub(super) fn plausible(bytes: &mut Bytes<'_>, version: u8) -> Result<Layer, Skip> {
    let &[_] = bytes.peek()?;
    if is_plausible(bytes, version) { by_version(bytes) } else { Ok(Layer::Unknown) }
}

/// As [`by_version`], if the header is plausible.
pub(super) fn plausible_by_version(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[first] = bytes.peek()?;
    plausible(bytes, first >> 4)
}

/// True if `bytes` begin with a plausible IP header of this version: its lengths are possible.
///
/// Fields that the snap length cut off count as plausible, but for the first byte.
pub(super) fn is_plausible(bytes: &Bytes<'_>, version: u8) -> bool {
    let Some(&first) = bytes.data().first() else { return false };
    let length = |at: usize| {
        let field = bytes.data().get(at..at + 2)?;
        Some(usize::from(u16::from_be_bytes([field[0], field[1]])))
    };
    match (first >> 4, version) {
        (4, 4) => {
            let header = usize::from(first & 0x0f) * 4;
            // A total length of zero stands for segmentation offload.
            let fits = |total| total == 0 || (header..=bytes.wire()).contains(&total);
            header >= 20 && bytes.wire() >= header && length(2).is_none_or(fits)
        }
        (6, 6) => bytes.wire() >= 40 && length(4).is_none_or(|payload| payload + 40 <= bytes.wire()),
        _ => false,
    }
}
