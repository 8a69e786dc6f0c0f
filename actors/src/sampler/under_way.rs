//! The requests that an engine holds for an actor, and what becomes of them.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use addendum_replay::TicketId;

use super::{assignment::Prepared, engine::Batch};
use crate::{
    BatchSampler, Load, Request, Sampled,
    compute::{Compute, Failure, IntoFailure, guarded},
    context::Context,
    telemetry,
};

/// Steps shorter than this are made several in a row, so that what it costs to ask for one does not show.
const TURN: Duration = Duration::from_millis(1);

/// Dropping it drops the requests under way.
pub(super) struct UnderWay<S> {
    index: usize,
    context: Arc<Context<S>>,
    engine: Compute<Batch<S>>,
    /// `None` for a request that is only computed for others' sake.
    requests: BTreeMap<TicketId, Option<Prepared<S>>>,
    has_room: bool,
}

/// A request that joins those under way.
pub(super) struct Joining<S> {
    pub id: TicketId,
    /// What its reports are for; `None` if they are for nothing.
    pub prepared: Option<Prepared<S>>,
    pub request: Request<S>,
}

/// What the engine says after a step.
struct Step {
    /// Requests that could not join.
    refused: Vec<(TicketId, Failure)>,
    ended: Vec<(u64, Result<Vec<Sampled>, Failure>)>,
    has_room: bool,
    load: Load,
    took: Duration,
}

impl<S: Send + Sync + 'static> UnderWay<S> {
    pub fn new(index: usize, context: Arc<Context<S>>, engine: Compute<Batch<S>>) -> Self {
        Self { index, context, engine, requests: BTreeMap::new(), has_room: true }
    }

    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub fn has_room(&self) -> bool {
        self.has_room || self.is_empty()
    }

    /// Whether one of them may have broken a sampler.
    pub fn is_suspected(&self) -> bool {
        self.requests.keys().any(|id| self.context.suspects.crashes(*id) > 0)
    }

    /// Lets requests join, and computes for all that are under way. Those that end are handed on.
    ///
    /// # Errors
    /// The engine broke, and the requests with it.
    pub async fn step(&mut self, joining: Vec<Joining<S>>) -> Result<(), Failure> {
        let join = |Joining { id, prepared, request }| {
            self.requests.insert(id, prepared);
            (id, request)
        };
        let requests: Vec<_> = joining.into_iter().map(join).collect();
        let all = self.requests.len();
        let faults = self.context.faults.clone();
        let step = self.engine.run(move |engine| {
            faults.strike("sampler").map_err(|struck| Failure::Crashed(struck.to_string()))?;
            Ok::<_, Failure>(compute(engine.as_mut(), requests, all))
        });
        let step = step.await;
        let Step { refused, ended, has_room, load, took } = match step {
            Ok(step) => step,
            Err(crash) => return self.broken(crash),
        };
        telemetry::holds(self.index, load);
        self.context.meter.sampling(took);
        self.has_room = has_room;
        for (id, reports) in ended {
            self.conclude(TicketId(id), reports)?;
        }
        let joined = refused.into_iter().try_for_each(|(id, failure)| self.conclude(id, Err(failure)));
        if joined.is_err() {
            self.suspect();
        }
        joined
    }

    fn conclude(&mut self, id: TicketId, reports: Result<Vec<Sampled>, Failure>) -> Result<(), Failure> {
        let concluded = match (self.requests.remove(&id).flatten(), reports) {
            (Some(prepared), reports) => prepared.conclude(reports),
            (None, Err(failure)) => Err(failure),
            (None, Ok(_)) => return Ok(()),
        };
        match concluded {
            Ok(group) => {
                self.context.suspects.clear(id);
                self.context.first.forward(group, &self.context.meter);
                Ok(())
            }
            Err(failure) => failed(failure),
        }
    }

    /// One request that was alone is to blame; of several, nobody knows which.
    fn broken(&mut self, crash: Failure) -> Result<(), Failure> {
        telemetry::stage_failed("sampler");
        if self.requests.len() > 1 {
            self.suspect();
            return Err(crash);
        }
        match self.requests.pop_first() {
            Some((_, Some(prepared))) => Err(prepared.fail(crash)),
            _ => Err(crash),
        }
    }

    fn suspect(&self) {
        let ours = self.requests.iter().filter(|(_, prepared)| prepared.is_some());
        self.context.suspects.add(ours.map(|(id, _)| *id));
    }
}

/// Lets requests join, and computes for all of them.
fn compute<S>(engine: &mut dyn BatchSampler<S>, joining: Vec<(TicketId, Request<S>)>, all: usize) -> Step {
    let started = Instant::now();
    let (mut refused, mut ended, mut whole) = (vec![], vec![], true);
    for (id, request) in joining {
        if let Err(failure) = guarded(|| engine.admit(id.0, request)) {
            // Over what it panicked is known; what is left of it is not to be trusted.
            whole = !matches!(failure, Failure::Crashed(_));
            refused.push((id, failure));
            if !whole {
                break;
            }
        }
    }
    while whole && ended.is_empty() && refused.len() < all {
        ended = engine.advance();
        if started.elapsed() >= TURN {
            break;
        }
    }
    let ended = ended.into_iter().map(|(id, reports)| (id, reports.map_err(IntoFailure::into_failure))).collect();
    Step { refused, ended, has_room: engine.has_room(), load: engine.load(), took: started.elapsed() }
}

/// Only a crash concerns the actor: what it samples with may be broken.
pub(super) fn failed(failure: Failure) -> Result<(), Failure> {
    telemetry::stage_failed("sampler");
    match failure {
        Failure::Refused(_) => Ok(()),
        other => Err(other),
    }
}
