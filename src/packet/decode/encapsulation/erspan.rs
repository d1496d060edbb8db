//! ERSPAN types II and III: frames mirrored by a switch, inside GRE (draft-foschiano-erspan).
//!
//! Type I has no header of its own; `gre` decodes it.

use super::{Layer, Skip, ethernet, inner_ip};
use crate::packet::decode::bytes::Bytes;

/// Removes an ERSPAN header of the version that it gives.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[first] = bytes.peek()?;
    match first >> 4 {
        1 => {
            bytes.skip(8)?;
            ethernet::decode(bytes)
        }
        2 => type_3(bytes),
        _ => Ok(Layer::Unknown),
    }
}

/// Removes a header of type III and its optional subheader.
fn type_3(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const SUBHEADER: u16 = 1;
    const ETHERNET: u16 = 0;
    const IP: u16 = 2;
    let &[.., f0, f1] = bytes.take::<12>()?;
    let fields = u16::from_be_bytes([f0, f1]);
    if fields & SUBHEADER != 0 {
        bytes.skip(8)?;
    }
    match fields >> 10 & 0x1f {
        ETHERNET => ethernet::decode(bytes),
        IP => inner_ip::by_version(bytes),
        _ => Ok(Layer::Unknown),
    }
}
