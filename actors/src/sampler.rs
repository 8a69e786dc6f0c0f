//! The sampler actor: takes tickets, has their studies sampled, hands each group to the first stage when it is ready.
//!
//! There is one per device or server. It asks for a ticket only while it has room for one, so a slow device takes fewer.

mod assignment;
mod engine;

use std::{sync::Arc, time::Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::{JoinError, JoinSet};

pub(crate) use self::engine::{BuildSampler, Engine};
use self::{assignment::Assignment, engine::Remote};
use crate::{
    compute::{Compute, Failure},
    context::{Context, FINISHED},
    messages::Next,
    telemetry,
};

pub(crate) struct SamplerActor<S> {
    pub index: usize,
    pub context: Arc<Context<S>>,
    pub build: BuildSampler<S>,
}

impl<S> SamplerActor<S> {
    fn name(&self) -> String {
        format!("sampler-{}", self.index)
    }
}

/// Dropping it drops the requests under way.
pub(crate) struct SamplerState<S> {
    engine: Compute<Engine<S>>,
    remote: Option<Remote<S>>,
    capacity: usize,
    under_way: JoinSet<Result<(), Failure>>,
}

impl<S: Send + Sync + 'static> Actor for SamplerActor<S> {
    type Msg = Next;
    type State = SamplerState<S>;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Next>, _: ()) -> Result<Self::State, ActorProcessingErr> {
        let (build, index) = (self.build.clone(), self.index);
        let threads = self.context.config.threads.sampler;
        let engine = Compute::spawn(&self.name(), threads, move || build(index)).await?;
        let (remote, capacity) = engine.run(|engine| Ok::<_, Failure>((engine.remote(), engine.capacity()?))).await?;
        myself.cast(Next)?;
        Ok(SamplerState { engine, remote, capacity, under_way: JoinSet::new() })
    }

    async fn handle(&self, myself: ActorRef<Next>, _: Next, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        let context = &self.context;
        while state.under_way.len() >= state.capacity {
            state.under_way.join_next().await.map_or(Ok(()), settle)?;
        }
        let (waiting, track) = (Instant::now(), context.meter.trace.track(&self.name()));
        let span = track.span("waiting");
        let ticket = loop {
            tokio::select! {
                ticket = context.gate.issue() => break ticket,
                Some(done) = state.under_way.join_next() => settle(done)?,
            }
        };
        let Some(ticket) = ticket else {
            myself.stop(Some(FINISHED.to_string()));
            return Ok(());
        };
        drop(span);
        context.meter.waited("sampler", waiting.elapsed());
        context.meter.trace.issued(&ticket);
        context.ahead.issued(ticket.id());
        let assignment = Assignment { ticket, context: context.clone(), capacity: state.capacity, track };
        let (engine, remote) = (state.engine.clone(), state.remote.clone());
        state.under_way.spawn(async move {
            let first = assignment.context.first.clone();
            let group = match remote {
                None => engine.run(|engine| assignment.compute(engine)).await,
                Some(remote) => assignment.ask(&engine, remote.as_ref()).await,
            };
            group.map(|group| first.forward(group))
        });
        myself.cast(Next)?;
        Ok(())
    }
}

/// What a request left behind. Only a crash concerns the actor: what it samples with may be broken.
fn settle(done: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    let done = done.unwrap_or_else(|error| Err(Failure::Crashed(error.to_string())));
    if done.is_err() {
        telemetry::stage_failed("sampler");
    }
    match done {
        Err(Failure::Refused(_)) => Ok(()),
        other => other,
    }
}
