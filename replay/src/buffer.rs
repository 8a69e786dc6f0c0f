//! The replay buffer: holds scored groups until a training step is complete.
//!
//! It never waits for a ticket that is dead, never trains on a group that is too old, and never splits a group.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    sync::Arc,
    task::Poll,
};

use crate::{
    FreshnessGate, GateConfig, Mode, PolicyVersion, RolloutGroup, RolloutId, TicketId,
    books::{Books, For},
    sync::{Mutex, lock},
};

/// The buffer of one run, between the reward stages and the learner. Cloning it gives another handle.
#[derive(Clone, Debug)]
pub struct ReplayBuffer {
    books: Arc<Books>,
    config: Arc<GateConfig>,
    shelves: Arc<Mutex<Shelves>>,
}

/// Groups by what decides about them, then by ticket: in fixed-lag mode the step that they belong to, in latest mode the
/// oldest version that they were sampled with. No shelf is empty.
type Shelves = BTreeMap<u64, BTreeMap<TicketId, RolloutGroup>>;

/// Why a group was not accepted. Its ticket has returned to the gate with this error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// A stage has removed all rollouts of the group. Look for it among your own stages; a group keeps at least one.
    #[error("{ticket}: the group has no rollouts")]
    Empty {
        /// The group's.
        ticket: TicketId,
    },
    /// No stage has judged this report. Put a reward stage behind every stage that adds or rewrites reports.
    #[error("{ticket}: rollout {rollout} has no reward")]
    NotScored {
        /// The group's.
        ticket: TicketId,
        /// Its place in the group.
        rollout: usize,
    },
    /// A reward is NaN or infinite. Look at the components of the reward, first of all at your own.
    #[error("{ticket}: the reward of rollout {rollout} is {total}, expected a finite number")]
    NotFinite {
        /// The group's.
        ticket: TicketId,
        /// Its place in the group.
        rollout: usize,
        /// The reward as it is.
        total: String,
    },
    /// A sampler answered with a version too many or too few. Look for it in your own sampler: `versions` is as long as
    /// `tokens`.
    #[error("{ticket}: rollout {rollout} has {tokens} tokens and {versions} policy versions, expected one per token")]
    Versions {
        /// The group's.
        ticket: TicketId,
        /// Its place in the group.
        rollout: usize,
        /// How many there are.
        tokens: usize,
        /// How many there are.
        versions: usize,
    },
    /// A sampler used other weights than it was given; in `fixed_lag` mode that would end the reproducibility of the
    /// run. Look for it in your own sampler: it reports the version of the policy in its request.
    #[error("{ticket}: rollout {rollout} was sampled with {found}, the ticket asked for {expected}")]
    WrongVersion {
        /// The group's.
        ticket: TicketId,
        /// Its place in the group.
        rollout: usize,
        /// The first version that is not allowed.
        found: PolicyVersion,
        /// The version that the ticket was issued with.
        expected: PolicyVersion,
    },
    /// A stage has added a rollout under an id that was taken. Take
    /// [`RolloutGroup::next_id`] for each new one.
    #[error("{ticket}: two rollouts have the id {id}; a stage that adds one takes the group's next id")]
    SameId {
        /// The group's.
        ticket: TicketId,
        /// The id that occurs twice.
        id: RolloutId,
    },
    /// A group of another run was pushed into this run's buffer. A program that embeds several runs keeps their groups
    /// apart.
    #[error("{ticket} was issued by another gate")]
    Foreign {
        /// The group's.
        ticket: TicketId,
    },
}

/// The groups of one training step, sorted by ticket. Dropping it returns every ticket to the gate.
#[derive(Debug)]
pub struct Batch {
    step: u64,
    groups: Vec<RolloutGroup>,
    dead: u64,
    /// Dropped after the groups.
    turn: Turn,
}

/// The right to train: there is never more than one batch out.
#[derive(Debug)]
struct Turn(Arc<Books>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.change_for_batch(|ledger| ledger.batch_out = false);
    }
}

/// The answer to an attempt to make a batch.
enum Attempt {
    Batch(Batch),
    Wait,
    Finished,
}

