//! Colours; without them the same is told apart by weight, lines and marks.

use ratatui::style::{Color, Modifier, Style};

/// How things look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Whether there are any; `NO_COLOR` asks for none.
    pub colours: bool,
}

/// Of curves, in order.
const CURVES: [Color; 6] = [Color::Cyan, Color::Magenta, Color::Yellow, Color::Green, Color::Blue, Color::Red];

impl Theme {
    fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    pub(crate) fn curve(self, index: usize) -> Style {
        self.colour(CURVES[index % CURVES.len()])
    }

    pub(crate) fn accent(self) -> Style {
        self.colour(Color::Cyan)
    }

    pub(crate) fn good(self) -> Style {
        self.colour(Color::Green)
    }

    pub(crate) fn warning(self) -> Style {
        self.colour(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn bad(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(crate) fn dim(self) -> Style {
        match self.colours {
            true => Style::new().fg(Color::DarkGray),
            false => Style::new().add_modifier(Modifier::DIM),
        }
    }

    /// A sentence that an edit took out.
    pub fn removed(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::CROSSED_OUT)
    }

    /// A sentence that an edit put in.
    pub fn added(self) -> Style {
        self.colour(Color::Green).add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
    }
}
