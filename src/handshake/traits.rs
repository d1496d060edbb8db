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

    /// True if Linux can have sent the SYN-ACK, as far as its options show.
    #[must_use]
    pub fn may_be_linux(self) -> bool {
        matches!(self.system(), Some(System::Linux) | None)
    }

    /// The system that lays out a SYN-ACK's options like this; `None` where several do, or none that is known.
    ///
    /// Linux writes MSS, then SACK permitted and timestamps (or padding in their place), then the window scale
    /// (`tcp_synack_options`, `tcp_options_write` in net/ipv4/tcp_output.c); BSD stacks write the window scale behind the
    /// MSS (`tcp_addoptions` in sys/netinet/tcp_output.c), macOS closes with an end of list, Windows sends no timestamps
    /// unless the client did and pads in pairs.
    #[must_use]
    pub fn system(self) -> Option<System> {
        use OptionKind::{End, FastOpen, Mptcp, Mss, Noop, SackPermitted, Timestamps, WindowScale};
        const KNOWN: [(System, &[OptionKind]); 20] = [
            (System::Linux, &[Mss, SackPermitted, Timestamps, Noop, WindowScale]),
            (System::Linux, &[Mss, SackPermitted, Timestamps]),
            (System::Linux, &[Mss, Noop, Noop, Timestamps, Noop, WindowScale]),
            (System::Linux, &[Mss, Noop, Noop, Timestamps]),
            (System::Linux, &[Mss, Noop, Noop, SackPermitted, Noop, WindowScale]),
            (System::Linux, &[Mss, Noop, Noop, SackPermitted]),
            (System::Linux, &[Mss, SackPermitted, Timestamps, Noop, WindowScale, FastOpen]),
            (System::Linux, &[Mss, SackPermitted, Timestamps, Noop, WindowScale, Mptcp]),
            (System::Linux, &[Mss, SackPermitted, Timestamps, Noop, WindowScale, Noop, Noop]),
            (System::FreeBsd, &[Mss, Noop, WindowScale, SackPermitted, Timestamps]),
            (System::FreeBsd, &[Mss, Noop, WindowScale, SackPermitted, End]),
            (System::FreeBsd, &[Mss, SackPermitted, End]),
            (System::MacOs, &[Mss, Noop, WindowScale, Noop, Noop, Timestamps, SackPermitted]),
            (System::MacOs, &[Mss, Noop, WindowScale, SackPermitted, Timestamps, End]),
            (System::Windows, &[Mss, Noop, WindowScale, Noop, Noop, SackPermitted]),
            (System::Windows, &[Mss, Noop, WindowScale, SackPermitted, Noop, Noop]),
            (System::Windows, &[Mss, Noop, WindowScale, Noop, Noop, SackPermitted, Noop]),
            (System::Windows, &[Mss, Noop, WindowScale, SackPermitted, Timestamps, Noop]),
            (System::OpenBsd, &[Mss, Noop, Noop, SackPermitted, Noop, WindowScale, Noop]),
            (System::OpenBsd, &[Mss, Noop, Noop, SackPermitted, Noop, Noop, Timestamps]),
        ];
        KNOWN.into_iter().find(|(_, kinds)| OptionLayout::of(kinds) == self.layout).map(|(system, _)| system)
    }
}

/// A system that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Linux.
    Linux,
    /// FreeBSD, and what is made of it.
    FreeBsd,
    /// OpenBSD.
    OpenBsd,
    /// macOS, iOS.
    MacOs,
    /// Windows.
    Windows,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(kinds: &[u8]) -> Option<System> {
        let layout = kinds.iter().fold(OptionLayout::UNKNOWN, |layout, &kind| layout.then(kind));
        SynAckTraits { ttl: 64, window: 65535, layout }.system()
    }

    #[test]
    fn systems_lay_out_options_in_ways_of_their_own() {
        assert_eq!(system(&[2, 4, 8, 1, 3]), Some(System::Linux));
        assert_eq!(system(&[2, 1, 3, 4, 8]), Some(System::FreeBsd));
        assert_eq!(system(&[2, 1, 3, 1, 1, 4]), Some(System::Windows));
        assert_eq!(system(&[2, 1, 3, 1, 1, 8, 4, 0]), Some(System::MacOs));
        assert_eq!(system(&[2]), None, "any system");
        assert_eq!(system(&[4, 2]), None);
    }

    #[test]
    fn only_a_known_other_system_is_not_linux() {
        let of = |layout| SynAckTraits { ttl: 64, window: 1, layout };
        assert!(of(OptionLayout::NONE).may_be_linux());
        assert!(of(OptionLayout::UNKNOWN).may_be_linux());
        assert!(of(OptionLayout::LINUX_SYN).may_be_linux());
        let freebsd = OptionLayout::of(&[
            OptionKind::Mss,
            OptionKind::Noop,
            OptionKind::WindowScale,
            OptionKind::SackPermitted,
            OptionKind::Timestamps,
        ]);
        assert!(!of(freebsd).may_be_linux());
    }
}
