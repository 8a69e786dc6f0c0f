//! The learner actor: waits for a batch, has it trained on, and the next version published.
//!
//! Everything that must happen together (the step, the new snapshot, the end of the tickets, the publication, the
//! checkpoint) is one job on the learner's compute thread. Killing the actor in the middle changes nothing about it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use addendum_replay::{Batch, GateStats, PolicyVersion};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::{
    Learner, RolloutSample, RunError, StepRecord,
    checkpoint::Checkpoint,
    compute::{Failure, guarded},
    context::{Context, FINISHED, Outcome},
    evaluator::EvaluatorMessage,
    recorder::RecorderMessage,
    telemetry,
};

/// The learner and what it remembers between steps; it lives on the learner's compute thread for the whole run.
pub(crate) struct Trainer<S> {
    pub learner: Box<dyn Learner<S>>,
    reported: GateStats,
    panics: u32,
}

impl<S> Trainer<S> {
    pub fn new(learner: Box<dyn Learner<S>>) -> Self {
        Self { learner, reported: GateStats::default(), panics: 0 }
    }
}

pub(crate) struct LearnerActor<S>(pub Arc<Context<S>>);

/// Train on the next batch.
pub(crate) struct Train;

impl<S: Send + Sync + 'static> Actor for LearnerActor<S> {
    type Msg = Train;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Train>, _: ()) -> Result<(), ActorProcessingErr> {
        myself.cast(Train)?;
        Ok(())
    }

    async fn handle(&self, myself: ActorRef<Train>, _: Train, _: &mut ()) -> Result<(), ActorProcessingErr> {
        let Self(context) = self;
        let waiting = Instant::now();
        let Some(batch) = context.buffer.next_batch().await else {
            let _ = context.outcome.send(Outcome::Finished);
            myself.stop(Some(FINISHED.to_string()));
            return Ok(());
        };
        context.meter.waited("learner", waiting.elapsed());
        let shared = context.clone();
        // A panic is reported by returning it: the supervisor replaces this actor and the batch is sampled again.
        context.trainer.run(move |trainer| train(trainer, batch, &shared)).await?;
        myself.cast(Train)?;
        Ok(())
    }
}

/// One whole step. Errors of the learner end the run; only a panic within [`Learner::step`] is worth another attempt.
fn train<S: Send + Sync + 'static>(
    trainer: &mut Trainer<S>,
    batch: Batch,
    context: &Context<S>,
) -> Result<(), Failure> {
    let step = batch.step();
    let fatal = |reason: String| context.fail(RunError::Learner { step, reason });
    let started = Instant::now();
    let mut record = StepRecord::of_batch(&batch);
    match guarded(|| trainer.learner.step(batch.groups())) {
        Ok(stats) => record.stats = stats,
        Err(Failure::Refused(reason)) => {
            fatal(reason);
            return Ok(());
        }
        Err(crash) => {
            trainer.panics += 1;
            if trainer.panics >= context.config.max_attempts {
                fatal(format!("{crash} ({} times in a row)", trainer.panics));
            }
            return Err(crash);
        }
    }
    trainer.panics = 0;
    if let Err(failure) = guarded(|| publish(trainer, batch, record, started, context)) {
        fatal(failure.to_string());
    }
    Ok(())
}

fn publish<S: Send + Sync + 'static>(
    trainer: &mut Trainer<S>,
    batch: Batch,
    mut record: StepRecord,
    started: Instant,
    context: &Context<S>,
) -> Result<(), Failure> {
    let snapshot = trainer.learner.snapshot().map_err(|error| Failure::Refused(error.to_string()))?;
    context.snapshots.insert(PolicyVersion(batch.step()).next(), snapshot.clone());
    let samples = RolloutSample::of_batch(&batch, context.config.recorded_groups);
    telemetry::batch(&batch);
    let version = batch.publish();
    context.snapshots.forget_before(context.gate.oldest_needed());

    let compute = started.elapsed();
    context.meter.learned(compute);
    let stats = context.gate.stats();
    record.complete(stats, context.meter.read());
    report(&record, compute, stats, &mut trainer.reported);
    context.recorder.send(RecorderMessage::Step { record: Box::new(record), samples });
    let due = |every: u64| every > 0 && version.0.is_multiple_of(every) && version.0 < context.config.steps;
    if due(context.config.checkpoint_every) {
        let checkpoint = capture(trainer, context)?;
        context.recorder.send(RecorderMessage::Checkpoint(Box::new(checkpoint)));
    }
    if due(context.config.evaluate_every) {
        context.evaluator.send(EvaluatorMessage::Evaluate { version, snapshot });
    }
    Ok(())
}

fn report(record: &StepRecord, compute: Duration, now: GateStats, before: &mut GateStats) {
    telemetry::step(record, compute, now.evictions - before.evictions, now.retries - before.retries);
    *before = now;
}

/// Everything that the run needs to continue from here. Called between two steps, on the learner's thread.
pub(crate) fn capture<S>(trainer: &Trainer<S>, context: &Context<S>) -> Result<Checkpoint, Failure> {
    let refused = |error: crate::BackendError| Failure::Refused(error.to_string());
    let gate = context.gate.state();
    let snapshots = context.snapshots.range(context.gate.oldest_needed(), gate.version);
    let bytes = snapshots.into_iter().map(|(version, snapshot)| {
        let bytes = trainer.learner.write_snapshot(&snapshot).map_err(refused)?;
        Ok((version, bytes))
    });
    Ok(Checkpoint {
        config: context.config.clone(),
        snapshots: bytes.collect::<Result<_, Failure>>()?,
        learner: trainer.learner.save().map_err(refused)?,
        gate,
    })
}

/// Where a run starts: at version 0, or where a checkpoint left off.
pub(crate) fn restore<S>(
    learner: &mut dyn Learner<S>,
    checkpoint: &Checkpoint,
) -> Result<std::collections::BTreeMap<PolicyVersion, Arc<S>>, crate::BackendError> {
    learner.restore(&checkpoint.learner)?;
    let read = |(version, bytes): (&PolicyVersion, &Vec<u8>)| Ok((*version, Arc::new(learner.read_snapshot(bytes)?)));
    checkpoint.snapshots.iter().map(read).collect()
}
