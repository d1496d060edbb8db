//! Makes text from outside safe to show: file names, interface and process names, messages that contain them.

use std::borrow::Cow;

/// The text with U+FFFD in place of characters that are not safe to show (controls, marks of direction).
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    replaced(text, is_unsafe)
}

/// The same for text of several lines.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c| is_unsafe(c) && c != '\n')
}

/// True for a character that a terminal may take for a command (controls), or that changes how its neighbours are shown
/// without being seen: marks of direction (Unicode TR 36 §2.5), separators of lines, invisible tags.
pub(crate) fn is_unsafe(c: char) -> bool {
    c >= '\u{7f}' && is_unsafe_beyond_ascii(c) || c < ' '
}

fn is_unsafe_beyond_ascii(c: char) -> bool {
    matches!(
        c,
        '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
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

    #[test]
    fn no_character_makes_a_name_look_like_another() {
        assert_eq!(printable("x\u{202e}pacp.\u{2066}"), "x\u{fffd}pacp.\u{fffd}");
        assert_eq!(printable("a\u{2028}b\u{9b}c\u{7f}"), "a\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(printable("日本語 ‑ é"), "日本語 ‑ é");
    }
}
