//! The sampler actor: takes a ticket, samples its study, hands the group to the first stage.
//!
//! There is one per device. It asks for the next ticket only when the last one is done, so a slow device takes fewer.

use std::{sync::Arc, time::Instant};

use addendum_replay::{Origin, Rollout, RolloutGroup, RolloutId, Stream, Ticket};
use addendum_studies::{Prompt, Study};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use rand::RngCore;

use crate::{
    EngineError, Request, Sampled, Sampler,
    compute::{Compute, Failure, guarded},
    context::{Context, FINISHED},
    messages::Next,
    telemetry,
};

/// Builds the sampler of the actor with the given index.
pub(crate) type BuildSampler<S> = Arc<dyn Fn(usize) -> Result<Box<dyn Sampler<S>>, EngineError> + Send + Sync>;

pub(crate) struct SamplerActor<S> {
    pub index: usize,
    pub context: Arc<Context<S>>,
    pub build: BuildSampler<S>,
}

impl<S: Send + Sync + 'static> Actor for SamplerActor<S> {
    type Msg = Next;
    type State = Compute<Box<dyn Sampler<S>>>;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Next>, _: ()) -> Result<Self::State, ActorProcessingErr> {
        let (build, index) = (self.build.clone(), self.index);
        let threads = self.context.config.threads.sampler;
        let compute = Compute::spawn(&format!("sampler-{index}"), threads, move || build(index)).await?;
        myself.cast(Next)?;
        Ok(compute)
    }

    async fn handle(
        &self,
        myself: ActorRef<Next>,
        _: Next,
        compute: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let waiting = Instant::now();
        let Some(ticket) = self.context.gate.issue().await else {
            myself.stop(Some(FINISHED.to_string()));
            return Ok(());
        };
        self.context.meter.waited("sampler", waiting.elapsed());
        let context = self.context.clone();
        match compute.run(move |sampler| sample(sampler.as_mut(), ticket, &context)).await {
            Ok(group) => self.context.first.forward(group),
            Err(failure) => {
                telemetry::stage_failed("sampler");
                if let Failure::Crashed(_) = failure {
                    return Err(failure.into());
                }
            }
        }
        myself.cast(Next)?;
        Ok(())
    }
}

/// Samples the ticket's study; if that fails, the ticket returns with the reason.
fn sample<S>(sampler: &mut dyn Sampler<S>, ticket: Ticket, context: &Context<S>) -> Result<RolloutGroup, Failure> {
    let started = Instant::now();
    match guarded(|| draw(sampler, &ticket, context)) {
        Ok((study, reports)) => {
            let lengths: Vec<usize> = reports.iter().map(|report| report.tokens.len()).collect();
            let truncated = reports.iter().filter(|report| report.truncated).count();
            context.meter.sampled(lengths.iter().sum::<usize>() as u64, started.elapsed());
            telemetry::sampled(&lengths, truncated, started.elapsed());
            let version = ticket.snapshot();
            let rollouts = (0..).zip(reports).map(|(id, report)| Rollout {
                id: RolloutId(id),
                tokens: report.tokens,
                text: report.text,
                origin: Origin::Sampled { logprobs: report.logprobs, version },
                truncated: report.truncated,
                reward: None,
            });
            Ok(RolloutGroup { rollouts: rollouts.collect(), study: Arc::new(study), ticket })
        }
        Err(failure) => {
            ticket.fail(&failure);
            Err(failure)
        }
    }
}

fn draw<S>(
    sampler: &mut dyn Sampler<S>,
    ticket: &Ticket,
    context: &Context<S>,
) -> Result<(Study, Vec<Sampled>), EngineError> {
    let study = context.dataset.study(ticket.study())?;
    let version = ticket.snapshot();
    let snapshot = context.snapshots.get(version).ok_or_else(|| format!("the snapshot {version} is gone"))?;
    let wanted = context.config.sampled_per_group();
    let seeds: Vec<u64> = (0..wanted as u64).map(|rollout| ticket.stream(Stream::Sample, rollout).next_u64()).collect();
    let reports = sampler.sample(Request {
        study: &study.id,
        prompt: &Prompt::new(&study),
        snapshot: &snapshot,
        seeds: &seeds,
    })?;
    if reports.len() != wanted {
        return Err(format!("the sampler gave {} reports for {wanted} seeds", reports.len()).into());
    }
    for (index, report) in reports.iter().enumerate() {
        if report.tokens.is_empty() || report.tokens.len() != report.logprobs.len() {
            let (tokens, logprobs) = (report.tokens.len(), report.logprobs.len());
            return Err(format!("sampled report {index} has {tokens} tokens and {logprobs} log-probabilities").into());
        }
    }
    Ok((study, reports))
}
