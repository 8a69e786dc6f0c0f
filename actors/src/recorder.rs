//! The recorder actor: the run folder, the checkpoints in it, and the observer's ear.
//!
//! The files are written on a thread of their own, in the order in which things happened.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use addendum_replay::PolicyVersion;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde::{Deserialize, Serialize};

use crate::{
    Event, RolloutSample, RunError, Scores, StepRecord, checkpoint::Checkpoint, compute::Failure, context::Context,
    telemetry,
};

pub(crate) struct RecorderActor<S>(pub Arc<Context<S>>);

pub(crate) enum RecorderMessage {
    Step { record: Box<StepRecord>, samples: Vec<RolloutSample> },
    Checkpoint(Box<Checkpoint>),
    Event(Event),
}

impl<S: Send + Sync + 'static> Actor for RecorderActor<S> {
    type Msg = RecorderMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, _: ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<Self::Msg>, message: Self::Msg, _: &mut ()) -> Result<(), ActorProcessingErr> {
        let Self(context) = self;
        let shared = context.clone();
        let written = context.writer.run(move |writer| {
            if let Err(error) = writer.write(message) {
                shared.fail(error);
            }
            Ok::<_, Failure>(())
        });
        Ok(written.await?)
    }
}

/// Writes the run folder, if there is one, and tells the observer.
pub(crate) struct Writer {
    folder: Option<RunFolder>,
    observer: Box<dyn FnMut(&Event) + Send>,
    pub evaluations: Vec<(PolicyVersion, Scores)>,
}

impl Writer {
    pub fn new(folder: Option<RunFolder>, observer: Box<dyn FnMut(&Event) + Send>) -> Self {
        Self { folder, observer, evaluations: Vec::new() }
    }

    fn write(&mut self, message: RecorderMessage) -> Result<(), RunError> {
        let event = match message {
            RecorderMessage::Step { record, samples } => {
                if let Some(folder) = &mut self.folder {
                    folder.metrics.append([&*record])?;
                    folder.rollouts.append(&samples)?;
                }
                Event::Step(record)
            }
            RecorderMessage::Checkpoint(checkpoint) => {
                let Some(folder) = &self.folder else { return Ok(()) };
                let path = checkpoint.write(&folder.checkpoints, folder.keep)?;
                telemetry::checkpointed();
                Event::Checkpoint { version: checkpoint.gate.version, path }
            }
            RecorderMessage::Event(event) => event,
        };
        if let Event::Evaluated { version, scores } = &event {
            if let Some(folder) = &mut self.folder {
                let line = Evaluation { version: version.0, scores: scores.clone() };
                folder.evaluations.append([&line])?;
            }
            self.evaluations.push((*version, scores.clone()));
        }
        (self.observer)(&event);
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Evaluation {
    version: u64,
    scores: Scores,
}

/// The files of a run.
pub(crate) struct RunFolder {
    metrics: Lines,
    rollouts: Lines,
    evaluations: Lines,
    checkpoints: PathBuf,
    keep: usize,
}

impl RunFolder {
    /// Where the checkpoints of the run in `folder` are.
    pub fn checkpoints(folder: &Path) -> PathBuf {
        folder.join("checkpoints")
    }

    /// Opens the run folder at `folder`, creating what is missing.
    pub fn open(folder: &Path, keep: usize) -> Result<Self, RunError> {
        let checkpoints = Self::checkpoints(folder);
        fs::create_dir_all(&checkpoints).map_err(RunError::io(&checkpoints))?;
        let open = |name: &str| Lines::open(folder.join(name));
        Ok(Self {
            metrics: open("metrics.jsonl")?,
            rollouts: open("rollouts.jsonl")?,
            evaluations: open("evaluations.jsonl")?,
            checkpoints,
            keep,
        })
    }

    /// Whether the folder holds no run yet.
    pub fn is_new(&self) -> Result<bool, RunError> {
        Ok(self.metrics.is_empty()? && Checkpoint::newest(&self.checkpoints)?.is_none())
    }

    /// Forgets what happened after the checkpoint that is about to be resumed, or everything if there is none.
    pub fn cut_back(&self, checkpoint: Option<PolicyVersion>) -> Result<(), RunError> {
        let done = checkpoint.map_or(0, |version| version.0);
        self.metrics.cut(|line: &Stepped| line.step < done)?;
        self.rollouts.cut(|line: &Stepped| line.step < done)?;
        self.evaluations.cut(|line: &Evaluation| checkpoint.is_some() && line.version <= done)
    }
}

#[derive(Deserialize)]
struct Stepped {
    step: u64,
}

/// A file of JSON objects, one per line, that only grows.
struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    fn open(path: PathBuf) -> Result<Self, RunError> {
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(RunError::io(&path))?;
        Ok(Self { path, file })
    }

    fn is_empty(&self) -> Result<bool, RunError> {
        Ok(self.file.metadata().map_err(RunError::io(&self.path))?.len() == 0)
    }

    fn append<'a, T: Serialize + 'a>(&mut self, values: impl IntoIterator<Item = &'a T>) -> Result<(), RunError> {
        let mut text = Vec::new();
        for value in values {
            serde_json::to_writer(&mut text, value).map_err(|error| RunError::io(&self.path)(error.into()))?;
            text.push(b'\n');
        }
        self.file.write_all(&text).map_err(RunError::io(&self.path))
    }

    /// Keeps the lines that `keep` wants; a last line that was not finished goes too.
    fn cut<T: for<'a> Deserialize<'a>>(&self, keep: impl Fn(&T) -> bool) -> Result<(), RunError> {
        let text = fs::read_to_string(&self.path).map_err(RunError::io(&self.path))?;
        let kept: String = text
            .split_inclusive('\n')
            .filter(|line| serde_json::from_str(line).is_ok_and(|value| keep(&value)))
            .collect();
        fs::write(&self.path, kept).map_err(RunError::io(&self.path))
    }
}
