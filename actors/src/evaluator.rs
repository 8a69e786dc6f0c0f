//! The evaluator actor: scores snapshots on held-out studies while training goes on.
//!
//! It only reads snapshots, so nothing of training depends on it, its speed or its failure.

use std::sync::Arc;

use addendum_replay::PolicyVersion;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::{
    BackendError, Evaluate, Event,
    compute::{Compute, Failure},
    context::Context,
    recorder::RecorderMessage,
    telemetry,
};

/// Builds the evaluator.
pub(crate) type BuildEvaluator<S> = Arc<dyn Fn() -> Result<Box<dyn Evaluate<S>>, BackendError> + Send + Sync>;

pub(crate) struct EvaluatorActor<S> {
    pub context: Arc<Context<S>>,
    pub build: BuildEvaluator<S>,
}

pub(crate) enum EvaluatorMessage<S> {
    Evaluate { version: PolicyVersion, snapshot: Arc<S> },
}

impl<S: Send + Sync + 'static> Actor for EvaluatorActor<S> {
    type Msg = EvaluatorMessage<S>;
    type State = Compute<Box<dyn Evaluate<S>>>;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, _: ()) -> Result<Self::State, ActorProcessingErr> {
        let build = self.build.clone();
        Ok(Compute::spawn("evaluator", self.context.config.threads.evaluator, move || build()).await?)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        EvaluatorMessage::Evaluate { version, snapshot }: Self::Msg,
        compute: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let result = compute.run(move |evaluator| evaluator.evaluate(&snapshot)).await;
        telemetry::evaluated(result.as_ref().ok());
        let (event, crash) = match result {
            Ok(scores) => (Event::Evaluated { version, scores }, None),
            Err(failure) => {
                let error = failure.to_string();
                (Event::EvaluationFailed { version, error }, Some(failure))
            }
        };
        self.context.recorder.send(RecorderMessage::Event(event));
        match crash {
            Some(Failure::Crashed(reason)) => Err(reason.into()),
            _ => Ok(()),
        }
    }
}
