//! What the terminal can do: its width, and whether colours help.

use std::io::IsTerminal;

use crate::wall;

/// The narrowest that texts are wrapped for.
const NARROW: usize = 40;
/// Wider lines are hard to read.
const WIDE: usize = 100;
/// Where nobody says.
const USUAL: usize = 80;

/// How wide the output may be: `COLUMNS`, else the terminal's width, else 80.
pub fn width() -> usize {
    let told = wall::env("COLUMNS").and_then(|columns| columns.parse().ok());
    let seen = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0).min(WIDE));
    told.or_else(seen).unwrap_or(USUAL).max(NARROW)
}

/// How a text stands out. Never the only sign of anything: the words say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Headings.
    Bold,
    /// Of less importance.
    Dim,
    /// Good.
    Green,
    /// To look at.
    Yellow,
    /// Bad.
    Red,
}

/// Writes styles where they are wanted: on a terminal that is not `dumb`, or with `CLICOLOR_FORCE`; never with `NO_COLOR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ink {
    colours: bool,
}

impl Ink {
    /// For standard output.
    pub fn stdout() -> Ink {
        Ink { colours: are_wanted(std::io::stdout().is_terminal()) }
    }

    /// For standard error.
    pub fn stderr() -> Ink {
        Ink { colours: are_wanted(std::io::stderr().is_terminal()) }
    }

    /// No colours.
    pub fn plain() -> Ink {
        Ink { colours: false }
    }

    /// The text in a style, of the sixteen colours that every palette has, without backgrounds.
    pub fn paint(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Red => "31",
        };
        if self.colours && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn are_wanted(is_terminal: bool) -> bool {
    let is_set = |name| wall::env(name).is_some_and(|value| !value.is_empty() && value != "0");
    !is_set("NO_COLOR") && !is_dumb() && (is_terminal || is_set("CLICOLOR_FORCE"))
}

/// A terminal that only prints: no colours, and no line is written over.
pub fn is_dumb() -> bool {
    wall::env("TERM").is_some_and(|term| term == "dumb")
}
