//! Operating systems, recognised by their SYN-ACKs: the order of options, the hop limit, the window. Unknown by
//! default.
//!
//! Owns the table. Its sources are the systems' own code where it is public: Linux `tcp_synack_options` and
//! `tcp_options_write` (net/ipv4/tcp_output.c); FreeBSD `syncache_respond` and `tcp_addoptions`
//! (sys/netinet/tcp_syncache.c, tcp_output.c); OpenBSD `tcp_output` (sys/netinet/tcp_output.c); macOS `tcp_output` (xnu
//! bsd/netinet/tcp_output.c). That of Windows is what its SYN-ACKs show (Microsoft publishes none). Orders that several
//! systems have are in none of the rows, or in one whose window distinguishes them.

use super::traits::SynAckTraits;
use crate::packet::OptionKind::{End, Mptcp, Mss, Noop, SackPermitted, Timestamps, WindowScale};
use crate::packet::{OptionKind, OptionLayout, Span};

/// A system that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Linux.
    Linux,
    /// FreeBSD, and what is made of it.
    FreeBsd,
    /// OpenBSD.
    OpenBsd,
    /// macOS, iOS, and what has the same code (JUNOS).
    MacOs,
    /// Windows.
    Windows,
}

/// Window of a SYN-ACK, as far as systems differ by it.
#[derive(Debug, Clone, Copy)]
enum SynAckWindow {
    /// Any: the window varies with the system's settings, and the order of options is the system's own.
    Any,
    /// The system's default.
    Is(u16),
    /// Not the default of another system with this order.
    NotDefault,
}

/// Defaults of the systems but Linux, whose window is a multiple of the MSS too. The last four are Solaris': 34 or 37 segments
/// of 1,460 or 1,448 bytes.
const DEFAULTS: [u16; 9] = [8_192, 16_384, 32_768, 65_535, 4_128, 49_640, 49_232, 54_020, 53_576];

/// Traits of one system's SYN-ACKs.
struct Signature {
    system: System,
    options: OptionLayout,
    /// Hop limit with which they leave.
    hops: u8,
    window: SynAckWindow,
}

const fn of(system: System, hops: u8, window: SynAckWindow, options: &[OptionKind]) -> Signature {
    Signature { system, options: OptionLayout::of(options), hops, window }
}

static KNOWN: [Signature; 20] = {
    use SynAckWindow::{Any, Is, NotDefault};
    use System::{FreeBsd, Linux, MacOs, OpenBsd, Windows};
    [
        of(Linux, 64, Any, &[Mss, SackPermitted, Timestamps, Noop, WindowScale]),
        of(Linux, 64, Any, &[Mss, SackPermitted, Timestamps, Noop, WindowScale, Mptcp]),
        of(Linux, 64, Any, &[Mss, SackPermitted, Timestamps, Noop, WindowScale, Noop, Noop]),
        of(Linux, 64, Any, &[Mss, Noop, Noop, SackPermitted, Noop, WindowScale]),
        of(Linux, 64, Any, &[Mss, Noop, Noop, Timestamps, Noop, WindowScale]),
        of(Linux, 64, NotDefault, &[Mss, SackPermitted, Timestamps]),
        of(Linux, 64, NotDefault, &[Mss, Noop, Noop, SackPermitted]),
        of(Linux, 64, NotDefault, &[Mss, Noop, Noop, Timestamps]),
        of(FreeBsd, 64, Is(65_535), &[Mss, Noop, WindowScale, SackPermitted, Timestamps]),
        // Windows of 12 segments up to 3.4, then 16,384.
        of(OpenBsd, 64, Any, &[Mss, Noop, Noop, SackPermitted, Noop, WindowScale, Noop, Noop, Timestamps]),
        of(OpenBsd, 64, Is(16_384), &[Mss, Noop, Noop, SackPermitted, Noop, Noop, Timestamps]),
        of(OpenBsd, 64, Is(16_384), &[Mss, Noop, Noop, SackPermitted]),
        of(MacOs, 64, Is(65_535), &[Mss, Noop, WindowScale, Noop, Noop, Timestamps, SackPermitted, End]),
        of(MacOs, 64, Is(65_535), &[Mss, Noop, WindowScale, Noop, Noop, Timestamps, SackPermitted]),
        of(Windows, 128, Any, &[Mss, Noop, WindowScale, Noop, Noop, SackPermitted]),
        of(Windows, 128, Any, &[Mss, Noop, WindowScale, SackPermitted, Timestamps]),
        of(Windows, 128, Any, &[Mss, Noop, WindowScale, Noop, Noop, Timestamps]),
        // Up to Windows 2003.
        of(Windows, 128, Any, &[Mss, Noop, WindowScale, Noop, Noop, Timestamps, Noop, Noop, SackPermitted]),
        of(Windows, 128, Any, &[Mss, Noop, Noop, SackPermitted]),
        of(Windows, 128, Any, &[Mss, SackPermitted, Timestamps]),
    ]
};

