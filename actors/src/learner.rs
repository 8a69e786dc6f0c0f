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
use serde_json::json;

use crate::{
    Diverging, EngineError, Event, RolloutSample, RunConfig, RunError, StepRecord, Track,
    board::Place,
    compute::{Failure, IntoFailure, guarded},
    context::{Context, FINISHED},
    messages::{RecorderMessage, Train},
    outcome::Outcome,
    recording::RecordedStep,
    telemetry,
    trainer::Trainer,
};

pub(crate) struct LearnerActor<S>(pub Arc<Context<S>>);

impl<S: Send + Sync + 'static> Actor for LearnerActor<S> {
    type Msg = Train;
    type State = Track;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Train>, _: ()) -> Result<Track, ActorProcessingErr> {
        myself.cast(Train)?;
        Ok(self.0.meter.trace.track("learner"))
    }

    async fn handle(&self, myself: ActorRef<Train>, _: Train, track: &mut Track) -> Result<(), ActorProcessingErr> {
        let Self(context) = self;
        let (waiting, span) = (Instant::now(), track.span("waiting"));
        let Some(batch) = context.buffer.next_batch().await else {
            context.fuse.tell(Outcome::Finished);
            myself.stop(Some(FINISHED.to_string()));
            return Ok(());
        };
        drop(span);
        context.meter.waited("learner", waiting.elapsed());
        batch.groups().iter().for_each(|group| context.meter.trace.passed(group, "replay"));
        let (shared, track) = (context.clone(), track.clone());
        // A panic is reported by returning it: the supervisor replaces this actor and the batch is sampled again.
        context.trainer.run(move |trainer| train(trainer, batch, &shared, &track)).await?;
        myself.cast(Train)?;
        Ok(())
    }
}

/// One whole step. Errors of the learner end the run; only a panic within [`Learner::step`](crate::Learner::step) is
/// worth another attempt.
fn train<S>(trainer: &mut Trainer<S>, batch: Batch, context: &Context<S>, track: &Track) -> Result<(), Failure> {
    let step = batch.step();
    let _busy = context.meter.board.busy("learner", format!("step {step}"));
    let _span = track.span("step").about(|| json!({"step": step, "groups": batch.groups().len()}));
    let fatal = |reason: String| context.fail(RunError::Learner { step, reason });
    let started = Instant::now();
    match guarded(|| goes_on(trainer, &batch, context)) {
        Ok(true) => {}
        Ok(false) => return Ok(()),
        Err(failure) => {
            fatal(failure.to_string());
            return Ok(());
        }
    }
    batch.groups().iter().for_each(|group| context.meter.board.at(group.ticket.id(), Place::Learner));
    let mut record = StepRecord::of_batch(&batch);
    let training = track.span("training");
    let stats = guarded(|| {
        context.faults.strike("learner")?;
        trainer.learner.step(batch.groups())
    });
    drop(training);
    match stats {
        Ok(stats) => record.measured(stats),
        Err(Failure::Crashed(crash)) => {
            trainer.panics += 1;
            let crash = Failure::Crashed(crash);
            if trainer.panics >= context.config.max_attempts {
                fatal(format!("{crash} ({} times in a row)", trainer.panics));
            }
            return Err(crash);
        }
        Err(failure) => {
            fatal(failure.to_string());
            return Ok(());
        }
    }
    trainer.panics = 0;
    let _publishing = track.span("publishing");
    if let Err(failure) = guarded(|| publish(trainer, batch, record, started, context)) {
        fatal(failure.to_string());
    }
    Ok(())
}

