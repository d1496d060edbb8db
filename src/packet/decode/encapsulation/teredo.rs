//! Teredo: IPv6 over UDP through NATs (RFC 4380).

use super::{Layer, Skip, inner_ip};
use crate::packet::decode::bytes::Bytes;

/// Removes the headers before the IPv6 packet: authentication and origin indication, either or none (RFC 4380
/// §5.1.1).
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    const AUTHENTICATION: [u8; 2] = [0, 1];
    const ORIGIN: [u8; 2] = [0, 0];
    if bytes.peek()? == &AUTHENTICATION {
        let &[_, _, identifier, authentication] = bytes.take()?;
        // Nonce and confirmation follow.
        bytes.skip(usize::from(identifier) + usize::from(authentication) + 9)?;
    }
    if bytes.peek()? == &ORIGIN {
        bytes.skip(8)?;
    }
    inner_ip::plausible(bytes, 6)
}
