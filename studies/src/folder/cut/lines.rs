//! The lines of a file that are not blank.

use super::step::Step;

#[derive(Default)]
pub struct Lines {
    begun: bool,
}

impl Lines {
    pub fn step(&mut self, byte: u8) -> Step {
        if byte == b'\n' {
            return if std::mem::take(&mut self.begun) { Step::Ends } else { Step::Between };
        }
        self.begun |= !byte.is_ascii_whitespace();
        if self.begun { Step::Within } else { Step::Between }
    }
}