/// The system whose SYN-ACKs have these traits; `None` where none is known, or several are.
pub(super) fn system(traits: SynAckTraits) -> Option<System> {
    let traits = traits.without_cookie();
    let mut fitting = KNOWN.iter().filter(|known| known.fits(traits)).map(|known| known.system);
    let first = fitting.next()?;
    fitting.all(|other| other == first).then_some(first)
}

/// True if SYN-ACK repeats come at equal gaps, as BSD systems begin to repeat (`tcp_syn_backoff`) and Linux, whose gaps
/// double, never does.
pub(super) fn is_linear(retry_at: &[Span]) -> bool {
    match retry_at {
        [first, second, third, ..] => {
            let gaps = [second.minus(*first), third.minus(*second)];
            gaps.into_iter().all(|gap| gap <= first.scaled(5, 4))
        }
        _ => false,
    }
}

impl Signature {
    fn fits(&self, traits: SynAckTraits) -> bool {
        self.options == traits.layout
            && first_hops(traits.ttl) == self.hops
            && match self.window {
                SynAckWindow::Any => true,
                SynAckWindow::Is(default) => traits.window == default,
                SynAckWindow::NotDefault => !DEFAULTS.contains(&traits.window),
            }
    }
}

/// The hop limit with which a packet left: the next of those that systems use.
const fn first_hops(ttl: u8) -> u8 {
    match ttl {
        0..=64 => 64,
        65..=128 => 128,
        129..=255 => 255,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kinds of options as they stand in a header.
    fn recognised(ttl: u8, window: u16, kinds: &[u8]) -> Option<System> {
        let layout = kinds.iter().fold(OptionLayout::UNKNOWN, |layout, &kind| layout.then(kind));
        system(SynAckTraits { ttl, window, layout })
    }

    #[test]
    fn systems_are_recognised_by_order_hops_and_window() {
        assert_eq!(recognised(63, 65_160, &[2, 4, 8, 1, 3]), Some(System::Linux));
        assert_eq!(recognised(52, 28_960, &[2, 1, 1, 4, 1, 3]), Some(System::Linux));
        assert_eq!(recognised(60, 65_535, &[2, 1, 3, 4, 8]), Some(System::FreeBsd));
        assert_eq!(recognised(120, 65_535, &[2, 1, 3, 4, 8]), Some(System::Windows), "the same order");
        assert_eq!(recognised(116, 8_192, &[2, 1, 3, 1, 1, 4]), Some(System::Windows));
        assert_eq!(recognised(55, 65_535, &[2, 1, 3, 1, 1, 8, 4, 0]), Some(System::MacOs));
        assert_eq!(recognised(58, 16_384, &[2, 1, 1, 4]), Some(System::OpenBsd));
        assert_eq!(recognised(58, 14_600, &[2, 1, 1, 4]), Some(System::Linux));
    }

    /// SYN-ACKs that other people captured, from none of which the table was made: facts of the sources named with each.
    /// tcpdump without `-v` does not show TTLs; where it was used, that of the system's default stands here.
    #[test]
    fn systems_in_public_captures_are_recognised() {
        use System::{FreeBsd, Linux, MacOs, OpenBsd, Windows};
        for (source, ttl, window, kinds, system) in [
            // SYN-ACK fingerprints that users sent in, etc/tcp-synack.fp of gamelinux/prads.
            ("FreeBSD 7.2", 64, 65_535, &[2, 1, 3, 4, 8][..], Some(FreeBsd)),
            ("FreeBSD 8.0, wscale 6", 64, 65_535, &[2, 1, 3, 4, 8], Some(FreeBsd)),
            ("OpenBSD 3.3", 64, 17_376, &[2, 1, 1, 4, 1, 3, 1, 1, 8], Some(OpenBsd)),
            ("OpenBSD 4.6", 64, 16_384, &[2, 1, 1, 4, 1, 3, 1, 1, 8], Some(OpenBsd)),
            ("Windows 2000 SP4", 128, 65_535, &[2, 1, 3, 1, 1, 8, 1, 1, 4], Some(Windows)),
            ("Windows Server 2008 R2", 128, 8_192, &[2, 1, 3, 4, 8], Some(Windows)),
            ("Linux 2.6 to a Windows client", 64, 5_840, &[2, 1, 1, 4, 1, 3], Some(Linux)),
            ("Solaris 9 and 10", 63, 49_640, &[2, 1, 3, 1, 1, 4], None),
            ("HP Officejet", 64, 8_688, &[2, 1, 3, 1, 1, 4, 1, 1, 8], None),
            ("Bing.com", 255, 4_380, &[2, 1, 3, 1, 1, 8, 4, 0], None),
            // A Windows server with RDP, tcpdump of 2024 on the host of its virtual machine.
            ("ms-wbt-server, ECN, wscale 0", 128, 64_000, &[2, 1, 3, 1, 1, 4], Some(Windows)),
            // macOS on its own loopback interface: a bug report of 2013, and a course's notes of 2026 with IPv6.
            ("lo0, IPv4, mss 16344, wscale 4", 64, 65_535, &[2, 1, 3, 1, 1, 8, 4, 0], Some(MacOs)),
            ("lo0, IPv6, mss 16324, wscale 6", 64, 65_535, &[2, 1, 3, 1, 1, 8, 4, 0], Some(MacOs)),
            // FreeBSD without timestamps, from the results of freebsd-net/tcp-testsuite; macOS sends the same (p0f.fp).
            ("FreeBSD, init_rto", 64, 65_535, &[2, 1, 3, 4, 0], None),
            // Postfix on Ubuntu answers a macOS client; dns.quad9.net answers OpenBSD.
            ("smtp, wscale 7", 64, 65_160, &[2, 4, 8, 1, 3], Some(Linux)),
            ("149.112.112.112:853, wscale 8", 56, 28_960, &[2, 1, 1, 8, 1, 3], Some(Linux)),
            // SYN-ACKs of p0f.fp (p0f/p0f) that tell no system apart.
            ("Solaris 10, 37 segments", 64, 54_020, &[2, 1, 1, 4], None),
            ("HP-UX 11", 64, 32_768, &[2, 1, 1, 4], None),
            ("OpenVMS 8, which Windows resembles", 128, 3_000, &[2, 1, 3], None),
        ] {
            assert_eq!(recognised(ttl, window, kinds), system, "{source}");
        }
    }

    #[test]
    fn what_several_systems_send_is_unknown() {
        for (ttl, window, kinds) in [
            (64, 65_535, &[2][..]),
            (64, 29_200, &[]),
            (64, 65_535, &[2, 1, 3, 4, 0]),
            (64, 65_535, &[2, 1, 1, 8]),
            (64, 32_768, &[2, 1, 1, 4]),
            (255, 65_160, &[2, 4, 8, 1, 3]),
            (64, 49_640, &[1, 1, 8, 2, 1, 3, 1, 1, 4]),
            (64, 65_160, &[4, 2]),
        ] {
            assert_eq!(recognised(ttl, window, kinds), None, "{ttl} {window} {kinds:?}");
        }
    }

    #[test]
    fn equal_gaps_are_not_linux() {
        let at = |seconds: &[i64]| seconds.iter().map(|&s| Span::from_secs(s)).collect::<Vec<_>>();
        assert!(is_linear(&at(&[1, 2, 3])));
        assert!(!is_linear(&at(&[1, 3, 7])) && !is_linear(&at(&[3, 9, 21])) && !is_linear(&at(&[1, 2])));
    }
}
