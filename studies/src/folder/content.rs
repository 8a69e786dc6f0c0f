//! What the two shapes of an entry, a conversation and plain fields, say in their own ways.

use super::roles::Role;

#[derive(Debug, PartialEq, Eq)]
pub struct Content {
    /// At least one.
    pub pictures: Vec<Picture>,
    pub indication: Option<String>,
    pub technique: Option<String>,
    pub comparison: Option<String>,
    /// Not blank.
    pub reference: String,
}

/// An image of a study, and the field that names it.
#[derive(Debug, PartialEq, Eq)]
pub struct Picture {
    pub field: String,
    pub path: String,
    pub role: Role,
}
