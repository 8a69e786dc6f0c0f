//! Sampling by waiting: several requests under way at somebody else's.

use std::{sync::Arc, time::Instant};

use tokio::task::{JoinError, JoinSet};

use super::{
    assignment::Assignment,
    engine::{Remote, answer},
};
use crate::{
    compute::{Compute, Failure},
    context::Context,
    telemetry,
};

/// Dropping it drops the requests under way.
pub(crate) struct Waiting<S> {
    name: String,
    context: Arc<Context<S>>,
    /// The thread that built what is waited for, and reads studies.
    engine: Compute<Remote<S>>,
    remote: Remote<S>,
    capacity: usize,
    under_way: JoinSet<Result<(), Failure>>,
}

impl<S: Send + Sync + 'static> Waiting<S> {
    pub async fn new(name: &str, context: Arc<Context<S>>, engine: Compute<Remote<S>>) -> Result<Self, Failure> {
        let (remote, capacity) = engine.run(|remote| Ok::<_, Failure>((remote.clone(), remote.capacity()))).await?;
        if capacity == 0 {
            return Err(Failure::Refused("the sampler's capacity is 0, expected at least 1".to_string()));
        }
        Ok(Self { name: name.to_string(), context, engine, remote, capacity, under_way: JoinSet::new() })
    }

    /// Asks for what the next ticket wants; whether there was one.
    pub async fn turn(&mut self) -> Result<bool, Failure> {
        let context = &self.context;
        while self.under_way.len() >= self.capacity {
            self.under_way.join_next().await.map_or(Ok(()), settle)?;
        }
        let waiting = Instant::now();
        let span = self.context.meter.trace.track(&self.name).span("waiting");
        let ticket = loop {
            tokio::select! {
                ticket = context.gate.issue() => break ticket,
                Some(done) = self.under_way.join_next() => settle(done)?,
            }
        };
        let Some(ticket) = ticket else { return Ok(false) };
        drop(span);
        context.meter.waited("sampler", waiting.elapsed());
        let assignment = Assignment::new(ticket, context.clone(), &self.name);
        let (context, engine, remote) = (context.clone(), self.engine.clone(), self.remote.clone());
        let capacity = self.capacity as f64;
        self.under_way.spawn(async move {
            let (prepared, request) = assignment.prepare(&engine).await?;
            let reports = match context.faults.strike_async("sampler").await {
                Ok(()) => answer(remote.as_ref(), request).await,
                Err(()) => Err(Failure::Refused("a fault was put at `sampler`".into())),
            };
            // One of several requests keeps the actor busy for its share of the time.
            context.meter.sampling(prepared.age().div_f64(capacity));
            context.first.forward(prepared.conclude(reports)?, &context.meter);
            Ok(())
        });
        Ok(true)
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
