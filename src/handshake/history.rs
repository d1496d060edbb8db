//! The order of an attempt's segments as a short string.

/// Segments of an attempt in order, one letter each, as in Zeek's conn.log: `S` a SYN, `h` a SYN-ACK, `A` a bare ACK, `D`
/// data, `F` FIN, `R` RST; upper case from the client, lower case from the server. The first [`History::MOST`] are kept.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    letters: [u8; Self::MOST],
    len: u8,
}

impl History {
    /// Letters kept: a handshake with Linux's five SYN-ACK repeats, each answered, has 14.
    pub const MOST: usize = 15;

    /// Adds a segment, an ASCII letter. Any past [`History::MOST`] is dropped.
    pub fn push(&mut self, letter: u8) {
        if let Some(place) = self.letters.get_mut(usize::from(self.len)) {
            *place = letter;
            self.len += 1;
        }
    }

    /// The letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let letters = self.letters.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(letters).unwrap_or_default()
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_past_the_most_are_dropped() {
        let mut history = History::default();
        assert_eq!(history.as_str(), "");
        b"ShA".iter().for_each(|&letter| history.push(letter));
        assert_eq!(history.as_str(), "ShA");
        (0..100).for_each(|_| history.push(b'h'));
        assert_eq!(history.as_str(), format!("ShA{}", "h".repeat(History::MOST - 3)));
    }
}
