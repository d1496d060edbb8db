//! TCP sequence numbers and flags (RFC 9293 §3.1, §3.4), and how far two TSvals are apart.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A TCP sequence or acknowledgment number.
///
/// Comparison wraps (RFC 9293 §3.4), so there is deliberately no `Ord`: an order of sequence
/// numbers exists only between two numbers less than 2^31 apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Seq(pub u32);

impl Seq {
    /// The number `by` bytes later.
    #[must_use]
    pub const fn plus(self, by: u32) -> Self {
        Self(self.0.wrapping_add(by))
    }

    /// The distance from `base` to this number in bytes; negative if this number is before `base`.
    #[must_use]
    pub const fn offset_from(self, base: Self) -> i32 {
        self.0.wrapping_sub(base.0) as i32
    }

    /// True if this number is `base` or later.
    #[must_use]
    pub const fn at_or_after(self, base: Self) -> bool {
        self.offset_from(base) >= 0
    }

    /// True if this number is later than `base`.
    #[must_use]
    pub const fn after(self, base: Self) -> bool {
        self.offset_from(base) > 0
    }
}

/// Ticks of a timestamp clock from one TSval to another; negative if that is older. TSvals wrap as sequence numbers do (RFC 7323
/// §5.2).
#[must_use]
pub(crate) const fn ticks_between(earlier: u32, later: u32) -> i32 {
    later.wrapping_sub(earlier).cast_signed()
}

/// The control bits of a segment (RFC 9293 §3.1), low to high: FIN, SYN, RST, PSH, ACK, URG, ECE, CWR.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment number is valid.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is valid.
    pub const URG: Self = Self(0x20);
    /// ECN echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);

    /// The bits of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if **all** bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if **any** bit of `other` is set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Debug for Flags {
    /// As tcpdump prints them: `S.`, `R`, `P.`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [(Flags, &str); 8] = [
            (Flags::FIN, "F"),
            (Flags::SYN, "S"),
            (Flags::RST, "R"),
            (Flags::PSH, "P"),
            (Flags::ACK, "."),
            (Flags::URG, "U"),
            (Flags::ECE, "E"),
            (Flags::CWR, "W"),
        ];
        let set = LETTERS.iter().filter(|(flag, _)| self.contains(*flag));
        f.write_str("[")?;
        for (_, letter) in set {
            f.write_str(letter)?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_wraps() {
        let near_end = Seq(u32::MAX - 1);
        assert!(near_end.plus(3).after(near_end));
        assert!(!near_end.after(near_end.plus(3)));
        assert!(near_end.at_or_after(near_end));
        assert_eq!(Seq(1).offset_from(near_end), 3);
    }

    #[test]
    fn contains_wants_all_bits_and_intersects_any() {
        let syn_ack = Flags::SYN.union(Flags::ACK);
        assert!(!Flags::SYN.contains(syn_ack));
        assert!(Flags::SYN.intersects(syn_ack));
        assert_eq!(format!("{syn_ack:?}"), "[S.]");
    }
}
