//! WCCP: web traffic that a router redirects to a cache, in GRE (draft-wilson-wrec-wccp-v2-01 §4.12).

use super::{Layer, Skip, inner_ip};
use crate::packet::decode::bytes::Bytes;

/// Removes the redirect header of version 2; version 1 has none, and the same GRE protocol type.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[first] = bytes.peek()?;
    if !inner_ip::is_plausible(bytes, first >> 4) {
        bytes.skip(4)?;
    }
    inner_ip::by_version(bytes)
}
