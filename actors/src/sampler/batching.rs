//! Sampling by computing many requests together: tickets join while others are under way.
//!
//! A ticket is taken when there is room for it. Its study is read on a thread of its own, while those under way go on.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use addendum_replay::{Issue, TicketId};
use tokio::task::JoinSet;

use super::{
    assignment::{Assignment, Prepared},
    engine::Batch,
};
use crate::{
    BatchSampler, Load, Request, Sampled,
    compute::{Compute, Failure, IntoFailure, guarded},
    context::Context,
    telemetry,
};

/// Dropping it drops the requests under way.
pub(crate) struct Batching<S> {
    index: usize,
    context: Arc<Context<S>>,
    engine: Compute<Batch<S>>,
    /// Reads studies.
    reader: Compute<()>,
    /// At most one study that is being read.
    reading: JoinSet<Result<(Prepared<S>, Request<S>), Failure>>,
    /// What was read and does not share the batch that is under way.
    next: Option<(Prepared<S>, Request<S>)>,
    under_way: BTreeMap<TicketId, Prepared<S>>,
    has_room: bool,
}

/// What the engine says after a step.
struct Step {
    /// What became of the request that joined.
    joined: Result<(), Failure>,
    ended: Vec<(u64, Result<Vec<Sampled>, Failure>)>,
    has_room: bool,
    load: Load,
    took: Duration,
}

impl<S: Send + Sync + 'static> Batching<S> {
    pub async fn new(index: usize, context: Arc<Context<S>>, engine: Compute<Batch<S>>) -> Result<Self, Failure> {
        let reader = Compute::spawn(&format!("sampler-{index}-reader"), 1, || Ok::<_, Failure>(())).await?;
        let (reading, under_way) = (JoinSet::new(), BTreeMap::new());
        Ok(Self { index, context, engine, reader, reading, next: None, under_way, has_room: true })
    }

    /// Takes a ticket if there is room for one, and computes a step for those under way; whether there will be more.
    /// Waits for a ticket, or its study, only when there is nothing to compute.
    pub async fn turn(&mut self) -> Result<bool, Failure> {
        if self.may_take() {
            match self.ticket().await {
                Issue::Ticket(ticket) => {
                    let (assignment, reader) = (Assignment::new(ticket, self.context.clone()), self.reader.clone());
                    self.reading.spawn(async move { assignment.prepare(&reader).await });
                }
                Issue::Wait => {}
                Issue::Finished => return Ok(false),
            }
        }
        self.look_at_what_was_read().await?;
        let joining = self
            .next
            .take_if(|(next, _)| self.under_way.is_empty() || !self.context.suspects.contains(next.ticket().id()));
        let request = joining.map(|(prepared, request)| {
            let id = prepared.ticket().id();
            self.under_way.insert(id, prepared);
            (id, request)
        });
        if !self.under_way.is_empty() {
            self.step(request).await?;
        }
        Ok(true)
    }

    /// A suspect is alone.
    fn may_take(&self) -> bool {
        let room = self.under_way.is_empty() || (self.has_room && !self.is_suspected());
        room && self.reading.is_empty() && self.next.is_none()
    }

    fn is_suspected(&self) -> bool {
        self.under_way.keys().any(|id| self.context.suspects.contains(*id))
    }

    async fn ticket(&self) -> Issue {
        if !self.under_way.is_empty() {
            return self.context.gate.try_issue();
        }
        let waiting = Instant::now();
        let ticket = self.context.gate.issue().await;
        self.context.meter.waited("sampler", waiting.elapsed());
        ticket.map_or(Issue::Finished, Issue::Ticket)
    }

    async fn look_at_what_was_read(&mut self) -> Result<(), Failure> {
        let read = match self.under_way.is_empty() {
            true => self.reading.join_next().await,
            false => self.reading.try_join_next(),
        };
        match read {
            None => Ok(()),
            Some(Ok(Ok(next))) => {
                self.next = Some(next);
                Ok(())
            }
            Some(Ok(Err(failure))) => failed(failure),
            Some(Err(error)) => failed(Failure::Crashed(error.to_string())),
        }
    }

    async fn step(&mut self, request: Option<(TicketId, Request<S>)>) -> Result<(), Failure> {
        let joining = request.as_ref().map(|(id, _)| *id);
        let step = self.engine.run(move |engine| Ok::<_, Failure>(compute(engine.as_mut(), request))).await;
        let Step { joined, ended, has_room, load, took } = match step {
            Ok(step) => step,
            Err(crash) => return self.broken(crash),
        };
        telemetry::holds(self.index, load);
        self.context.meter.sampling(took);
        self.has_room = has_room;
        for (id, reports) in ended {
            self.conclude(TicketId(id), reports)?;
        }
        match (joined, joining) {
            (Err(failure), Some(id)) => self.conclude(id, Err(failure)),
            _ => Ok(()),
        }
    }

    fn conclude(&mut self, id: TicketId, reports: Result<Vec<Sampled>, Failure>) -> Result<(), Failure> {
        let Some(prepared) = self.under_way.remove(&id) else { return Ok(()) };
        match prepared.conclude(reports) {
            Ok(group) => {
                self.context.suspects.clear(id);
                self.context.first.forward(group);
                Ok(())
            }
            Err(failure) => failed(failure),
        }
    }

    /// One request that was alone is to blame; of several, nobody knows which.
    fn broken(&mut self, crash: Failure) -> Result<(), Failure> {
        telemetry::stage_failed("sampler");
        if self.under_way.len() == 1 {
            let blamed = self.under_way.pop_first();
            return Err(blamed.map_or(crash.clone(), |(_, prepared)| prepared.fail(crash)));
        }
        self.context.suspects.add(self.under_way.keys().copied());
        Err(crash)
    }
}

/// Lets a request join, and computes for all of them.
fn compute<S>(engine: &mut dyn BatchSampler<S>, request: Option<(TicketId, Request<S>)>) -> Step {
    let started = Instant::now();
    let joined = match request {
        Some((id, request)) => guarded(|| engine.admit(id.0, request)),
        None => Ok(()),
    };
    let ended = match joined {
        // What it panicked over says who is to blame, and what is left of it is not to be trusted.
        Err(Failure::Crashed(_)) => vec![],
        _ => engine.advance(),
    };
    let ended = ended.into_iter().map(|(id, reports)| (id, reports.map_err(IntoFailure::into_failure))).collect();
    Step { joined, ended, has_room: engine.has_room(), load: engine.load(), took: started.elapsed() }
}

/// Only a crash concerns the actor: what it samples with may be broken.
fn failed(failure: Failure) -> Result<(), Failure> {
    telemetry::stage_failed("sampler");
    match failure {
        Failure::Refused(_) => Ok(()),
        other => Err(other),
    }
}
