//! What must be in place before the first actor starts: checkpoint, run folder, learner, the chain of stages.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use addendum_replay::{FreshnessGate, PolicyVersion};

use crate::{
    EngineError, Learner, RunConfig, RunError,
    checkpoint::Checkpoint,
    compute::{Compute, Failure},
    mailbox::Mailbox,
    messages::RecorderMessage,
    meter::Meter,
    pool::{BuildStage, Pool},
    run_log::RunLog,
    slot::{Hop, Slot},
    snapshots::Snapshots,
    trainer::Trainer,
};

/// Builds the learner.
pub(crate) type BuildLearner<S> = Box<dyn FnOnce() -> Result<Box<dyn Learner<S>>, EngineError> + Send>;

/// The newest checkpoint in a run folder, whole and of a run like this one.
pub(crate) fn newest_checkpoint(folder: &Path, now: &RunConfig) -> Result<Option<(PathBuf, Checkpoint)>, RunError> {
    let Some(path) = Checkpoint::newest(&RunLog::checkpoints(folder))? else {
        return Ok(None);
    };
    let checkpoint = Checkpoint::read(&path)?;
    let saved = &checkpoint.config;
    if (saved.group_size, saved.variant) != (now.group_size, now.variant) {
        let reason = format!(
            "its run has groups of {} ({:?}), this one groups of {} ({:?})",
            saved.group_size, saved.variant, now.group_size, now.variant
        );
        return Err(RunError::checkpoint(path, reason));
    }
    Ok(Some((path, checkpoint)))
}

/// Whether the checkpoint holds every policy version that its open tickets will ask for.
pub(crate) fn check_snapshots(path: &Path, checkpoint: &Checkpoint, gate: &FreshnessGate) -> Result<(), RunError> {
    for version in gate.oldest_needed().0..=gate.version().0 {
        if !checkpoint.snapshots.contains_key(&PolicyVersion(version)) {
            return Err(RunError::checkpoint(path, format!("the snapshot of version {version} is missing")));
        }
    }
    Ok(())
}

pub(crate) fn open_folder(
    path: &Path,
    keep: usize,
    resume: bool,
    checkpoint: Option<PolicyVersion>,
) -> Result<RunLog, RunError> {
    let mut folder = RunLog::open(path, keep)?;
    if resume {
        folder.cut_back(checkpoint)?;
    } else if !folder.is_new()? {
        return Err(RunError::NotEmpty { path: path.into() });
    }
    Ok(folder)
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

/// A stage by its name, number of workers, and how to build one.
pub(crate) type StageSpec = (String, usize, BuildStage);

/// Links the stages, last to first.
pub(crate) fn chain(
    stages: Vec<StageSpec>,
    threads: usize,
    last: Hop,
    meter: &Arc<Meter>,
    recorder: &Arc<Mailbox<RecorderMessage>>,
) -> (Vec<Pool>, Hop) {
    let mut next = last;
    let mut pools = Vec::new();
    for (name, workers, build) in stages.into_iter().rev() {
        let slot = Slot::default();
        pools.push(Pool {
            name: name.into(),
            workers,
            threads,
            build,
            next,
            meter: meter.clone(),
            recorder: recorder.clone(),
            slot: slot.clone(),
        });
        next = Hop::Pool(slot);
    }
    (pools, next)
}
