//! The books of the gate: which tickets are where, and what may be issued next.
//!
//! A plain state machine without locks, wakers or time; [`FreshnessGate`](crate::FreshnessGate) shares it.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use crate::{
    ConfigError, DeadLetter, Drawn, GateConfig, GateState, Mode, OpenTicket, Plan, PolicyVersion, StudyOrder, TicketId,
};

/// What an issued ticket is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    pub id: TicketId,
    pub drawn: Drawn,
    pub last_draw: bool,
    pub attempt: u32,
    pub snapshot: PolicyVersion,
}

/// How a ticket comes back.
#[derive(Debug)]
pub(crate) enum Fate {
    /// Whoever held it said no, for this reason.
    Failed(String),
    /// Whoever held it is gone, and maybe not because of it.
    Lost,
    /// Its group grew too old.
    Evicted,
    /// Its group is not worth a step.
    Redrawn,
    /// For good.
    Trained,
}

/// What became of an attempt at a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// For good.
    Trained,
    /// Its group was not worth a step.
    Redrawn,
    /// Its group grew too old.
    Evicted,
    /// Whoever held it said no, for this reason.
    Failed(String),
    /// Whoever held it is gone.
    Lost,
    /// It has failed, or was lost, too often; the reason of the last time.
    Dead(String),
    /// The run is being shut down.
    Closed,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Permit(Permit),
    /// Nothing may be issued before something else happens.
    Wait,
    /// Nothing will ever be issued again.
    Finished,
}

/// Counts for telemetry; those of events start at zero at every start or resume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateStats {
    /// The newest published one.
    pub version: PolicyVersion,
    /// Tickets out of the gate: being sampled, in a stage, or waiting in the buffer.
    pub in_flight: u64,
    /// Issues of a ticket that had been issued before, evictions and redraws included.
    pub retries: u64,
    /// Groups that grew too old in the buffer.
    pub evictions: u64,
    /// Groups that were not worth a step and gave their places to other draws.
    pub redraws: u64,
    /// Tickets that failed, or were lost, too often, over the whole run.
    pub dead_letters: u64,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    pub config: GateConfig,
    order: StudyOrder,
    pub version: PolicyVersion,
    next: TicketId,
    in_flight: BTreeMap<TicketId, (PolicyVersion, OpenTicket)>,
    /// Tickets in flight by the version that they are sampled with.
    sampled_with: BTreeMap<PolicyVersion, u64>,
    returned: BTreeMap<TicketId, OpenTicket>,
    dead: BTreeMap<TicketId, DeadLetter>,
    dead_in_batches: u64,
    retries: u64,
    evictions: u64,
    redraws: u64,
    /// Whether a batch is out for training: there is never more than one.
    pub batch_out: bool,
    pub closed: bool,
}

impl Ledger {
    pub fn new(config: GateConfig) -> Result<Self, ConfigError> {
        let fresh = GateState {
            config: config.clone(),
            version: PolicyVersion(0),
            next: TicketId(0),
            open: BTreeMap::new(),
            dead: BTreeMap::new(),
            dead_in_batches: 0,
        };
        Self::resume(config, fresh)
    }

    pub fn resume(config: GateConfig, state: GateState) -> Result<Self, ConfigError> {
        state.validate(&config)?;
        Ok(Self {
            order: StudyOrder::new(config.seed, config.studies),
            version: state.version,
            next: state.next,
            in_flight: BTreeMap::new(),
            sampled_with: BTreeMap::new(),
            returned: state.open,
            dead: state.dead,
            dead_in_batches: state.dead_in_batches,
            retries: 0,
            evictions: 0,
            redraws: 0,
            batch_out: false,
            closed: false,
            config,
        })
    }

    /// Has tickets draw what an earlier run trained on.
    pub fn follow(&mut self, plan: Plan) {
        self.order = StudyOrder::new(self.config.seed, self.config.studies).following(Arc::new(plan));
    }

    /// Whether tickets draw what an earlier run trained on.
    pub fn follows(&self) -> bool {
        self.order.is_planned()
    }

    pub fn state(&self) -> GateState {
        let in_flight = self.in_flight.iter().map(|(id, (_, open))| (*id, open.clone()));
        GateState {
            config: self.config.clone(),
            version: self.version,
            next: self.next,
            open: self.returned.clone().into_iter().chain(in_flight).collect(),
            dead: self.dead.clone(),
            dead_in_batches: self.dead_in_batches,
        }
    }

