//! Colour: the only user of `colored`.

use colored::{Color, Colorize};

/// How much a piece of text should stand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Something is broken.
    Alarm,
    /// Something may be broken, or the report may be incomplete.
    Warning,
    /// Unusual but harmless.
    Note,
    /// All is well.
    Good,
    /// A heading.
    Strong,
    /// Secondary.
    Faint,
}

/// Whether the environment wants colour on standard output: NO_COLOR, CLICOLOR, CLICOLOR_FORCE and TERM
/// are heeded; without them, a terminal gets it.
pub(in crate::report) fn wanted_by_environment() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !dumb && colored::control::ShouldColorize::from_env().should_colorize()
}

/// Paints, or leaves plain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    on: bool,
}

impl Paint {
    /// `on` is the caller's decision; terminals and environment are not asked again.
    pub(super) fn new(on: bool) -> Self {
        if on {
            colored::control::set_override(true);
        }
        Self { on }
    }

    /// `text` in `tone`. Pad first: escape codes have no width but are characters.
    pub(super) fn apply(self, tone: Tone, text: &str) -> String {
        if !self.on || text.is_empty() {
            return text.to_owned();
        }
        let painted = match tone {
            Tone::Alarm => text.color(Color::Red).bold(),
            Tone::Warning => text.color(Color::Yellow).bold(),
            Tone::Note => text.color(Color::Cyan).bold(),
            Tone::Good => text.color(Color::Green).bold(),
            Tone::Strong => text.bold(),
            Tone::Faint => text.dimmed(),
        };
        painted.to_string()
    }
}
