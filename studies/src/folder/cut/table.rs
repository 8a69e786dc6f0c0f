//! The rows of a table, whose quoted cells may hold line breaks (RFC 4180).

use super::step::Step;

pub struct Table {
    separator: u8,
    at: At,
}

#[derive(Clone, Copy)]
enum At {
    BeforeRow,
    CellStart,
    Plain,
    Quoted,
    /// Behind a quote in a quoted cell: its end, or half of a doubled quote.
    Quote,
}

impl Table {
    pub fn new(separator: u8) -> Self {
        Self { separator, at: At::BeforeRow }
    }

    pub fn step(&mut self, byte: u8) -> Step {
        self.at = match (self.at, byte) {
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) | (At::Quote, b'"') => At::Quoted,
            (At::BeforeRow, b'\r' | b'\n') => return Step::Between,
            (_, b'\n') => {
                self.at = At::BeforeRow;
                return Step::Ends;
            }
            (_, byte) if byte == self.separator => At::CellStart,
            (At::BeforeRow | At::CellStart, b'"') => At::Quoted,
            _ => At::Plain,
        };
        Step::Within
    }

    pub fn end(&self) -> Result<(), &'static str> {
        match self.at {
            At::Quoted => Err("a quoted cell of this row has no end"),
            _ => Ok(()),
        }
    }
}