impl ReplayBuffer {
    /// The buffer that takes back what `gate` has issued; empty.
    pub fn new(gate: &FreshnessGate) -> Self {
        Self { books: gate.books.clone(), config: Arc::new(gate.config()), shelves: Arc::default() }
    }

    /// Takes a scored group.
    ///
    /// # Errors
    /// As [`ReplayBuffer::check`]. The ticket then returns to the gate with the error.
    pub fn push(&self, group: RolloutGroup) -> Result<(), PushError> {
        if let Err(error) = self.check(&group) {
            group.fail(&error);
            return Err(error);
        }
        let ticket = group.ticket.id();
        let shelf = match self.config.mode {
            Mode::FixedLag => self.config.step_of(ticket),
            Mode::Latest => group.oldest_version().0,
        };
        lock(&self.shelves).entry(shelf).or_default().insert(ticket, group);
        self.books.change_for_batch(|_| ());
        Ok(())
    }

    /// Whether the buffer would take the group.
    ///
    /// # Errors
    /// The group is empty or belongs to another run, two of its rollouts have the same id, a reward is missing or not
    /// finite, or a token was not sampled with a version that the ticket allows: in fixed-lag mode the one that it
    /// asked for, in latest mode that one or any that was published since. Where an earlier run is trained on again,
    /// those count that were published before the same step of it.
    pub fn check(&self, group: &RolloutGroup) -> Result<(), PushError> {
        let ticket = group.ticket.id();
        if !Arc::ptr_eq(&self.books, &group.ticket.books) {
            return Err(PushError::Foreign { ticket });
        }
        if group.rollouts.is_empty() {
            return Err(PushError::Empty { ticket });
        }
        let mut ids = BTreeSet::new();
        if let Some(twin) = group.rollouts.iter().find(|rollout| !ids.insert(rollout.id)) {
            return Err(PushError::SameId { ticket, id: twin.id });
        }
        let (follows, published) = self.books.read(|ledger| (ledger.follows(), ledger.version));
        let expected = if follows { PolicyVersion(0) } else { group.ticket.snapshot() };
        // A sampler may swap in a newer snapshot under way in latest mode, never an older one.
        let newest = match self.config.mode {
            Mode::FixedLag if follows => PolicyVersion(self.config.step_of(ticket)),
            Mode::FixedLag => expected,
            Mode::Latest => published,
        };
        for (rollout, member) in group.rollouts.iter().enumerate() {
            match &member.reward {
                None => return Err(PushError::NotScored { ticket, rollout }),
                Some(reward) if !reward.total.is_finite() => {
                    return Err(PushError::NotFinite { ticket, rollout, total: reward.total.to_string() });
                }
                Some(_) => {}
            }
            let versions = member.origin.versions();
            if member.is_sampled() && versions.len() != member.tokens.len() {
                let (tokens, versions) = (member.tokens.len(), versions.len());
                return Err(PushError::Versions { ticket, rollout, tokens, versions });
            }
            if let Some(&found) = versions.iter().find(|version| !(expected..=newest).contains(*version)) {
                return Err(PushError::WrongVersion { ticket, rollout, found, expected });
            }
        }
        Ok(())
    }

    /// Waits for the groups of the next step; `None` once all steps are done or the gate is closed.
    ///
    /// The batch may hold fewer groups than a step has tickets, even none: dead tickets leave their places empty.
    /// While a batch is out, no second one is handed out.
    pub async fn next_batch(&self) -> Option<Batch> {
        poll_fn(|cx| {
            self.books.watch(For::Batch, cx);
            match self.try_batch() {
                Attempt::Batch(batch) => Poll::Ready(Some(batch)),
                Attempt::Finished => Poll::Ready(None),
                Attempt::Wait => Poll::Pending,
            }
        })
        .await
    }

    /// The batch of the next step, if it is complete now.
    pub fn try_next_batch(&self) -> Option<Batch> {
        match self.try_batch() {
            Attempt::Batch(batch) => Some(batch),
            Attempt::Wait | Attempt::Finished => None,
        }
    }

    /// Groups waiting to be trained on.
    pub fn len(&self) -> usize {
        lock(&self.shelves).values().map(BTreeMap::len).sum()
    }

