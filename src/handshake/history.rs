//! The order of an attempt's segments as a string, after Zeek's conn.log `history`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::packet::{Flags, Segment};

/// The segments by one letter each, capital for the client's: `S` SYN, lower-case `s` SYN-ACK (or SYN), `A` bare ACK,
/// `D` data, `F` FIN, `R` RST, `I` an ICMP error; `+` in the last place for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History(u64);

/// The letters by their code, from 1; 0 ends the history.
const LETTERS: &[u8; 12] = b"SADFRsadfrI+";

/// The code of the server's SYN-ACK.
const SYNACK: u64 = 6;

/// Most codes: four bits each, the latest in the lowest place.
const MAX_CODES: u32 = u64::BITS / 4;

impl History {
    /// Adds a segment.
    #[inline(always)]
    pub(in crate::handshake) fn push(&mut self, segment: &Segment, from_client: bool) {
        let flags = segment.flags;
        let kind = if flags.contains(Flags::RST) {
            5
        } else if flags.contains(Flags::SYN) {
            1
        } else if flags.contains(Flags::FIN) {
            4
        } else if segment.payload > 0 {
            3
        } else {
            2
        };
        self.push_code(if from_client { kind } else { kind + 5 });
    }

    /// Adds an ICMP error.
    pub(in crate::handshake) fn push_icmp(&mut self) {
        self.push_code(11);
    }

    #[inline(always)]
    fn push_code(&mut self, code: u64) {
        const MORE: u64 = LETTERS.len() as u64;
        let used = MAX_CODES - self.0.leading_zeros() / 4;
        if used + 1 < MAX_CODES {
            self.0 = self.0 << 4 | code;
        } else if used < MAX_CODES {
            self.0 = self.0 << 4 | MORE;
        }
    }

    /// True if an RST of the server's, or one under its address, stands before the first SYN-ACK.
    pub(in crate::handshake) fn is_reset_before_synack(self) -> bool {
        const RESET: u64 = 10;
        self.codes().take_while(|&code| code != SYNACK).any(|code| code == RESET)
    }

    /// True if an RST of the client's stands before the second SYN-ACK.
    pub(in crate::handshake) fn is_synack_reset_first(self) -> bool {
        const RESET: u64 = 5;
        let mut left = 2;
        let is_before_second = |code: &u64| {
            left -= i32::from(*code == SYNACK);
            left > 0
        };
        self.codes().take_while(is_before_second).any(|code| code == RESET)
    }

    /// The codes from the first on.
    fn codes(self) -> impl Iterator<Item = u64> {
        (0..MAX_CODES).rev().map(move |place| self.0 >> (4 * place) & 0xf).skip_while(|&code| code == 0)
    }

    /// A history of these letters; those that are none are left out.
    #[must_use]
    pub fn of(letters: &str) -> Self {
        let mut history = Self::default();
        let codes = letters.bytes().filter_map(|letter| LETTERS.iter().position(|&known| known == letter));
        codes.for_each(|code| history.push_code(code as u64 + 1));
        history
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes =
            (0..MAX_CODES).rev().map(|place| (self.0 >> (4 * place) & 0xf) as usize).filter(|&code| code > 0);
        let letters: String =
            codes.filter_map(|code| LETTERS.get(code - 1)).map(|&letter| letter as char).collect();
        f.pad(&letters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rst_before_the_synack_is_told_from_one_after_it() {
        let reset = ["SrSsA", "SSrSrSsAD"].map(|letters| History::of(letters).is_reset_before_synack());
        assert_eq!(reset, [true, true]);
        let answered = ["SsAr", "SSsRr", "S"].map(|letters| History::of(letters).is_reset_before_synack());
        assert_eq!(answered, [false, false, false]);
    }

    #[test]
    fn an_rst_to_the_first_synack_is_told_from_one_to_a_repeat() {
        let first = ["SsR", "SSsRsRs", "SRs"].map(|letters| History::of(letters).is_synack_reset_first());
        assert_eq!(first, [true, true, true]);
        let later = ["SssR", "SsAsR", "Ss"].map(|letters| History::of(letters).is_synack_reset_first());
        assert_eq!(later, [false, false, false]);
    }

    #[test]
    fn a_history_reads_as_it_was_written_and_ends_with_a_plus() {
        assert_eq!(History::of("SsAsssR").to_string(), "SsAsssR");
        assert_eq!(History::default().to_string(), "");
        assert_eq!(History::of("SSSSSSSSSSSSSSSSSSSS").to_string(), "SSSSSSSSSSSSSSS+");
    }
}
