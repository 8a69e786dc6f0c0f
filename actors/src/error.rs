//! Why a run could not start or had to end.

use std::path::PathBuf;

use addendum_replay::DeadLetter;

use crate::{Diverging, StepRecord, identity::Difference};

/// The error of a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("config: `{field}` is {value}, expected {expected}")]
    Config { field: &'static str, value: String, expected: &'static str },
    #[error("the training set is empty")]
    NoStudies,
    #[error(transparent)]
    Gate(#[from] addendum_replay::ConfigError),
    #[error("the pipeline has no stage that gives rewards")]
    NoStages,
    #[error("no stage is called `{name}`; there are: {}", stages.join(", "))]
    NoSuchStage { name: String, stages: Vec<String> },
    #[error("{actor} could not be started: {reason}")]
    Start { actor: String, reason: String },
    #[error("the supervisor of the run was killed")]
    SupervisorKilled,
    #[error("the learner failed at step {step}: {reason}")]
    Learner { step: u64, reason: String },
    #[error("{tickets} studies were given up one after the other and none trained on between them; the last: {last}")]
    NothingToTrainOn { tickets: u64, last: DeadLetter },
    #[error(
        "{steps} steps in a row were skipped because gradient or update was not finite; the last, step {}, has the loss \
         {}, the gradient norm {} and the learning rate {}",
        last.step, last.stats.loss, last.stats.gradient_norm, last.stats.learning_rate
    )]
    Skipping { steps: u64, last: Box<StepRecord> },
    #[error("{actor} died {deaths} times without a training step between them; the last time: {reason}")]
    Restarting { actor: String, deaths: u32, reason: String },
    #[error("nothing has moved for {seconds} s\n{report}")]
    Stalled { seconds: u64, report: String },
    #[error("training went wrong by step {step}: {found}")]
    Diverged { step: u64, found: Diverging },
    #[error("fault `{place}`: there is no such place; there are: {}", places.join(", "))]
    NoSuchPlace { place: String, places: Vec<String> },
    #[error("{}: {reason}", path.display())]
    Io { path: PathBuf, reason: std::io::Error },
    #[error("checkpoint {}: {reason}", path.display())]
    Checkpoint { path: PathBuf, reason: String },
    #[error("no checkpoint is whole: {}", list(damaged.iter().map(|(path, reason)| format!("{}: {reason}", path.display()))))]
    NoWholeCheckpoint { damaged: Vec<(PathBuf, String)> },
    #[error("checkpoint {} is of another run: {}", path.display(), list(differences))]
    OtherRun { path: PathBuf, differences: Vec<Difference> },
    #[error("{} holds no run to resume: {reason}", path.display())]
    NoRun { path: PathBuf, reason: &'static str },
    #[error("another process is at work in the folder {}", path.display())]
    Locked { path: PathBuf },
    #[error("the run folder {} already holds a run; resume it or choose another folder", path.display())]
    NotEmpty { path: PathBuf },
}

impl RunError {
    pub(crate) fn config(field: &'static str, value: impl ToString, expected: &'static str) -> Self {
        Self::Config { field, value: value.to_string(), expected }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |reason| Self::Io { path, reason }
    }

    pub(crate) fn checkpoint(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::Checkpoint { path: path.into(), reason: reason.to_string() }
    }
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join("; ")
}
