/// What can go wrong while reports are analysed or scored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A back end failed; never turned into a zero reward.
    #[error("{component}: {reason}")]
    Component { component: &'static str, reason: String },
    /// A file of a model cannot be used.
    #[error("{}: {reason}", file.display())]
    Model { file: std::path::PathBuf, reason: String },
    /// A component of the user's own failed.
    #[error("reward component `{component}`: {reason}")]
    Registered { component: String, reason: String },
    /// A setting out of its range; `field` is its path within its struct.
    #[error("`{field}` is {value}; expected {expected}")]
    Setting { field: String, value: String, expected: String },
    #[error("reward component `{name}` is unknown; nearest is `{nearest}`, known are {known}")]
    UnknownComponent { name: String, nearest: String, known: String },
    #[error("back end `{name}` of a reward is unknown; known are {known}")]
    UnknownBackend { name: String, known: String },
    #[error("reward component `{component}` needs the share of every observation in `frequencies`; missing: {missing}")]
    MissingFrequencies { component: &'static str, missing: String },
    #[error("reward component `{name}` is not among the scores of a reward service")]
    Unserved { name: &'static str },
    #[error("no reward component has a positive weight; name at least one of {known} in `weights`")]
    NoComponent { known: String },
    #[error("{component}: {got} annotations for {expected} reports")]
    Count { component: &'static str, expected: usize, got: usize },
    #[error("{component}: score {value} is not a finite number")]
    NotFinite { component: &'static str, value: f64 },
    #[error("metric `{name}` is unknown; known are {known}")]
    UnknownMeasure { name: String, known: String },
    #[error("bootstrap: {field} is {value}; expected {expected}")]
    Resampling { field: &'static str, value: f64, expected: &'static str },
    #[error("evaluation: {hypotheses} hypotheses and {references} references; expected as many of both, at least one")]
    Pairs { hypotheses: usize, references: usize },
}

impl Error {
    pub fn setting(field: impl Into<String>, value: impl ToString, expected: impl Into<String>) -> Self {
        Self::Setting { field: field.into(), value: value.to_string(), expected: expected.into() }
    }

    /// The setting that is wrong, by its path within its struct, as in `weights.rate`.
    pub fn field(&self) -> Option<String> {
        match self {
            Self::Setting { field, .. } => Some(field.clone()),
            Self::UnknownComponent { name, .. } => Some(format!("weights.{name}")),
            Self::Unserved { name } => Some(format!("weights.{name}")),
            Self::NoComponent { .. } => Some("weights".into()),
            Self::MissingFrequencies { .. } => Some("frequencies".into()),
            _ => None,
        }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
