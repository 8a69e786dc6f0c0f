/// What can go wrong while reports are analysed or scored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A back end failed; never turned into a zero reward.
    #[error("{component}: {reason}")]
    Component { component: &'static str, reason: String },
    /// A file of a model cannot be used.
    #[error("{}: {reason}", file.display())]
    Model { file: std::path::PathBuf, reason: String },
    #[error("reward component `{name}` is unknown; known are {known}")]
    UnknownComponent { name: String, known: String },
    #[error("back end `{name}` of a reward is unknown; known are {known}")]
    UnknownBackend { name: String, known: String },
    #[error("reward component `{component}` needs the share of every observation in `frequencies`; missing: {missing}")]
    MissingFrequencies { component: &'static str, missing: String },
    #[error("share of `{observation}` in `frequencies` is {value}; expected 0 to 1")]
    Frequency { observation: &'static str, value: f64 },
    #[error("reward component `{name}` is not among the scores of a reward service")]
    Unserved { name: &'static str },
    #[error("weight of reward component `{name}` is {value}; expected a finite number, 0 or more")]
    Weight { name: String, value: f64 },
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

pub type Result<T, E = Error> = std::result::Result<T, E>;
