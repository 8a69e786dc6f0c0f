//! A ticket on its way to a group. If that fails, the ticket returns with the reason.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use addendum_replay::{
    Mode, Origin, PolicyVersion, Rollout, RolloutGroup, RolloutId, Stream, StudyOrder, Ticket, TicketId, stream,
};
use addendum_studies::{Prompt, Study};
use rand::RngCore;
use serde_json::json;

use crate::{
    EngineError, Request, Sampled, Span, Track,
    board::Place,
    compute::{Compute, Failure, guarded},
    context::Context,
    engine::Versioned,
    telemetry,
};

pub(super) struct Assignment<S> {
    ticket: Ticket,
    context: Arc<Context<S>>,
    sampler: Arc<str>,
    since: Instant,
    track: Track,
}

/// An assignment whose study was read.
pub(super) struct Prepared<S> {
    assignment: Assignment<S>,
    study: Study,
    /// Until the reports are there.
    sampling: Span,
}

/// An assignment whose study was read, and what to sample; or why not.
pub(super) type Read<S> = Result<(Prepared<S>, Request<S>), Failure>;

impl<S: Send + Sync + 'static> Assignment<S> {
    /// A ticket that the sampler of this name took.
    pub fn new(ticket: Ticket, context: Arc<Context<S>>, sampler: &str) -> Self {
        context.meter.trace.issued(&ticket);
        let track = context.meter.trace.track(sampler);
        let sampler: Arc<str> = sampler.into();
        context.meter.board.at(ticket.id(), Place::Reading(sampler.clone()));
        context.ahead.issued(ticket.id());
        Self { ticket, context, sampler, since: Instant::now(), track }
    }

    /// Reads the study, on a thread where that stops nobody; gives what to sample with it.
    pub async fn prepare<T: Send + 'static>(self, reader: &Compute<T>) -> Read<S> {
        let prepare = move |_: &mut T| match guarded(|| self.read()) {
            Ok((study, request)) => {
                let sampling = self.span("sampling");
                self.context.meter.board.at(self.ticket.id(), Place::Sampler(self.sampler.clone()));
                Ok((Prepared { assignment: self, study, sampling }, request))
            }
            Err(failure) => Err(self.fail(failure)),
        };
        reader.run(prepare).await
    }

    fn read(&self) -> Result<(Study, Request<S>), EngineError> {
        let Self { ticket, context, .. } = self;
        let wanted = context.config.sampled(ticket.origin()) as u64;
        let seeds = (0..wanted).map(|rollout| ticket.stream(Stream::Sample, rollout).next_u64()).collect();
        let _span = self.span("reading");
        let (study, mut request) = read(context, ticket.study(), ticket.snapshot(), seeds)?;
        request.ticket = Some(ticket.id());
        request.track = self.track.clone();
        Ok((study, request))
    }

    fn span(&self, name: &'static str) -> Span {
        self.track.span(name).about(|| json!({"ticket": self.ticket.id().0}))
    }

    /// Returns the ticket with the reason, which it gives back.
    fn fail(self, failure: Failure) -> Failure {
        self.ticket.fail(&failure);
        failure
    }
}

impl<S: Send + Sync + 'static> Prepared<S> {
    pub fn ticket(&self) -> &Ticket {
        &self.assignment.ticket
    }

    pub fn age(&self) -> Duration {
        self.assignment.since.elapsed()
    }

    /// Returns the ticket with the reason, which it gives back.
    pub fn fail(self, failure: Failure) -> Failure {
        self.assignment.fail(failure)
    }

    /// The group; or the reason with which the ticket returned.
    pub fn conclude(self, reports: Result<Vec<Sampled>, Failure>) -> Result<RolloutGroup, Failure> {
        let wanted = self.assignment.context.config.sampled(self.ticket().origin());
        let reports = match reports.and_then(|reports| guarded(|| check(&reports, wanted)).map(|()| reports)) {
            Ok(reports) => reports,
            Err(failure) => return Err(self.fail(failure)),
        };
        let age = self.age();
        let Self { assignment: Assignment { ticket, context, .. }, study, sampling } = self;
        drop(sampling);
        let lengths: Vec<usize> = reports.iter().map(|report| report.tokens.len()).collect();
        let truncated = reports.iter().filter(|report| report.truncated).count();
        context.meter.sampled(lengths.iter().sum::<usize>() as u64);
        telemetry::sampled(&lengths, truncated, age);
        let rollouts = (0..).zip(reports).map(|(id, report)| Rollout {
            id: RolloutId(id),
            tokens: report.tokens,
            text: report.text,
            origin: Origin::Sampled { logprobs: report.logprobs, versions: report.versions },
            truncated: report.truncated,
            reward: None,
        });
        let mut group = RolloutGroup::new(ticket, Arc::new(study), rollouts.collect());
        if context.records {
            group.sampled = group.rollouts.clone().into();
        }
        context.meter.trace.passed(&group, "sampler");
        Ok(group)
    }
}

/// Requests like those of other tickets' first draws, without the tickets.
pub(super) struct Company {
    order: StudyOrder,
}

impl Company {
    pub fn new<S>(context: &Context<S>) -> Self {
        Self { order: StudyOrder::new(context.config.seed, context.dataset.len()) }
    }

    /// Reads the study of a ticket.
    pub async fn prepare<S: Send + Sync + 'static>(
        &mut self,
        id: TicketId,
        version: PolicyVersion,
        context: Arc<Context<S>>,
        reader: &Compute<()>,
    ) -> Result<Request<S>, Failure> {
        let study = self.order.study_of(id, 0);
        let seed = |rollout| stream(context.config.seed, Stream::Sample, id.0, rollout).next_u64();
        let seeds = (0..context.config.sampled(id) as u64).map(seed).collect();
        reader.run(move |()| read(&context, study, version, seeds).map(|(_, request)| request)).await
    }
}

/// A study by its index in the training set, and what to ask for.
fn read<S: Send + Sync + 'static>(
    context: &Arc<Context<S>>,
    study: usize,
    version: PolicyVersion,
    seeds: Vec<u64>,
) -> Result<(Study, Request<S>), EngineError> {
    context.faults.strike("dataset")?;
    let study = match context.ahead.study(study) {
        Some(study) => study,
        None => context.dataset.study(study)?,
    };
    let weights = context.snapshots.get(version).ok_or_else(|| format!("the snapshot {version} is gone"))?;
    let prompt = Arc::new(Prompt::new(&study));
    let mut request = Request::new(&study.id, prompt, Versioned { version, weights }, seeds);
    if context.config.swap && context.config.mode == Mode::Latest {
        let context = context.clone();
        request = request.swapping(move || context.newest());
    }
    Ok((study, request))
}

fn check(reports: &[Sampled], wanted: usize) -> Result<(), EngineError> {
    if reports.len() != wanted {
        return Err(format!("the sampler gave {} reports for {wanted} seeds", reports.len()).into());
    }
    for (index, Sampled { tokens, logprobs, versions, .. }) in reports.iter().enumerate() {
        let (tokens, logprobs, versions) = (tokens.len(), logprobs.len(), versions.len());
        if tokens == 0 || tokens != logprobs || tokens != versions {
            return Err(format!(
                "sampled report {index} has {tokens} tokens, {logprobs} log-probabilities and {versions} policy versions"
            )
            .into());
        }
    }
    Ok(())
}
