/// What can go wrong while reports are analysed or scored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A back end (model or service) failed; this never turns into a zero reward, the study is tried again. Mend what the
    /// reason says.
    #[error("{component}: {reason}")]
    Component {
        /// Which back end, by its name in settings and metrics.
        component: &'static str,
        /// What it reported.
        reason: String,
    },
    /// A file of a reward model is missing, damaged, or of another model. Check the paths under `[reward_models]`, and
    /// fetch the file again.
    #[error("{}: {reason}", file.display())]
    Model {
        /// The file that could not be used.
        file: std::path::PathBuf,
        /// What is missing or wrong in it.
        reason: String,
    },
    /// A component of your own failed or gave no usable values; the study is tried again. Look at the component.
    #[error("reward component `{component}`: {reason}")]
    Registered {
        /// The name that it was registered under.
        component: String,
        /// What it reported, or its panic.
        reason: String,
    },
    /// A setting of rewards, bootstrap or services is out of its range. Set it as the message says.
    #[error("`{field}` is {value}; expected {expected}")]
    Setting {
        /// Its path within its struct.
        field: String,
        /// As it was set.
        value: String,
        /// The range or form.
        expected: String,
    },
    /// `weights` of the reward names a component that is neither built in nor registered. Spell it as one of those in
    /// the message, or register it before the run starts.
    #[error("reward component `{name}` is unknown; nearest is `{nearest}`, known are {known}")]
    UnknownComponent {
        /// As it was set.
        name: String,
        /// The known one that looks most alike.
        nearest: String,
        /// All known ones.
        known: String,
    },
    /// A back end is asked for that does not exist. Use one of the names in the message.
    #[error("back end `{name}` of a reward is unknown; known are {known}")]
    UnknownBackend {
        /// As it was set.
        name: String,
        /// All known ones.
        known: String,
    },
    /// Inverse-frequency accuracy needs to know how frequent each observation is. Set `frequencies` to the shares in
    /// your training references, or leave the component out.
    #[error("reward component `{component}` needs the share of every observation in `frequencies`; missing: {missing}")]
    MissingFrequencies {
        /// The component that has a weight.
        component: &'static str,
        /// The observations without a share.
        missing: String,
    },
    /// A component is to be computed by a service, and services do not offer it. Weigh another component, or compute it
    /// in the process.
    #[error("reward component `{name}` is not among the scores of a reward service")]
    Unserved {
        /// The component's name.
        name: &'static str,
    },
    /// All weights of the reward are 0 or less, so there is nothing to learn. Give one component a positive weight.
    #[error("no reward component has a positive weight; name at least one of {known} in `weights`")]
    NoComponent {
        /// All known ones.
        known: String,
    },
    /// A back end answered for another number of reports than it was asked about: a fault of the back end. Look at it
    /// if it is your own.
    #[error("{component}: {got} annotations for {expected} reports")]
    Count {
        /// Which back end.
        component: &'static str,
        /// How many reports it was asked about.
        expected: usize,
        /// How many it answered for.
        got: usize,
    },
    /// A metric came out as NaN or infinite, which a damaged model file can cause. Fetch the file anew; look at the
    /// component if it is your own.
    #[error("{component}: score {value} is not a finite number")]
    NotFinite {
        /// Which component.
        component: &'static str,
        /// What it computed.
        value: f64,
    },
    /// `--metrics` names one that does not exist. Use one of those in the message.
    #[error("metric `{name}` is unknown; known are {known}")]
    UnknownMeasure {
        /// As it was named.
        name: String,
        /// All metrics and groups of metrics.
        known: String,
    },
    /// A setting of the bootstrap is out of its range. Set it as the message says.
    #[error("bootstrap: {field} is {value}; expected {expected}")]
    Resampling {
        /// Its name.
        field: &'static str,
        /// As it was set.
        value: f64,
        /// The range.
        expected: &'static str,
    },
    /// A file of reports has more or fewer entries than that of references, or none. Give one reference for each
    /// report.
    #[error("evaluation: {hypotheses} hypotheses and {references} references; expected as many of both, at least one")]
    Pairs {
        /// How many reports.
        hypotheses: usize,
        /// How many references.
        references: usize,
    },
}

impl Error {
    /// A setting out of its range: its path within its struct, its value and what was expected.
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

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
