//! Wrapping and padding.

use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// Binds units to their numbers: `40.3 s` stays on one line.
fn bind_units(text: &str) -> String {
    let mut bound = String::with_capacity(text.len());
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            let unit = matches!(word.trim_end_matches([',', '.', ':', ')', ';']), "s" | "ms" | "µs" | "ns");
            bound.push(if unit && bound.ends_with(|c: char| c.is_ascii_digit()) { NO_BREAK } else { ' ' });
        }
        bound.push_str(word);
    }
    bound
}

const NO_BREAK: char = '\u{a0}';

/// Wraps at spaces only: a command, an option, an address or a number with its unit is never cut in two.
pub(in crate::report) fn wrap(text: &str, width: usize, first: &str, rest: &str) -> Vec<String> {
    let options = Options::new(width)
        .initial_indent(first)
        .subsequent_indent(rest)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::wrap(&bind_units(text), options).into_iter().map(|line| line.replace(NO_BREAK, " ")).collect()
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
    }
}
