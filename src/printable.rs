//! Text that others chose, made fit for a terminal: file names, names of processes, messages with such in them.

use std::borrow::Cow;

/// The text with a mark in place of control characters, which could drive the terminal.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    replaced(text, char::is_control)
}

/// As [`printable`], of text that has several lines of its own.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c: char| c.is_control() && c != '\n')
}

fn replaced(text: &str, bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.contains(&bad) { Cow::Owned(text.replace(bad, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31m\n.pcap"), "a\u{fffd}[31m\u{fffd}.pcap");
        assert_eq!(printable_lines("a\u{1b}[31m\n.pcap"), "a\u{fffd}[31m\n.pcap");
        assert_eq!(printable("plain µs.pcap"), "plain µs.pcap");
    }
}
