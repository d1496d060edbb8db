//! L2TP, versions 2 and 3, over UDP and IP.

use super::{Layer, Skip, ethernet, hdlc, inner_ip, ppp};
use crate::packet::decode::bytes::Bytes;

/// A control message.
const CONTROL: u16 = 0x8000;
const VERSION: u16 = 0x000f;

/// Removes the header of a data message over UDP.
pub(super) fn over_udp(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[f0, f1] = bytes.peek()?;
    let flags = u16::from_be_bytes([f0, f1]);
    match flags & VERSION {
        2 => version_2(flags, bytes),
        3 => version_3(flags, bytes),
        _ => Ok(Layer::Unknown),
    }
}

/// Removes the header of a data message of version 2 (RFC 2661 §3.1).
fn version_2(flags: u16, bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const LENGTH: u16 = 0x4000;
    const SEQUENCE: u16 = 0x0800;
    const OFFSET: u16 = 0x0200;
    const RESERVED: u16 = 0x34f0;
    if flags & (CONTROL | RESERVED) != 0 {
        return Ok(Layer::Unknown);
    }
    let message = bytes.wire();
    bytes.skip(2)?;
    if flags & LENGTH != 0 {
        let length = usize::from(u16::from_be_bytes(*bytes.take()?));
        if length > message || length < 8 {
            return Ok(Layer::Unknown);
        }
    }
    // Tunnel and session.
    bytes.skip(4)?;
    if flags & SEQUENCE != 0 {
        bytes.skip(4)?;
    }
    if flags & OFFSET != 0 {
        let padding = u16::from_be_bytes(*bytes.take()?);
        bytes.skip(usize::from(padding))?;
    }
    ppp::decode(bytes)
}

/// Removes the header of a data message of version 3 over UDP (RFC 3931 §4.1.2.1).
fn version_3(flags: u16, bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[_, _, r0, r1] = bytes.take()?;
    if flags != 3 || (r0, r1) != (0, 0) {
        return Ok(Layer::Unknown);
    }
    over_ip(bytes)
}

/// Removes the session identifier of a data message over IP (RFC 3931 §4.1.1.1), and what precedes the payload.
pub(super) fn over_ip(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    // Session 0 is for control messages.
    if bytes.take::<4>()? == &[0; 4] {
        return Ok(Layer::Unknown);
    }
    pseudowire(bytes)
}

/// Removes cookie (0, 4 or 8 bytes) and sublayer header (0 or 4 bytes), and decodes the payload.
///
/// Their lengths and the type of the payload are agreed on in control messages, and captures seldom include those.
/// The first combination with a plausible payload counts.
fn pseudowire(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    /// Longest cookie and sublayer header.
    const LONGEST: usize = 12;
    for kind in PAYLOADS {
        for length in (0..=LONGEST).step_by(4) {
            let mut payload = *bytes;
            if payload.skip(length).is_ok() && (kind.is)(payload) {
                *bytes = payload;
                return (kind.decode)(bytes);
            }
        }
    }
    if bytes.is_cut_within(LONGEST + ethernet::MAX_BYTES_TO_IP) {
        Err(Skip::Truncated)
    } else {
        Ok(Layer::Unknown)
    }
}

/// A kind of payload of pseudowires.
struct Payload {
    /// True if the bytes look like such a payload.
    is: fn(Bytes<'_>) -> bool,
    decode: super::Decoder,
}

/// The kinds of payload, those with the most certain test first.
const PAYLOADS: [Payload; 4] = [
    Payload { is: ethernet::carries_ip, decode: ethernet::decode },
    Payload {
        is: |bytes| begins_with(bytes, [0xff, 0x03, 0x00, 0x21], [0xff, 0x03, 0x00, 0x57]),
        decode: ppp::decode,
    },
    Payload {
        is: |bytes| begins_with(bytes, [0x0f, 0x00, 0x08, 0x00], [0x0f, 0x00, 0x86, 0xdd]),
        decode: hdlc::decode,
    },
    Payload {
        is: |bytes| [4, 6].iter().any(|&version| inner_ip::is_plausible(&bytes, version)),
        decode: inner_ip::by_version,
    },
];

/// True if `bytes` begin with one of two headers, for IPv4 or IPv6, and a plausible IP header follows.
fn begins_with(mut bytes: Bytes<'_>, before_ipv4: [u8; 4], before_ipv6: [u8; 4]) -> bool {
    let version = match bytes.take::<4>() {
        Ok(header) if *header == before_ipv4 => 4,
        Ok(header) if *header == before_ipv6 => 6,
        _ => return false,
    };
    inner_ip::is_plausible(&bytes, version)
}
