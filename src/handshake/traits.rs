//! The traits of a SYN-ACK by which senders differ.

use serde::{Deserialize, Serialize};

use crate::packet::{OptionKind, OptionLayout, Segment};

/// Traits of a SYN-ACK that its sender's other ones share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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

    /// True if one sender may have sent both. A Fast Open cookie is in the first SYN-ACK alone.
    pub(crate) fn are_of_sender(self, other: Self) -> bool {
        self == other || self.without_cookie() == other.without_cookie()
    }

    /// The same, without a Fast Open cookie and its padding.
    pub(in crate::handshake) const fn without_cookie(self) -> Self {
        Self { layout: self.layout.before(OptionKind::FastOpen), ..self }
    }
}
