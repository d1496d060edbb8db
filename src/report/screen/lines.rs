//! Text of the other outputs as lines of the screen, and the styles that both share.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::engine::packets::PacketStore;
use crate::handshake::Attempt;
use crate::packet::Timestamp;
use crate::report::ReportOptions;
use crate::report::ladder::{self, Ladder};
use crate::report::text::{Clock, Emphasis};

/// Layout that all parts of the screen share.
pub(super) struct ScreenStyle {
    pub(super) colour: bool,
    pub(super) unicode: bool,
    clock: Clock,
}

impl ScreenStyle {
    pub(super) fn new(options: &ReportOptions) -> Self {
        Self { colour: options.colour, unicode: options.unicode, clock: Clock::new(options.zone.clone()) }
    }

    /// `09:14:02`.
    pub(super) fn time(&self, time: Timestamp) -> String {
        self.clock.time_of_day(time)
    }

    /// The style that stands for an emphasis.
    pub(super) fn of(&self, emphasis: Emphasis) -> Style {
        let style = Style::new();
        let (colour, modifier) = match emphasis {
            Emphasis::Alarm => (Some(Color::Red), Modifier::BOLD),
            Emphasis::Warning => (Some(Color::Yellow), Modifier::BOLD),
            Emphasis::Note => (Some(Color::Cyan), Modifier::empty()),
            Emphasis::Good => (Some(Color::Green), Modifier::empty()),
            Emphasis::Strong => (None, Modifier::BOLD),
            Emphasis::Faint => (None, Modifier::DIM),
        };
        let style = style.add_modifier(modifier);
        colour.filter(|_| self.colour).map_or(style, |colour| style.fg(colour))
    }
}

/// The ladder of an attempt from its packets, as the text report draws it.
#[must_use]
pub fn ladder_lines(options: &ReportOptions, attempt: &Attempt, store: &PacketStore) -> Vec<Line<'static>> {
    let mut text = Vec::new();
    let ladder = Ladder::new(attempt.clone(), store);
    // Writing to memory does not fail.
    let _ = ladder::write(&mut text, options, &[ladder]);
    report_lines(&text)
}

/// Text that may be coloured as lines of the screen.
#[must_use]
pub fn report_lines(text: &[u8]) -> Vec<Line<'static>> {
    let text = String::from_utf8_lossy(text);
    text.trim_start_matches('\n').lines().map(line).collect()
}

/// A line whose colours are escape sequences, such as the other outputs write.
fn line(text: &str) -> Line<'static> {
    const ESCAPE: &str = "\u{1b}[";
    let mut parts = text.split(ESCAPE);
    let first = parts.next().map(|plain| Span::raw(plain.to_owned()));
    let mut style = Style::new();
    let coloured = parts.map(|part| {
        let (codes, plain) = part.split_once('m').unwrap_or(("", part));
        style = codes.split(';').fold(style, select_graphic_rendition);
        Span::styled(plain.to_owned(), style)
    });
    let spans: Vec<Span<'static>> = first.into_iter().chain(coloured).collect();
    Line::from_iter(spans.into_iter().filter(|span| !span.content.is_empty()))
}

/// The style after one code of ECMA-48's SGR, of those that reports are coloured with.
fn select_graphic_rendition(style: Style, code: &str) -> Style {
    match code {
        "0" => Style::new(),
        "1" => style.add_modifier(Modifier::BOLD),
        "2" => style.add_modifier(Modifier::DIM),
        "31" => style.fg(Color::Red),
        "32" => style.fg(Color::Green),
        "33" => style.fg(Color::Yellow),
        "36" => style.fg(Color::Cyan),
        _ => style,
    }
}
