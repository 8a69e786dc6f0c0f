//! The evaluator actor: scores snapshots on held-out studies while training goes on.
//!
//! It only reads snapshots, so nothing of training depends on it, its speed or its failure.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;

use crate::{
    EngineError, Evaluate, Event,
    compute::{Compute, Failure},
    context::Context,
    mailbox::Mailbox,
    messages::{Evaluation, Mail, RecorderMessage},
    telemetry,
};

/// Builds the evaluator.
pub(crate) type BuildEvaluator<S> = Arc<dyn Fn() -> Result<Box<dyn Evaluate<S>>, EngineError> + Send + Sync>;

pub(crate) struct EvaluatorActor<S> {
    pub context: Arc<Context<S>>,
    pub mailbox: Arc<Mailbox<Evaluation<S>>>,
    pub build: BuildEvaluator<S>,
}

impl<S: Send + Sync + 'static> Actor for EvaluatorActor<S> {
    type Msg = Mail;
    type State = Compute<Box<dyn Evaluate<S>>>;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Mail>, _: ()) -> Result<Self::State, ActorProcessingErr> {
        let build = self.build.clone();
        Ok(Compute::spawn("evaluator", self.context.config.threads.evaluator, move || build()).await?)
    }

    async fn handle(&self, _: ActorRef<Mail>, _: Mail, compute: &mut Self::State) -> Result<(), ActorProcessingErr> {
        while let Some(Evaluation { version, snapshot, done }) = self.mailbox.take() {
            let (meter, faults) = (self.context.meter.clone(), self.context.faults.clone());
            let track = meter.trace.track("evaluator");
            let result = compute
                .run(move |evaluator| {
                    let _busy = meter.board.busy("evaluator", format!("version {}", version.0));
                    let _span = track.span("evaluating").about(|| json!({"version": version.0}));
                    faults.strike("evaluator")?;
                    evaluator.evaluate(&snapshot)
                })
                .await;
            telemetry::evaluated(result.as_ref().ok());
            let (event, failure) = match result {
                Ok(scores) => (Event::Evaluated { version, scores }, None),
                Err(failure) => (Event::EvaluationFailed { version, error: failure.to_string() }, Some(failure)),
            };
            // In this order: a checkpoint has what is not written before it.
            self.context.recorder.put(RecorderMessage::Event(event));
            self.context.snapshots.release(version);
            drop(done);
            if let Some(Failure::Crashed(reason)) = failure {
                return Err(reason.into());
            }
        }
        Ok(())
    }
}
