//! MPLS.

use super::{Layer, Skip, ethernet, inner_ip};
use crate::packet::decode::bytes::Bytes;

/// Removes a label stack (RFC 3032 §2.1).
///
/// The stack does not announce its payload, so the first nibble decides, as in other decoders (RFC 4928 §3 keeps
/// other payloads from looking like IP).
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    labels(bytes)?;
    match inner_ip::by_version(bytes)? {
        Layer::Unknown => pseudowire(bytes),
        ip => Ok(ip),
    }
}

/// As [`decode`], for UDP (RFC 7510) and where else the payload must be plausible.
pub(super) fn plausible(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    labels(bytes)?;
    match inner_ip::plausible_by_version(bytes)? {
        Layer::Unknown => pseudowire(bytes),
        ip => Ok(ip),
    }
}

/// Decodes an Ethernet frame behind the labels, with a control word before it or without (RFC 4448 §4.6).
fn pseudowire(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const CONTROL_WORD: usize = 4;
    for length in [CONTROL_WORD, 0] {
        let mut frame = *bytes;
        if frame.skip(length).is_ok() && ethernet::carries_ip(frame) {
            *bytes = frame;
            return ethernet::decode(bytes);
        }
    }
    if bytes.is_cut_within(CONTROL_WORD + ethernet::MAX_BYTES_TO_IP) {
        Err(Skip::Truncated)
    } else {
        Ok(Layer::Unknown)
    }
}

fn labels(bytes: &mut Bytes<'_>) -> Result<(), Skip> {
    const BOTTOM_OF_STACK: u8 = 1;
    loop {
        let &[_, _, label_end, _ttl] = bytes.take()?;
        if label_end & BOTTOM_OF_STACK != 0 {
            return Ok(());
        }
    }
}
