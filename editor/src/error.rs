/// What can go wrong while a report is edited.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value of [`EditConfig`](crate::EditConfig) is out of range.
    #[error("edit config: {field} is {value}, expected {expected}")]
    Config { field: &'static str, value: String, expected: &'static str },
    /// The entity extractor failed; the report must not count as unedited.
    #[error("entities of the {of}: {reason}")]
    Extract { of: &'static str, reason: addendum_rewards::Error },
    /// The entity extractor broke its contract of one list per sentence.
    #[error("entities of the {of}: the extractor returned {lists} lists for {sentences} sentences")]
    Lists { of: &'static str, lists: usize, sentences: usize },
}

impl Error {
    /// The setting that is out of range, by its path within [`EditConfig`](crate::EditConfig).
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Config { field, .. } => Some(field),
            _ => None,
        }
    }
}

pub type Result<T> = std::result::Result<T, Error>;
