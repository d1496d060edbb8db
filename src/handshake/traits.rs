//! The traits of a SYN-ACK by which senders differ.

use crate::packet::{OptionLayout, Segment};

/// Traits of a SYN-ACK that its sender's other ones share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SynAckTraits {
    /// IPv4 TTL or IPv6 hop limit as captured.
    pub ttl: u8,
    /// The window field.
    pub window: u16,
    /// The order of the options.
    pub layout: OptionLayout,
}

impl SynAckTraits {
    #[inline(always)]
    pub(in crate::handshake) fn of(segment: &Segment) -> Self {
        Self { ttl: segment.ttl, window: segment.window, layout: segment.options.layout() }
    }
}
