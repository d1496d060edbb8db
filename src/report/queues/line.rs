//! A line of the text, with its emphasis.

/// Emphasis of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineTone {
    Alarm,
    Warning,
    Heading,
    Plain,
}

/// A line with its emphasis.
pub(super) type QueueLine = (LineTone, String);

/// A sentence behind its label, wrapped and indented; a no-break space keeps a command on one line.
pub(super) fn labelled(label: &str, text: &str, width: usize) -> Vec<QueueLine> {
    let first = format!("  {label:<6} ");
    let options = textwrap::Options::new(width).initial_indent(&first).subsequent_indent("         ");
    let lines = textwrap::wrap(text, options).into_iter();
    lines.map(|line| (LineTone::Plain, line.replace('\u{a0}', " "))).collect()
}