    /// Returned tickets first, the oldest of them before the others; then the next fresh one if the freshness law
    /// lets it pass.
    pub fn issue(&mut self) -> Next {
        if self.closed || self.version.0 >= self.config.steps {
            return Next::Finished;
        }
        let (id, open) = match self.returned.pop_first() {
            Some((id, open)) => {
                self.retries += 1;
                (id, open)
            }
            None if self.next.0 >= self.config.tickets() => {
                return if self.in_flight.is_empty() { Next::Finished } else { Next::Wait };
            }
            None if self.config.required_version(self.next) > self.version => return Next::Wait,
            None => {
                let id = self.next;
                self.next = TicketId(id.0 + 1);
                (id, OpenTicket::default())
            }
        };
        let permit = Permit {
            id,
            drawn: self.order.drawn(id, open.draw),
            last_draw: self.follows() || open.draw + 1 >= self.config.max_draws,
            attempt: open.attempts + open.lost + 1,
            snapshot: self.snapshot(id),
        };
        self.in_flight.insert(id, (permit.snapshot, open));
        *self.sampled_with.entry(permit.snapshot).or_default() += 1;
        Next::Permit(permit)
    }

    fn snapshot(&self, id: TicketId) -> PolicyVersion {
        match self.config.mode {
            Mode::FixedLag => self.config.required_version(id),
            Mode::Latest => self.version,
        }
    }

    /// Takes a ticket back from wherever it was dropped; `None` if it was not out.
    pub fn settle(&mut self, id: TicketId, fate: Fate) -> Option<Ending> {
        let (version, mut open) = self.in_flight.remove(&id)?;
        if let Entry::Occupied(mut count) = self.sampled_with.entry(version) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        let (ending, last) = match fate {
            Fate::Trained => return Some(Ending::Trained),
            Fate::Evicted => {
                self.evictions += 1;
                (Ending::Evicted, false)
            }
            Fate::Redrawn => {
                self.redraws += 1;
                open = OpenTicket { draw: open.draw + 1, ..OpenTicket::default() };
                (Ending::Redrawn, false)
            }
            // What comes back while the run is being shut down has neither failed nor been lost.
            Fate::Failed(_) | Fate::Lost if self.closed => (Ending::Closed, false),
            Fate::Failed(error) => {
                open.attempts += 1;
                open.last_error = Some(error.clone());
                (Ending::Failed(error), open.attempts >= self.config.max_attempts)
            }
            Fate::Lost => {
                open.lost += 1;
                open.last_error = Some("the worker that held it is gone".to_string());
                (Ending::Lost, open.lost >= self.config.max_losses())
            }
        };
        if last {
            let OpenTicket { draw, attempts, lost, last_error } = open;
            let study = self.order.study_of(id, draw);
            let error = last_error.unwrap_or_default();
            self.dead.insert(id, DeadLetter { study, attempts, lost, error: error.clone() });
            return Some(Ending::Dead(error));
        }
        self.returned.insert(id, open);
        Some(ending)
    }

    /// Dead tickets among those of one step.
    pub fn dead_in_step(&self, step: u64) -> u64 {
        let batch = self.config.batch_groups;
        self.dead.range(TicketId(step * batch)..TicketId((step + 1) * batch)).count() as u64
    }

    /// Dead tickets that have not taken their place in a batch yet (of any step).
    pub fn dead_to_place(&self) -> u64 {
        self.dead.len() as u64 - self.dead_in_batches
    }

    pub fn publish(&mut self, dead_in_batch: u64) -> PolicyVersion {
        self.version = self.version.next();
        self.dead_in_batches += dead_in_batch;
        self.version
    }

    /// The oldest version that a ticket may still be sampled with, should the run be given more steps too.
    pub fn oldest_needed(&self) -> PolicyVersion {
        // No ticket asks for an older version than the one before it.
        let returned = self.returned.first_key_value().map(|(id, _)| self.snapshot(*id));
        // In fixed-lag mode an in-flight ticket may come back and ask for the same version again.
        let in_flight = self.sampled_with.first_key_value().map(|(version, _)| *version);
        // All tickets that may ask for the newest version may be dead; it is needed nevertheless, to go on from.
        let newest = self.snapshot(self.next).min(self.version);
        // A dead one whose place is not trained past is open again after a resume.
        let first_untrained = TicketId(self.version.0 * self.config.batch_groups);
        let dead = self.dead.range(first_untrained..).next().map(|(id, _)| self.snapshot(*id));
        [returned, in_flight, dead].into_iter().flatten().fold(newest, PolicyVersion::min)
    }

    pub fn dead_letters(&self) -> &BTreeMap<TicketId, DeadLetter> {
        &self.dead
    }

    pub fn stats(&self) -> GateStats {
        GateStats {
            version: self.version,
            in_flight: self.in_flight.len() as u64,
            retries: self.retries,
            evictions: self.evictions,
            redraws: self.redraws,
            dead_letters: self.dead.len() as u64,
        }
    }
}
