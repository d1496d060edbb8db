//! Wrapping and padding.

use std::ops::Range;

/// Wraps at spaces only: a command, an option, an address or a number with its unit is never cut in two. A word that is
/// longer than a line is one.
pub(in crate::report) fn wrap(text: &str, width: usize, first: &str, rest: &str) -> Vec<String> {
    if text.is_empty() {
        return vec![String::new()];
    }
    let mut lines: Vec<String> = Vec::new();
    let push = |line: Range<usize>, lines: &mut Vec<String>| {
        let indent = if lines.is_empty() { first } else { rest };
        lines.push([indent, text.get(line).unwrap_or_default()].concat());
    };
    let [mut room, later] = [first, rest].map(|indent| width.saturating_sub(columns(indent)));
    let mut line = 0..0;
    // Columns of the line so far; none before its first word.
    let mut taken: Option<usize> = None;
    for word in words(text) {
        let own = columns(text.get(word.clone()).unwrap_or_default());
        let with = taken.map(|taken| taken + (word.start - line.end) + own);
        if let Some(with) = with.filter(|&with| with <= room) {
            line.end = word.end;
            taken = Some(with);
            continue;
        }
        if taken.is_some() {
            push(line, &mut lines);
            room = later;
        }
        line = word;
        taken = Some(own);
    }
    push(line, &mut lines);
    lines
}

/// The places of the words: what is between spaces, and a number with its unit. Spaces at the beginning follow an empty one.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::with_capacity(text.len() / 4 + 1);
    let bytes = text.as_bytes();
    let mut from = 0;
    for piece in bytes.split(|&byte| byte == b' ') {
        let to = from + piece.len();
        match words.last_mut() {
            Some(last)
                if last.end + 1 == from
                    && last.end.checked_sub(1).is_some_and(|end| bytes[end].is_ascii_digit())
                    && is_unit(piece) =>
            {
                last.end = to;
            }
            Some(_) if piece.is_empty() => {}
            _ => words.push(from..to),
        }
        from = to + 1;
    }
    words
}

/// True for a unit of time, whatever punctuation is behind it.
fn is_unit(word: &[u8]) -> bool {
    let end = word.iter().rposition(|byte| !b",.:);".contains(byte)).map_or(0, |last| last + 1);
    matches!(word.get(..end), Some(b"s" | b"ms" | b"ns")) || word.get(..end) == Some("µs".as_bytes())
}

/// Columns that `text` takes on a terminal.
pub(in crate::report) fn columns(text: &str) -> usize {
    match text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        true => text.len(),
        false => textwrap::core::display_width(text),
    }
}

/// `text` filled with spaces on the right up to `width` columns.
pub(in crate::report) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

    use super::*;

    #[test]
    fn wrapping_keeps_words_whole() {
        let lines = wrap("raise net.core.somaxconn and tcp_max_syn_backlog-now", 20, "  ", "    ");
        assert_eq!(lines, ["  raise", "    net.core.somaxconn", "    and", "    tcp_max_syn_backlog-now"]);
    }

    /// The words that `textwrap` would not cut either.
    fn by_textwrap(text: &str, width: usize, first: &str, rest: &str) -> Vec<String> {
        const NO_BREAK: &str = "\u{a0}";
        let bound = text.split(' ').fold(String::new(), |bound, word| {
            let unit = matches!(word.trim_end_matches([',', '.', ':', ')', ';']), "s" | "ms" | "µs" | "ns");
            let number = bound.ends_with(|c: char| c.is_ascii_digit());
            [bound.as_str(), if unit && number { NO_BREAK } else { " " }, word].concat()
        });
        let options = Options::new(width)
            .initial_indent(first)
            .subsequent_indent(rest)
            .break_words(false)
            .word_separator(WordSeparator::AsciiSpace)
            .word_splitter(WordSplitter::NoHyphenation)
            .wrap_algorithm(WrapAlgorithm::FirstFit);
        textwrap::wrap(&bound[1..], options).into_iter().map(|line| line.replace(NO_BREAK, " ")).collect()
    }

    proptest! {
        #[test]
        fn lines_are_those_of_textwrap(
            pieces in prop::collection::vec("|s,?|ms|µs[.:)]|[0-9]{1,3}|[a-zé中-]{1,9}", 0..30),
            width in 0_usize..40,
            indents in ("[ ]{0,4}", "[ ]{0,4}|• "),
        ) {
            let text = pieces.join(" ");
            let (first, rest) = (indents.0.as_str(), indents.1.as_str());
            prop_assert_eq!(wrap(&text, width, first, rest), by_textwrap(&text, width, first, rest));
        }
    }

    #[test]
    fn a_number_keeps_its_unit() {
        assert_eq!(wrap("took 40.3 s, or so", 9, "", ""), ["took", "40.3 s,", "or so"]);
        assert_eq!(wrap("files s and ms", 7, "", ""), ["files s", "and ms"]);
    }
}
