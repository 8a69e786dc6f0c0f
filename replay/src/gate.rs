//! The freshness gate: issues tickets no faster than versions are published, and takes dropped ones back.
//!
//! It holds no rollouts and no weights. It may be shared by any number of threads and tasks of any executor.

use std::{collections::BTreeMap, future::poll_fn, sync::Arc, task::Poll};

use crate::{
    ConfigError, DeadLetter, GateConfig, GateState, GateStats, Mode, Plan, PolicyVersion, Ticket, TicketId,
    books::{Books, For, Witness},
    ledger::{Ending, Fate, Ledger, Next, Permit},
};

/// The gate of one run. Cloning it gives another handle to the same gate.
#[derive(Clone, Debug)]
pub struct FreshnessGate {
    pub(crate) books: Arc<Books>,
}

/// The answer to [`FreshnessGate::try_issue`].
#[derive(Debug)]
pub enum Issue {
    /// A ticket that may be sampled now.
    Ticket(Ticket),
    /// Ask again after a publication or the return of a ticket.
    Wait,
    /// No ticket will ever be issued again.
    Finished,
}

impl FreshnessGate {
    /// # Errors
    /// The configuration is invalid.
    pub fn new(config: GateConfig) -> Result<Self, ConfigError> {
        Ledger::new(config).map(Self::with)
    }

    /// Continues from a checkpoint; tickets that were open then are issued again before any other.
    ///
    /// # Errors
    /// The configuration is invalid, or the state is inconsistent or belongs to a different run.
    pub fn resume(config: GateConfig, state: GateState) -> Result<Self, ConfigError> {
        Ledger::resume(config, state).map(Self::with)
    }

    /// The same gate for a run that trains on what an earlier one did: tickets draw what the plan says. Call it before the
    /// first ticket is issued.
    ///
    /// # Errors
    /// The run is not in fixed-lag mode, or has more steps than the plan.
    pub fn following(self, plan: Plan) -> Result<Self, ConfigError> {
        self.books.read(|ledger| {
            let GateConfig { steps, mode, .. } = ledger.config;
            if mode != Mode::FixedLag {
                return Err(ConfigError::Planned { field: "mode", is: "latest".into(), expected: "fixed_lag".into() });
            }
            if steps > plan.steps() {
                let expected = format!("at most {}, as many as were recorded", plan.steps());
                return Err(ConfigError::Planned { field: "steps", is: steps.to_string(), expected });
            }
            ledger.follow(plan);
            Ok(())
        })?;
        Ok(self)
    }

    fn with(ledger: Ledger) -> Self {
        Self { books: Arc::new(Books::new(ledger)) }
    }

    /// A ticket, if one may be issued now.
    pub fn try_issue(&self) -> Issue {
        let (next, seed) = self.books.read(|ledger| (ledger.issue(), ledger.config.seed));
        match next {
            Next::Permit(Permit { id, drawn, last_draw, attempt, snapshot }) => Issue::Ticket(Ticket {
                id,
                drawn,
                last_draw,
                attempt,
                snapshot,
                seed,
                fate: Fate::Lost,
                books: self.books.clone(),
                settled: Arc::default(),
            }),
            Next::Wait => Issue::Wait,
            Next::Finished => Issue::Finished,
        }
    }

    /// Waits for the next ticket; `None` once no ticket will ever be issued again.
    pub async fn issue(&self) -> Option<Ticket> {
        poll_fn(|cx| {
            self.books.watch(For::Ticket, cx);
            match self.try_issue() {
                Issue::Ticket(ticket) => Poll::Ready(Some(ticket)),
                Issue::Finished => Poll::Ready(None),
                Issue::Wait => Poll::Pending,
            }
        })
        .await
    }

    /// Has `tell` told of every ticket that ends or comes back, before it can be issued again. It must neither block nor
    /// ask this gate anything. There is one witness; later ones are not heard.
    pub fn witness(&self, tell: impl Fn(TicketId, Ending) + Send + Sync + 'static) {
        self.books.set_witness(Witness(Box::new(tell)));
    }

    /// Ends the run early: nothing more is issued or batched, and tickets that come back from now on have not failed.
    pub fn close(&self) {
        self.books.change(|ledger| ledger.closed = true);
    }

    /// The newest published version.
    pub fn version(&self) -> PolicyVersion {
        self.books.read(|ledger| ledger.version)
    }

    /// The oldest version that a ticket may still be sampled with, the newest at the latest; older snapshots can be
    /// dropped.
    pub fn oldest_needed(&self) -> PolicyVersion {
        self.books.read(|ledger| ledger.oldest_needed())
    }

    /// Tickets that failed, or were lost, too often, each with its last error.
    pub fn dead_letters(&self) -> BTreeMap<TicketId, DeadLetter> {
        self.books.read(|ledger| ledger.dead_letters().clone())
    }

    /// What has been counted so far.
    pub fn stats(&self) -> GateStats {
        self.books.read(|ledger| ledger.stats())
    }

    /// What a checkpoint must keep. Take it between two steps, after [`Batch::publish`](crate::Batch::publish).
    pub fn state(&self) -> GateState {
        self.books.read(|ledger| ledger.state())
    }

    /// As it was given, or saved.
    pub fn config(&self) -> GateConfig {
        self.books.read(|ledger| ledger.config.clone())
    }
}
