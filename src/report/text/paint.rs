//! Colour: whether, and how much what stands out.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};

use colored::{Color, Colorize};

/// Emphasis of a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Emphasis {
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

/// True if the environment sets colour on standard output: NO_COLOR, CLICOLOR_FORCE, CLICOLOR and TERM
/// are heeded, in this order (no-color.org, bixense.com/clicolors); without them, a terminal gets it.
#[must_use]
pub fn wanted_by_environment() -> bool {
    wanted(|name| env::var_os(name), io::stdout().is_terminal())
}

fn wanted(variable: impl Fn(&str) -> Option<OsString>, terminal: bool) -> bool {
    let is = |name, value: &str| variable(name).is_some_and(|set| set == value);
    let set = |name| variable(name).is_some_and(|value| !value.is_empty());
    if set("NO_COLOR") {
        return false;
    }
    if set("CLICOLOR_FORCE") && !is("CLICOLOR_FORCE", "0") {
        return true;
    }
    terminal && !is("TERM", "dumb") && !is("CLICOLOR", "0")
}

/// Paints, or leaves plain.
#[derive(Debug, Clone, Copy)]
pub(in crate::report) struct Painter {
    on: bool,
}

impl Painter {
    /// `on` is the caller's decision; terminal and environment are not consulted again.
    pub(in crate::report) fn new(on: bool) -> Self {
        if on {
            colored::control::set_override(true);
        }
        Self { on }
    }

    /// `text` in `emphasis`. Pad first: escape codes have no width but are characters.
    pub(in crate::report) fn apply(self, emphasis: Emphasis, text: &str) -> String {
        if !self.on || text.is_empty() {
            return text.to_owned();
        }
        let painted = match emphasis {
            Emphasis::Alarm => text.color(Color::Red).bold(),
            Emphasis::Warning => text.color(Color::Yellow).bold(),
            Emphasis::Note => text.color(Color::Cyan).bold(),
            Emphasis::Good => text.color(Color::Green).bold(),
            Emphasis::Strong => text.bold(),
            Emphasis::Faint => text.dimmed(),
        };
        painted.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_about_colour() {
        let on = |environment: &[(&str, &str)], terminal| {
            let value =
                |name: &str| environment.iter().find(|(set, _)| *set == name).map(|(_, value)| value.into());
            wanted(value, terminal)
        };
        assert!(on(&[], true));
        assert!(!on(&[], false));
        assert!(!on(&[("NO_COLOR", "1")], true));
        assert!(on(&[("NO_COLOR", "")], true), "empty is as if it were not there");
        assert!(on(&[("CLICOLOR_FORCE", "1")], false));
        assert!(!on(&[("CLICOLOR_FORCE", "0")], false));
        assert!(!on(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true), "NO_COLOR has the last word");
        assert!(!on(&[("CLICOLOR", "0")], true));
        assert!(!on(&[("CLICOLOR", "1")], false), "it allows colour, and forces none");
        assert!(!on(&[("TERM", "dumb")], true));
    }
}
