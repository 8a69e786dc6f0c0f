//! What a byte is to the entries of a file.

pub enum Step {
    /// Between two entries.
    Between,
    /// Of an entry.
    Within,
    /// The first one behind an entry.
    Ends,
    /// The file is no list from here on.
    Wrong(&'static str),
}