    /// Whether no group waits to be trained on.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops every group that waits; their tickets return to the gate.
    pub fn clear(&self) {
        let shelves = std::mem::take(&mut *lock(&self.shelves));
        drop(shelves);
    }

    fn try_batch(&self) -> Attempt {
        // Tickets of evicted groups return to the gate after both locks are released.
        let mut evicted = Vec::new();
        let attempt = {
            let mut shelves = lock(&self.shelves);
            let GateConfig { steps, staleness, mode, .. } = *self.config;
            let (version, batch_out, closed) =
                self.books.read(|ledger| (ledger.version, ledger.batch_out, ledger.closed));
            let step = version.0;
            if closed || step >= steps {
                Attempt::Finished
            } else if batch_out {
                Attempt::Wait
            } else {
                let chosen = match mode {
                    Mode::FixedLag => self.groups_of_step(&mut shelves, step),
                    Mode::Latest => {
                        evicted = evict(&mut shelves, version, staleness);
                        self.oldest_groups(&mut shelves)
                    }
                };
                match chosen {
                    Some((groups, dead)) => {
                        self.books.read(|ledger| ledger.batch_out = true);
                        let groups = groups.into_values().collect();
                        Attempt::Batch(Batch { step, groups, dead, turn: Turn(self.books.clone()) })
                    }
                    None => Attempt::Wait,
                }
            }
        };
        evicted.into_iter().for_each(|group| group.ticket.evict());
        attempt
    }

    /// Fixed lag: exactly the tickets [sB, (s+1)B), each of them ready or dead.
    fn groups_of_step(&self, shelves: &mut Shelves, step: u64) -> Option<Chosen> {
        let dead = self.books.read(|ledger| ledger.dead_in_step(step));
        let ready = shelves.get(&step).map_or(0, BTreeMap::len) as u64;
        (ready + dead == self.config.batch_groups).then(|| (shelves.remove(&step).unwrap_or_default(), dead))
    }

    /// Latest: dead tickets take their places first, then the groups sampled with the oldest versions.
    fn oldest_groups(&self, shelves: &mut Shelves) -> Option<Chosen> {
        let dead = self.books.read(|ledger| ledger.dead_to_place()).min(self.config.batch_groups);
        let places = (self.config.batch_groups - dead) as usize;
        if shelves.values().map(BTreeMap::len).sum::<usize>() < places {
            return None;
        }
        let mut chosen = BTreeMap::new();
        while chosen.len() < places {
            let mut shelf = shelves.first_entry()?;
            chosen.extend(shelf.get_mut().pop_first());
            if shelf.get().is_empty() {
                shelf.remove();
            }
        }
        Some((chosen, dead))
    }
}

/// The groups of a batch, and the places that dead tickets take in it.
type Chosen = (BTreeMap<TicketId, RolloutGroup>, u64);

/// Removes the groups whose version lags more than the bound.
fn evict(shelves: &mut Shelves, now: PolicyVersion, staleness: u64) -> Vec<RolloutGroup> {
    let fresh = shelves.split_off(&now.0.saturating_sub(staleness));
    std::mem::replace(shelves, fresh).into_values().flat_map(BTreeMap::into_values).collect()
}

impl Batch {
    /// The step that this batch is for, counting from zero; equal to the version it is trained under.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Sorted by ticket; may be fewer than a step has tickets, even none.
    pub fn groups(&self) -> &[RolloutGroup] {
        &self.groups
    }

    /// Places left empty by dead tickets.
    pub fn dead(&self) -> u64 {
        self.dead
    }

    /// How many versions each group lags behind the policy it is about to train.
    pub fn staleness(&self) -> impl Iterator<Item = u64> + '_ {
        let now = PolicyVersion(self.step);
        self.groups.iter().map(move |group| now.lag_of(group.oldest_version()))
    }

    /// Ends the tickets of all groups and publishes version step + 1. The new snapshot must be in place before.
    pub fn publish(self) -> PolicyVersion {
        let Self { groups, dead, turn, .. } = self;
        let trained: Vec<_> = groups.into_iter().filter_map(|group| group.ticket.retire()).collect();
        turn.0.publish(trained, dead)
    }
}