/// Whether there is hope that the run will still train on something. If not, it is ended with a checkpoint from before
/// it went wrong.
fn goes_on<S>(trainer: &mut Trainer<S>, batch: &Batch, context: &Context<S>) -> Result<bool, Failure> {
    if context.has_folder && trainer.endurance.begins(batch) {
        let before = trainer.capture(&context.identity, context.gate.state(), &context.snapshots)?;
        trainer.endurance.keep(before);
    }
    let Some(tickets) = trainer.endurance.too_many_dead(batch, &context.config) else { return Ok(true) };
    let Some((_, last)) = context.gate.dead_letters().pop_last() else { return Ok(true) };
    if let Some(before) = trainer.endurance.take() {
        context.recorder.put(RecorderMessage::Checkpoint(before));
    }
    context.fail(RunError::NothingToTrainOn { tickets, last });
    Ok(false)
}

fn publish<S>(
    trainer: &mut Trainer<S>,
    batch: Batch,
    mut record: StepRecord,
    started: Instant,
    context: &Context<S>,
) -> Result<(), Failure> {
    context.faults.strike("publish").map_err(|struck| Failure::Refused(struck.to_string()))?;
    let snapshot = trainer.learner.snapshot().map_err(EngineError::into_failure)?;
    context.snapshots.insert(PolicyVersion(batch.step()).next(), snapshot);
    let samples = RolloutSample::of_batch(&batch, context.config.recorded_groups);
    let sampled = context.records.then(|| RecordedStep::of_batch(&batch, context.config.batch_groups));
    telemetry::batch(&batch);
    let (step, dead) = (batch.step(), batch.dead());
    batch.groups().iter().for_each(|group| context.meter.trace.learnt(group, step));
    let version = batch.publish();
    context.snapshots.forget_before(context.gate.oldest_needed());

    let compute = started.elapsed();
    context.meter.learned(compute);
    context.meter.stepped();
    let stats = context.gate.stats();
    record.complete(stats, context.meter.read());
    report(&record, compute, stats, &mut trainer.reported);
    let counted = trainer.endurance.count(&record, dead, &context.config);
    let diverging = trainer.divergence.observe(&record, &context.config.divergence);
    telemetry::diverging(trainer.divergence.present());
    context.recorder.put(RecorderMessage::Step { record: Box::new(record), samples, sampled });
    if let Some(error) = went_wrong(step, diverging, context) {
        context.fail(error);
        return Ok(());
    }
    let RunConfig { checkpoint_every, checkpoint_minutes, steps, .. } = context.config;
    let by_steps = checkpoint_every > 0 && version.0.is_multiple_of(checkpoint_every);
    let by_time = checkpoint_minutes > 0.0 && trainer.saved.elapsed().as_secs_f64() >= 60.0 * checkpoint_minutes;
    let due = (by_steps || by_time) && version.0 < steps;
    if (due && !trainer.endurance.is_idle()) || counted.is_err() {
        let checkpoint = trainer.capture(&context.identity, context.gate.state(), &context.snapshots)?;
        context.recorder.put(RecorderMessage::Checkpoint(Box::new(checkpoint)));
        context.recorder.put(RecorderMessage::DeadLetters(context.gate.dead_letters()));
        trainer.saved = Instant::now();
    }
    if context.evaluation_is_due(version) {
        context.evaluate(version, None);
    }
    if let Err(error) = counted {
        context.fail(error);
    }
    Ok(())
}

/// Tells of signs that training goes wrong, which is an error where the run is to end of it. Then its checkpoints are
/// those from before the steps that show it.
fn went_wrong<S>(step: u64, signs: Vec<Diverging>, context: &Context<S>) -> Option<RunError> {
    for found in &signs {
        telemetry::diverged(found.sign);
        context.recorder.put(RecorderMessage::Event(Event::Diverging { step, found: *found }));
    }
    let found = signs.into_iter().next().filter(|_| context.config.divergence.stop)?;
    let window = context.config.divergence.window as u64;
    context.recorder.put(RecorderMessage::SetBack(PolicyVersion((step + 1).saturating_sub(window))));
    Some(RunError::Diverged { step, found })
}

fn report(record: &StepRecord, compute: Duration, now: GateStats, before: &mut GateStats) {
    telemetry::step(record, compute, now.evictions - before.evictions, now.retries - before.retries);
    telemetry::redrawn(now.redraws - before.redraws);
    *before = now;
}
