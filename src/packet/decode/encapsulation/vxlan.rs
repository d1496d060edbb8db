//! VXLAN: overlay networks over UDP (RFC 7348), and its generic protocol extension.

use super::{Layer, Skip, ethernet, nsh};
use crate::packet::decode::bytes::Bytes;

/// The network identifier is valid.
const VNI: u8 = 0x08;
/// A next protocol is given (draft-ietf-nvo3-vxlan-gpe §3.1).
const NEXT_PROTOCOL: u8 = 0x04;
/// Unused with either, but for the version of the extension, which must be 0.
const ZERO: u8 = 0x70;

/// Removes a VXLAN header (RFC 7348 §5).
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[flags, _, _, next, _, _, _, _] = bytes.take()?;
    if flags & (ZERO | VNI) != VNI {
        return Ok(Layer::Unknown);
    }
    // Linux's `gpe` devices use VXLAN's port by default.
    if flags & NEXT_PROTOCOL != 0 { nsh::next_protocol(next, bytes) } else { ethernet::plausible(bytes) }
}

/// Removes a header of VXLAN-GPE.
pub(super) fn gpe(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[flags, r0, r1, _, _, _, _, reserved] = bytes.peek()?;
    if (r0, r1, reserved) != (0, 0, 0) || flags & (VNI | NEXT_PROTOCOL) == 0 {
        return Ok(Layer::Unknown);
    }
    decode(bytes)
}
