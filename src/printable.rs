//! Makes text from outside safe for a terminal: file names, process names, messages that contain them.

use std::borrow::Cow;

/// The text with U+FFFD in place of control characters, which a terminal could take for commands.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    replaced(text, char::is_control)
}

/// The same for text of several lines.
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
