//! The kinds of a TCP header's options in their order: systems lay out SYN and SYN-ACK in ways of their own.

use std::fmt;

use etherparse::tcp_option;
use serde::{Deserialize, Serialize};

/// The kinds of the first seven options, in order.
///
/// One nibble each, the first one in the highest place used; an empty layout is 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct OptionLayout(u32);

/// An option kind, as far as layouts distinguish kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum OptionKind {
    /// The end of the list, or of what was captured of it.
    End = 0xe,
    /// Padding.
    Noop = 1,
    /// Maximum segment size.
    Mss = 2,
    /// Window scale.
    WindowScale = 3,
    /// SACK permitted.
    SackPermitted = 4,
    /// SACK blocks.
    Sack = 5,
    /// Timestamps.
    Timestamps = 8,
    /// TCP Fast Open (RFC 7413).
    FastOpen = 9,
    /// Multipath TCP (RFC 8684).
    Mptcp = 0xa,
    /// Any other.
    Other = 0xf,
}

impl OptionKind {
    /// The IANA numbers that etherparse has no name for.
    const MPTCP: u8 = 30;
    const FAST_OPEN: u8 = 34;

    const fn of(kind: u8) -> Self {
        match kind {
            tcp_option::KIND_END => Self::End,
            tcp_option::KIND_NOOP => Self::Noop,
            tcp_option::KIND_MAXIMUM_SEGMENT_SIZE => Self::Mss,
            tcp_option::KIND_WINDOW_SCALE => Self::WindowScale,
            tcp_option::KIND_SELECTIVE_ACK_PERMITTED => Self::SackPermitted,
            tcp_option::KIND_SELECTIVE_ACK => Self::Sack,
            tcp_option::KIND_TIMESTAMP => Self::Timestamps,
            Self::MPTCP => Self::Mptcp,
            Self::FAST_OPEN => Self::FastOpen,
            _ => Self::Other,
        }
    }

    const fn letter(nibble: u32) -> char {
        match nibble {
            0xe => 'E',
            1 => 'N',
            2 => 'M',
            3 => 'W',
            4 => 'S',
            5 => 's',
            8 => 'T',
            9 => 'F',
            0xa => 'P',
            _ => 'O',
        }
    }
}

impl OptionLayout {
    /// No options.
    pub const NONE: Self = Self(0);

    /// Options of kinds that were not captured. (Its top nibble is that of no layout.)
    pub const UNKNOWN: Self = Self(0xf000_0000);

    /// Padding and timestamps, as RFC 7323 appendix A lays them out.
    pub const TIMESTAMPS: Self = Self::of(&[OptionKind::Noop, OptionKind::Noop, OptionKind::Timestamps]);

    /// The SYN of Linux with timestamps (`tcp_options_write`).
    pub const LINUX_SYN: Self = Self::of(&[
        OptionKind::Mss,
        OptionKind::SackPermitted,
        OptionKind::Timestamps,
        OptionKind::Noop,
        OptionKind::WindowScale,
    ]);

    /// A layout of these kinds, at most seven.
    #[must_use]
    pub const fn of(kinds: &[OptionKind]) -> Self {
        let mut layout = 0;
        let mut at = 0;
        while at < kinds.len() && at < Self::KINDS {
            layout = layout << 4 | kinds[at] as u32;
            at += 1;
        }
        Self(layout)
    }

    /// Kinds that a layout has room for.
    const KINDS: usize = 7;

    /// Appends an option of this IANA kind to the layout; options beyond seven are left out.
    #[must_use]
    pub(crate) const fn then(self, kind: u8) -> Self {
        let known = if self.0 == Self::UNKNOWN.0 { 0 } else { self.0 };
        if known >> (4 * (Self::KINDS - 1)) != 0 {
            self
        } else {
            Self(known << 4 | OptionKind::of(kind) as u32)
        }
    }

    /// The layout as a number.
    pub(crate) const fn bits(self) -> u64 {
        self.0 as u64
    }

    /// True without any option.
    #[must_use]
    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// True if an option of this kind is among the first seven.
    #[must_use]
    pub const fn has(self, kind: OptionKind) -> bool {
        const ONES: u32 = 0x1111_1111;
        // All four bits of each place that has the kind are zero: subtracting one from such a place borrows.
        let differing = self.0 ^ (kind as u32 * ONES);
        let same = differing.wrapping_sub(ONES) & !differing & (8 * ONES);
        same != 0 && self.0 != Self::UNKNOWN.0
    }
}

impl OptionLayout {
    /// The options before the first one of this kind; all, without one.
    #[must_use]
    pub(crate) const fn before(self, kind: OptionKind) -> Self {
        let mut cut = self.0;
        let mut rest = if self.0 == Self::UNKNOWN.0 { 0 } else { self.0 };
        while rest != 0 {
            if rest & 0xf == kind as u32 {
                cut = rest >> 4;
            }
            rest >>= 4;
        }
        Self(cut)
    }
}

impl fmt::Debug for OptionLayout {
    /// `MSTNW`: one letter for each kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::UNKNOWN {
            return f.write_str("?");
        }
        let nibbles = (0..Self::KINDS).rev().map(|place| self.0 >> (4 * place) & 0xf);
        let letters: String = nibbles.filter(|&nibble| nibble != 0).map(OptionKind::letter).collect();
        f.write_str(&letters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_grows_kind_by_kind_up_to_seven() {
        let syn = [2, 4, 8, 1, 3].into_iter().fold(OptionLayout::UNKNOWN, OptionLayout::then);
        assert_eq!(syn, OptionLayout::LINUX_SYN);
        assert_eq!(format!("{syn:?}"), "MSTNW");
        let full = [2, 1, 3, 1, 1, 8, 4, 0].into_iter().fold(OptionLayout::UNKNOWN, OptionLayout::then);
        assert_eq!(format!("{full:?}"), "MNWNNTS");
        assert!(full.has(OptionKind::SackPermitted) && !full.has(OptionKind::End));
        let offered = [2, 4, 8, 1, 3, 34, 1, 1].into_iter().fold(OptionLayout::UNKNOWN, OptionLayout::then);
        assert_eq!(offered.before(OptionKind::FastOpen), syn);
        assert_eq!(syn.before(OptionKind::FastOpen), syn);
    }

    #[test]
    fn unknown_options_are_options_of_no_known_kind() {
        assert!(!OptionLayout::UNKNOWN.is_none() && OptionLayout::NONE.is_none());
        assert!(!OptionLayout::UNKNOWN.has(OptionKind::Other));
        let other = OptionLayout::UNKNOWN.then(30).then(34).then(99);
        assert_eq!(format!("{other:?}"), "PFO");
    }
}
