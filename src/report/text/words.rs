//! Wrapping and padding.

use std::borrow::Cow;

use textwrap::core::Word;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// Wraps at spaces only: a command, an option, an address or a number with its unit is never cut in two. A word that is
/// longer than a line is one.
pub(in crate::report) fn wrap(text: &str, width: usize, first: &str, rest: &str) -> Vec<String> {
    if text.is_empty() {
        return vec![String::new()];
    }
    let options = Options::new(width)
        .initial_indent(first)
        .subsequent_indent(rest)
        .break_words(false)
        .word_separator(WordSeparator::Custom(words))
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::wrap(text, options).into_iter().map(Cow::into_owned).collect()
}

/// The words: what is between spaces, and a number with its unit.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let ends = line.match_indices(' ').map(|(at, _)| at + 1);
    let ends = ends.filter(|&end| end < line.len() && !line[end..].starts_with(' '));
    let ends = ends.filter(|&end| !is_between_number_and_unit(line, end)).chain([line.len()]);
    Box::new(ends.scan(0, |from, end| Some(Word::from(&line[std::mem::replace(from, end)..end]))))
}

/// True at a unit of time, whatever punctuation is behind it, that follows a number and a space.
fn is_between_number_and_unit(line: &str, at: usize) -> bool {
    let (before, after) = line.split_at(at);
    let unit = after.split(' ').next().unwrap_or_default().trim_end_matches([',', '.', ':', ')', ';']);
    let number =
        before.strip_suffix(' ').is_some_and(|number| number.ends_with(|c: char| c.is_ascii_digit()));
    number && matches!(unit, "s" | "ms" | "µs" | "ns")
}

/// Columns that `text` takes on a terminal.
pub(in crate::report) fn columns(text: &str) -> usize {
    textwrap::core::display_width(text)
}

/// `text` filled with spaces on the right up to `width` columns.
pub(in crate::report) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_words_whole() {
        let lines = wrap("raise net.core.somaxconn and tcp_max_syn_backlog-now", 20, "  ", "    ");
        assert_eq!(lines, ["  raise", "    net.core.somaxconn", "    and", "    tcp_max_syn_backlog-now"]);
    }

    #[test]
    fn a_number_keeps_its_unit() {
        assert_eq!(wrap("took 40.3 s, or so", 9, "", ""), ["took", "40.3 s,", "or so"]);
        assert_eq!(wrap("files s and ms", 7, "", ""), ["files s", "and ms"]);
        assert_eq!(wrap("1 µs 22 ms: 3  s", 5, "", ""), ["1 µs", "22 ms:", "3  s"]);
        assert_eq!(wrap("of é5 中 s", 5, " ", "  "), [" of", "  é5", "  中", "  s"]);
    }
}
