//! The traits of a SYN-ACK that tell one sender, and one operating system, from another.

use crate::packet::{OptionKind, OptionLayout, Segment};

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

    /// Whether Linux can have sent it: `tcp_synack_options` writes MSS, SACK permitted and timestamps (or padding), window
    /// scale, Fast Open, in this order, each only if the SYN offered it; other systems put the window scale earlier.
    #[must_use]
    pub fn may_be_linux(self) -> bool {
        use OptionKind::{FastOpen, Mptcp, Mss, Noop, SackPermitted, Timestamps, WindowScale};
        const LINUX: [&[OptionKind]; 12] = [
            &[Mss],
            &[Mss, SackPermitted, Timestamps, Noop, WindowScale],
            &[Mss, SackPermitted, Timestamps],
            &[Mss, Noop, Noop, Timestamps, Noop, WindowScale],
            &[Mss, Noop, Noop, Timestamps],
            &[Mss, Noop, Noop, SackPermitted, Noop, WindowScale],
            &[Mss, Noop, Noop, SackPermitted],
            &[Mss, Noop, WindowScale],
            &[Mss, SackPermitted, Timestamps, Noop, WindowScale, FastOpen],
            &[Mss, SackPermitted, Timestamps, Noop, WindowScale, Mptcp],
            &[Mss, SackPermitted, Timestamps, Noop, WindowScale, Noop, Noop],
            &[Mss, SackPermitted, Timestamps, FastOpen],
        ];
        let cut = self.layout == OptionLayout::UNKNOWN || self.layout.is_none();
        cut || LINUX.iter().any(|kinds| OptionLayout::of(kinds) == self.layout)
    }
}
