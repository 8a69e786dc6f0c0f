//! Sampling by computing many requests together: tickets join while others are under way.
//!
//! A ticket is taken when there is room for it. Its study is read on a thread of its own, while those under way go on.

use std::{sync::Arc, time::Instant};

use addendum_replay::Issue;
use tokio::task::JoinSet;

use super::{
    assignment::{Assignment, Prepared, Read},
    engine::Batch,
    under_way::{Joining, UnderWay, failed},
};
use crate::{
    Request,
    compute::{Compute, Failure},
    context::Context,
};

/// Dropping it drops the requests under way.
pub(crate) struct Batching<S> {
    name: String,
    context: Arc<Context<S>>,
    /// Reads studies.
    reader: Compute<()>,
    /// At most one study that is being read.
    reading: JoinSet<Read<S>>,
    /// What was read and waits until it is alone.
    next: Option<(Prepared<S>, Request<S>)>,
    under_way: UnderWay<S>,
}

impl<S: Send + Sync + 'static> Batching<S> {
    pub fn new(
        index: usize,
        name: &str,
        context: Arc<Context<S>>,
        engine: Compute<Batch<S>>,
        reader: Compute<()>,
    ) -> Self {
        let under_way = UnderWay::new(index, context.clone(), engine);
        Self { name: name.to_string(), context, reader, reading: JoinSet::new(), next: None, under_way }
    }

    /// Takes a ticket if there is room for one, and computes a step for those under way; whether there will be more.
    /// Waits for a ticket, or its study, only when there is nothing to compute.
    pub async fn turn(&mut self) -> Result<bool, Failure> {
        if self.may_take() {
            match self.ticket().await {
                Issue::Ticket(ticket) => {
                    let (assignment, reader) =
                        (Assignment::new(ticket, self.context.clone(), &self.name), self.reader.clone());
                    self.reading.spawn(async move { assignment.prepare(&reader).await });
                }
                Issue::Wait => {}
                Issue::Finished => return Ok(false),
            }
        }
        self.look_at_what_was_read().await?;
        // A suspect is sampled alone.
        let alone = self.under_way.is_empty();
        let suspects = &self.context.suspects;
        let joining = self.next.take_if(|(next, _)| alone || suspects.crashes(next.ticket().id()) == 0);
        let joining = joining.map(|(prepared, request)| {
            let id = prepared.ticket().id();
            Joining { id, prepared: Some(prepared), request }
        });
        if joining.is_some() || !alone {
            self.under_way.step(Vec::from_iter(joining)).await?;
        }
        Ok(true)
    }

    fn may_take(&self) -> bool {
        let room = self.under_way.has_room() && !self.under_way.is_suspected();
        room && self.reading.is_empty() && self.next.is_none()
    }

    async fn ticket(&self) -> Issue {
        if !self.under_way.is_empty() {
            return self.context.gate.try_issue();
        }
        let waiting = Instant::now();
        let span = self.context.meter.trace.track(&self.name).span("waiting");
        let ticket = self.context.gate.issue().await;
        drop(span);
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
}
