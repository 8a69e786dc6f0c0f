//! Sampling in fixed batches, where what shares a batch may change roundings, as on a GPU: each report must then share
//! its batch with the same others in every run of one seed.
//!
//! The tickets of a step are cut into blocks, by their numbers alone. A ticket is sampled together with the whole of its
//! block, all of which begin at the same time, and nothing joins them. Where the others' tickets are not at hand,
//! because another sampler has them, or they came back alone after a failure, or were trained on before a resume, their reports are
//! computed nevertheless, and thrown away. A place that is drawn again is sampled alone.

use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Instant};

use addendum_replay::{Issue, Ticket, TicketId};

use super::{
    assignment::{Assignment, Company},
    engine::Batch,
    under_way::{Joining, UnderWay, failed},
};
use crate::{
    compute::{Compute, Failure},
    context::Context,
};

/// With so many crashes a ticket is a suspect and sampled alone: the first may have been the device's fault.
const CRASHES: u32 = 2;

/// Dropping it drops the requests under way.
pub(crate) struct Fixed<S> {
    name: String,
    context: Arc<Context<S>>,
    /// Reads studies.
    reader: Compute<()>,
    /// That one batch holds.
    reports: usize,
    company: Company,
    under_way: UnderWay<S>,
}

impl<S: Send + Sync + 'static> Fixed<S> {
    pub fn new(
        index: usize,
        name: &str,
        context: Arc<Context<S>>,
        engine: Compute<Batch<S>>,
        reader: Compute<()>,
        reports: usize,
    ) -> Self {
        let under_way = UnderWay::new(index, context.clone(), engine);
        let company = Company::new(&context);
        Self { name: name.to_string(), context, reader, reports, company, under_way }
    }

    /// Samples a block, or goes on with it; whether there will be more.
    pub async fn turn(&mut self) -> Result<bool, Failure> {
        let mut joining = Vec::new();
        if self.under_way.is_empty() {
            let Some((block, tickets)) = self.gather().await else { return Ok(false) };
            joining = self.prepare(block, tickets).await?;
        }
        if !joining.is_empty() || !self.under_way.is_empty() {
            self.under_way.step(joining).await?;
        }
        Ok(true)
    }

    /// The numbers that a ticket is sampled with.
    fn block(&self, ticket: &Ticket) -> Range<u64> {
        let (id, groups) = (ticket.id().0, self.context.config.batch_groups);
        if ticket.draw() > 0 || self.context.suspects.crashes(ticket.id()) >= CRASHES {
            return id..id + 1;
        }
        let size = (self.reports / self.context.config.sampled(ticket.id())).max(1) as u64;
        let step = id - id % groups;
        let start = step + (id - step) / size * size;
        start..(start + size).min(step + groups)
    }

    /// A block, and those of its tickets that are to be had. All tickets of a step are issued as soon as one is.
    async fn gather(&self) -> Option<(Range<u64>, BTreeMap<TicketId, Ticket>)> {
        // One sampler at a time, so that they do not share out a block.
        let mut spare = self.context.gathering.lock().await;
        let waiting = Instant::now();
        let span = self.context.meter.trace.track(&self.name).span("waiting");
        let first = match spare.take() {
            Some(ticket) => ticket,
            None => self.context.gate.issue().await?,
        };
        drop(span);
        self.context.meter.waited("sampler", waiting.elapsed());
        let block = self.block(&first);
        let mut tickets = BTreeMap::from([(first.id(), first)]);
        while (tickets.len() as u64) < block.end - block.start
            && let Issue::Ticket(ticket) = self.context.gate.try_issue()
        {
            if self.block(&ticket) != block {
                *spare = Some(ticket);
                break;
            }
            tickets.insert(ticket.id(), ticket);
        }
        Some((block, tickets))
    }

    /// Reads the studies of a block. One that cannot be read is in no batch.
    async fn prepare(
        &mut self,
        block: Range<u64>,
        mut tickets: BTreeMap<TicketId, Ticket>,
    ) -> Result<Vec<Joining<S>>, Failure> {
        let Some(version) = tickets.values().next().map(Ticket::snapshot) else { return Ok(vec![]) };
        let mut joining = Vec::new();
        for id in block.map(TicketId) {
            let read = match tickets.remove(&id) {
                Some(ticket) => {
                    let read = Assignment::new(ticket, self.context.clone(), &self.name).prepare(&self.reader).await;
                    read.map(|(prepared, request)| Joining { id, prepared: Some(prepared), request })
                }
                None => {
                    let read = self.company.prepare(id, version, self.context.clone(), &self.reader).await;
                    read.map(|request| Joining { id, prepared: None, request })
                }
            };
            match read {
                Ok(request) => joining.push(request),
                Err(failure) => failed(failure)?,
            }
        }
        // Nothing is computed for nobody.
        Ok(if joining.iter().any(|request| request.prepared.is_some()) { joining } else { vec![] })
    }
}
