//! Why a run could not start or had to end.

use std::path::PathBuf;

use addendum_replay::DeadLetter;

use crate::{Diverging, StepRecord, identity::Difference};

/// The error of a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A value of `[run]` is out of its range, or does not go with another one. Set it as the message says.
    #[error("config: `{field}` is {value}, expected {expected}")]
    Config {
        /// Its path within [`RunConfig`](crate::RunConfig).
        field: &'static str,
        /// As it was set.
        value: String,
        /// The range, or what it must agree with.
        expected: &'static str,
    },
    /// The dataset has no study to train on. See that the training split of the dataset folder has entries, and that no
    /// limit leaves all of them out.
    #[error("the training set is empty")]
    NoStudies,
    /// The run is impossible to count, or is resumed with other values than those it was started with. Resume with the
    /// values that the message names, or start a new run in a new folder.
    #[error(transparent)]
    Gate(#[from] addendum_replay::ConfigError),
    /// A pipeline was started without any stage, so that no report would ever have a reward. Add at least a reward
    /// stage.
    #[error("the pipeline has no stage that gives rewards")]
    NoStages,
    /// A stage was to be placed before or after one that the pipeline does not have. Use one of the names in the
    /// message.
    #[error("no stage is called `{name}`; there are: {}", stages.join(", "))]
    NoSuchStage {
        /// As it was asked for.
        name: String,
        /// The names of those that the pipeline has, in order.
        stages: Vec<String>,
    },
    /// An actor could not get ready, for instance because its model could not be built on its device. The reason tells
    /// what to mend; nothing of the run was changed.
    #[error("{actor} could not be started: {reason}")]
    Start {
        /// Its name, such as `sampler-0`.
        actor: String,
        /// What its start-up reported.
        reason: String,
    },
    /// The actor that oversees all others was ended from outside, which happens only to programs that embed a run and
    /// kill its actors. Resume the run from its last checkpoint.
    #[error("the supervisor of the run was killed")]
    SupervisorKilled,
    /// The learner could not do a step, or its state could not be taken. The reason tells why; a device that is out of
    /// memory wants smaller micro-batches. Then resume from the last checkpoint.
    #[error("the learner failed at step {step}: {reason}")]
    Learner {
        /// The step that was not done, counted from 0.
        step: u64,
        /// What the learner reported, or its panic.
        reason: String,
    },
    /// As many studies in a row failed as `run.max_dead_in_a_row` allows, so it is no fault of single studies: a reward
    /// service may be down, or images unreadable. Mend what the last error names and resume; all of them are tried
    /// again.
    #[error("{tickets} studies were given up one after the other and none trained on between them; the last: {last}")]
    NothingToTrainOn {
        /// How many were given up since the last step that had groups.
        tickets: u64,
        /// The newest of them, with its error.
        last: DeadLetter,
    },
    /// As many steps in a row as `run.max_skipped_in_a_row` allows were skipped, so the weights are likely to be beyond
    /// repair. Resume from an older checkpoint, or start again with a lower learning rate.
    #[error(
        "{steps} steps in a row were skipped because gradient or update was not finite; the last, step {}, has the loss \
         {}, the gradient norm {} and the learning rate {}",
        last.step, last.stats.loss, last.stats.gradient_norm, last.stats.learning_rate
    )]
    Skipping {
        /// How many there were.
        steps: u64,
        /// The figures of the last of them.
        last: Box<StepRecord>,
    },
    /// An actor died more often than `run.max_restarts_in_a_row` allows, and no step was done in between. Mend what the
    /// reason names and resume the run.
    #[error("{actor} died {deaths} times without a training step between them; the last time: {reason}")]
    Restarting {
        /// Its name, such as `sampler-0` or that of a stage.
        actor: String,
        /// How often it died since the last step.
        deaths: u32,
        /// Why it died the last time.
        reason: String,
    },
    /// No token, group or step has got further for `run.stall.end_seconds`. The report shows who waits for whom: look
    /// at the one at its end, such as a service that does not answer; raise the limit if a step just takes longer. A
    /// checkpoint was written: resume from it.
    #[error("nothing has moved for {seconds} s\n{report}")]
    Stalled {
        /// How long, at least.
        seconds: u64,
        /// Who waits for whom, one a line.
        report: String,
    },
    /// A sign of training that goes wrong showed and `run.divergence.stop` is set. Checkpoints from after it began are
    /// put aside: resume from the newest that is left with a lower learning rate or a higher KL weight, or widen the
    /// limits of `run.divergence`.
    #[error("training went wrong by step {step}: {found}")]
    Diverged {
        /// The last step that was judged, counted from 0.
        step: u64,
        /// The sign with its figures.
        found: Diverging,
    },
    /// A fault was asked for at a place that the run does not have. Use one of the places in the message; stages are
    /// places too.
    #[error("fault `{place}`: there is no such place; there are: {}", places.join(", "))]
    NoSuchPlace {
        /// As it was asked for.
        place: String,
        /// All places of this run.
        places: Vec<String>,
    },
    /// A file or folder of the run could not be read or written: the disk is full, or permissions are missing. Mend
    /// that and resume the run.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The one that the system refused.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// A checkpoint is incomplete, damaged, or of a format that this version does not know. Resume the run folder
    /// rather than this checkpoint, so that an older one is taken.
    #[error("checkpoint {}: {reason}", path.display())]
    Checkpoint {
        /// The folder of the checkpoint.
        path: PathBuf,
        /// The file in it and what is wrong with it.
        reason: String,
    },
    /// A recording of what an earlier run sampled cannot be trained on: it is damaged, of another dataset, or made with
    /// settings that decide about groups and are others now. Mend what the reason names, or record a run anew.
    #[error("{}: {reason}", path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// The line and what is wrong with it.
        reason: String,
    },
    /// The run folder has checkpoints, but each of them is incomplete or damaged. Restore one from a copy, or start the
    /// run again in another folder.
    #[error("no checkpoint is whole: {}", list(damaged.iter().map(|(path, reason)| format!("{}: {reason}", path.display()))))]
    NoWholeCheckpoint {
        /// Each of them with what is wrong with it, the newest first.
        damaged: Vec<(PathBuf, String)>,
    },
    /// Settings, data or model are not those that the run was started with. Resume with the values that the message
    /// names, or start a new run in another folder.
    #[error("checkpoint {} is of another run: {}", path.display(), list(differences))]
    OtherRun {
        /// The folder of the checkpoint.
        path: PathBuf,
        /// Every name under which they differ; never empty.
        differences: Vec<Difference>,
    },
    /// The folder that is to be resumed was not written by a run. Check its path, or leave out the wish to resume.
    #[error("{} holds no run to resume: {reason}", path.display())]
    NoRun {
        /// The folder that was named.
        path: PathBuf,
        /// What it lacks.
        reason: &'static str,
    },
    /// Another process trains, or serves, in the same run folder. Wait for its end, or choose another folder.
    #[error("another process is at work in the folder {}", path.display())]
    Locked {
        /// The folder that both want.
        path: PathBuf,
    },
    /// A new run was to be written where one is already. Resume that one, or choose another folder.
    #[error("the run folder {} already holds a run; resume it or choose another folder", path.display())]
    NotEmpty {
        /// The folder that was named.
        path: PathBuf,
    },
}

impl RunError {
    pub(crate) fn config(field: &'static str, value: impl ToString, expected: &'static str) -> Self {
        Self::Config { field, value: value.to_string(), expected }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |reason| Self::Io { path, reason }
    }

    pub(crate) fn recording(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::Recording { path: path.into(), reason: reason.to_string() }
    }

    pub(crate) fn checkpoint(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::Checkpoint { path: path.into(), reason: reason.to_string() }
    }
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join("; ")
}
