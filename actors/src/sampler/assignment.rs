//! A ticket on its way to a group. If that fails, the ticket returns with the reason.

use std::{sync::Arc, time::Instant};

use addendum_replay::{Mode, Origin, Rollout, RolloutGroup, RolloutId, Stream, Ticket};
use addendum_studies::{Prompt, Study};
use rand::RngCore;

use super::engine::{Ask, Engine, answer};
use crate::{
    EngineError, Request, Sampled, Track,
    compute::{Compute, Failure, guarded},
    context::Context,
    engine::Versioned,
    telemetry,
};

pub(super) struct Assignment<S> {
    pub ticket: Ticket,
    pub context: Arc<Context<S>>,
    /// Assignments that the actor may have at the same time.
    pub capacity: usize,
    pub track: Track,
}

impl<S: Send + Sync + 'static> Assignment<S> {
    /// Samples with what computes; to be called on its thread.
    pub fn compute(self, engine: &mut Engine<S>) -> Result<RolloutGroup, Failure> {
        let started = Instant::now();
        let drawn = guarded(|| {
            let (study, request) = self.prepare()?;
            let Engine::Computing(sampler) = engine else {
                return Err("a sampler to wait for was asked to compute".into());
            };
            let _span = self.track.span("sampling");
            let reports = sampler.sample(request)?;
            self.check(&reports)?;
            Ok::<_, EngineError>((study, reports))
        });
        self.conclude(drawn, started)
    }

    /// Waits for what somebody else computes. The study is read on the actor's own thread, as always.
    pub async fn ask(self, engine: &Compute<Engine<S>>, remote: &dyn Ask<S>) -> Result<RolloutGroup, Failure> {
        let started = Instant::now();
        let (assignment, prepared) = engine
            .run(move |_| {
                let prepared = guarded(|| self.prepare());
                Ok::<_, Failure>((self, prepared))
            })
            .await?;
        let drawn = match prepared {
            Ok((study, request)) => {
                let span = assignment.track.span("sampling");
                let answer = answer(remote, request).await;
                drop(span);
                answer.and_then(|reports| guarded(|| assignment.check(&reports)).map(|()| (study, reports)))
            }
            Err(failure) => Err(failure),
        };
        assignment.conclude(drawn, started)
    }

    fn prepare(&self) -> Result<(Study, Request<S>), EngineError> {
        let Self { ticket, context, .. } = self;
        let span = self.track.span("reading");
        let study = match context.ahead.study(ticket.study()) {
            Some(study) => study,
            None => context.dataset.study(ticket.study())?,
        };
        drop(span);
        let version = ticket.snapshot();
        let weights = context.snapshots.get(version).ok_or_else(|| format!("the snapshot {version} is gone"))?;
        let wanted = context.config.sampled_per_group() as u64;
        let seeds = (0..wanted).map(|rollout| ticket.stream(Stream::Sample, rollout).next_u64()).collect();
        let prompt = Arc::new(Prompt::new(&study));
        let mut request = Request::new(&study.id, prompt, Versioned { version, weights }, seeds);
        request.track = self.track.clone();
        if context.config.swap && context.config.mode == Mode::Latest {
            let context = context.clone();
            request = request.swapping(move || context.newest());
        }
        Ok((study, request))
    }

    fn check(&self, reports: &[Sampled]) -> Result<(), EngineError> {
        let wanted = self.context.config.sampled_per_group();
        if reports.len() != wanted {
            return Err(format!("the sampler gave {} reports for {wanted} seeds", reports.len()).into());
        }
        for (index, Sampled { tokens, logprobs, versions, .. }) in reports.iter().enumerate() {
            let (tokens, logprobs, versions) = (tokens.len(), logprobs.len(), versions.len());
            if tokens == 0 || tokens != logprobs || tokens != versions {
                return Err(format!(
                    "sampled report {index} has {tokens} tokens, {logprobs} log-probabilities and {versions} policy \
                     versions"
                )
                .into());
            }
        }
        Ok(())
    }

    fn conclude(
        self,
        drawn: Result<(Study, Vec<Sampled>), Failure>,
        started: Instant,
    ) -> Result<RolloutGroup, Failure> {
        let Self { ticket, context, capacity, .. } = self;
        let (study, reports) = match drawn {
            Ok(drawn) => drawn,
            Err(failure) => {
                ticket.fail(&failure);
                return Err(failure);
            }
        };
        let lengths: Vec<usize> = reports.iter().map(|report| report.tokens.len()).collect();
        let truncated = reports.iter().filter(|report| report.truncated).count();
        // One of several requests keeps the actor busy for its share of the time.
        context.meter.sampled(lengths.iter().sum::<usize>() as u64, started.elapsed().div_f64(capacity as f64));
        telemetry::sampled(&lengths, truncated, started.elapsed());
        let rollouts = (0..).zip(reports).map(|(id, report)| Rollout {
            id: RolloutId(id),
            tokens: report.tokens,
            text: report.text,
            origin: Origin::Sampled { logprobs: report.logprobs, versions: report.versions },
            truncated: report.truncated,
            reward: None,
        });
        let group = RolloutGroup { rollouts: rollouts.collect(), study: Arc::new(study), ticket };
        context.meter.trace.passed(&group, "sampler");
        Ok(group)
    }
}
