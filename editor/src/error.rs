/// What can go wrong while a report is edited.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value of `[edit]` is out of its range. Set it as the message says.
    #[error("edit config: {field} is {value}, expected {expected}")]
    Config {
        /// Its path within [`EditConfig`](crate::EditConfig).
        field: &'static str,
        /// As it was set.
        value: String,
        /// The range.
        expected: &'static str,
    },
    /// The model or service that finds entities failed, so the report is not edited and its study tried again. Mend what
    /// the reason says.
    #[error("entities of the {of}: {reason}")]
    Extract {
        /// Whose entities: `report` or `reference`.
        of: &'static str,
        /// What the extractor reported.
        reason: addendum_rewards::Error,
    },
    /// The entity extractor broke its contract of one list per sentence. Look at it if it is your own; a service may be of
    /// another version.
    #[error("entities of the {of}: the extractor returned {lists} lists for {sentences} sentences")]
    Lists {
        /// Whose entities: `report` or `reference`.
        of: &'static str,
        /// How many lists there were.
        lists: usize,
        /// How many there should have been.
        sentences: usize,
    },
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

/// The result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;
