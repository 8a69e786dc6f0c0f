//! What must be in place before the first actor starts: checkpoint, run folder, learner, the chain of stages.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use addendum_replay::PolicyVersion;
use tokio::sync::Semaphore;

use crate::{
    EngineError, Event, Learner, RunConfig, RunError,
    board::{Crew, Kind},
    checkpoint::Checkpoint,
    compute::{Compute, Failure},
    identity::{Identity, differences},
    lock::FolderLock,
    mailbox::Mailbox,
    messages::RecorderMessage,
    meter::Meter,
    pool::Pool,
    run_log::RunLog,
    shelf::{self, Found},
    slot::{Hop, Slot},
    snapshots::Snapshots,
    trace::Output,
    trainer::Trainer,
    workers::{Watch, Workers},
};

/// Builds the learner.
pub(crate) type BuildLearner<S> = Box<dyn FnOnce() -> Result<Box<dyn Learner<S>>, EngineError> + Send>;

/// Makes the folder this run's.
///
/// # Errors
/// It holds no run to resume, one that is not to be resumed, or one that is at work.
pub(crate) fn claim(folder: &Path, resume: bool) -> Result<FolderLock, RunError> {
    if resume {
        RunLog::is_ours(folder)?;
        return FolderLock::take(folder);
    }
    fs::create_dir_all(folder).map_err(RunError::io(folder))?;
    let lock = FolderLock::take(folder)?;
    RunLog::is_free(folder)?;
    Ok(lock)
}

/// What a run with this identity resumes from.
///
/// # Errors
/// The newest whole checkpoint is of another run, or there are only damaged ones.
pub(crate) fn find(folder: &Path, identity: &Identity) -> Result<Found, RunError> {
    let found = shelf::newest(&RunLog::checkpoints(folder))?;
    if let Some((path, checkpoint)) = &found.newest {
        let differences = differences(identity, &checkpoint.identity);
        if !differences.is_empty() {
            return Err(RunError::OtherRun { path: path.clone(), differences });
        }
    }
    Ok(found)
}

/// A new file for a trace of so many entries. Should it end early, the recorder hears of it.
///
/// # Errors
/// The file cannot be created.
pub(crate) fn open_trace(
    (path, entries): (PathBuf, u32),
    recorder: &Arc<Mailbox<RecorderMessage>>,
) -> Result<Output, RunError> {
    let (recorder, named) = (recorder.clone(), path.clone());
    let stopped = move |error: std::io::Error| {
        recorder.put(RecorderMessage::Event(Event::TraceStopped { path: named, reason: error.to_string() }));
    };
    Output::create(&path, entries, stopped).map_err(RunError::io(path))
}

pub(crate) fn start_error(actor: &str) -> impl FnOnce(Failure) -> RunError {
    let actor = actor.to_string();
    move |failure| RunError::Start { actor, reason: failure.to_string() }
}

/// The learner on its thread, at version 0 or where the checkpoint left off, and the snapshots that there are.
pub(crate) async fn start_learner<S: Send + Sync + 'static>(
    build: BuildLearner<S>,
    threads: usize,
    checkpoint: Option<(PathBuf, Checkpoint)>,
) -> Result<(Compute<Trainer<S>>, Snapshots<S>), RunError> {
    let trainer = Compute::spawn("learner", threads, move || build().map(Trainer::new));
    let trainer = trainer.await.map_err(start_error("learner"))?;
    let snapshots = match checkpoint {
        Some((path, checkpoint)) => trainer
            .run(move |trainer| trainer.restore(&checkpoint))
            .await
            .map_err(|failure| RunError::checkpoint(path, failure))?,
        None => {
            let snapshot = trainer.run(|trainer| trainer.learner.snapshot()).await.map_err(start_error("learner"))?;
            BTreeMap::from([(PolicyVersion(0), snapshot)])
        }
    };
    Ok((trainer, Snapshots::new(snapshots)))
}

/// Everybody who works in a run, in the order of the flow.
pub(crate) fn crews(config: &RunConfig, stages: &[Pool], evaluates: bool) -> Vec<Crew> {
    let samplers = (0..config.samplers).map(|index| Crew::new(&format!("sampler-{index}"), Kind::Sampler, 1));
    let stages = stages.iter().map(|stage| Crew::new(&stage.name, Kind::Stage, stage.workers));
    let others = ["learner", "recorder"].into_iter().chain(evaluates.then_some("evaluator"));
    samplers.chain(stages).chain(others.map(|name| Crew::new(name, Kind::Alone, 1))).collect()
}

/// Links the stages, last to first.
pub(crate) fn chain(
    stages: Vec<Pool>,
    threads: usize,
    last: Hop,
    meter: &Arc<Meter>,
    recorder: &Arc<Mailbox<RecorderMessage>>,
    watch: &Watch,
) -> (Vec<Workers>, Hop) {
    let mut next = last;
    let mut chain = Vec::new();
    for pool in stages.into_iter().rev() {
        let (slot, name) = (Slot::default(), Arc::<str>::from(pool.name.as_str()));
        chain.push(Workers {
            name: name.clone(),
            room: Arc::new(Semaphore::new(pool.room())),
            pool: Arc::new(pool),
            threads,
            next,
            meter: meter.clone(),
            recorder: recorder.clone(),
            watch: watch.clone(),
            slot: slot.clone(),
        });
        next = Hop::Pool(name, slot);
    }
    (chain, next)
}
