//! What a checkpoint keeps of the gate.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{ConfigError, GateConfig, Mode, PolicyVersion, TicketId};

/// A ticket that was issued and has not ended: in flight, in the buffer, or returned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTicket {
    /// Which draw of its place it is, counted from zero.
    #[serde(default)]
    pub draw: u32,
    /// Failed attempts of this draw so far.
    pub attempts: u32,
    /// Attempts that were lost with the worker that held them.
    #[serde(default)]
    pub lost: u32,
    /// Of the last attempt that failed; `None` if none has.
    pub last_error: Option<String>,
}

/// A ticket that failed, or was lost, too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Index in the training set of the study that was drawn last.
    pub study: usize,
    /// Failed attempts.
    pub attempts: u32,
    /// Attempts that were lost with the worker that held them.
    #[serde(default)]
    pub lost: u32,
    /// The error of the last attempt.
    pub error: String,
}

impl fmt::Display for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "study {} failed {} times", self.study, self.attempts)?;
        if self.lost > 0 {
            write!(f, " and was lost {} times", self.lost)?;
        }
        write!(f, ", at last with: {}", self.error)
    }
}

/// The gate, frozen between two steps. Tickets below `next` that are neither open nor dead have been trained on.
///
/// Rollouts are not part of it: tickets in flight are open again after a resume and are sampled anew, in
/// [`Mode::FixedLag`] with the same outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateState {
    /// What the saved run was started with; what counts on resume is compared.
    pub config: GateConfig,
    /// The newest published version, which is also the number of finished steps.
    pub version: PolicyVersion,
    /// The first ticket that was never issued.
    pub next: TicketId,
    /// Tickets that were issued and have neither been trained on nor died.
    pub open: BTreeMap<TicketId, OpenTicket>,
    /// Tickets that failed, or were lost, too often.
    pub dead: BTreeMap<TicketId, DeadLetter>,
    /// Dead tickets that already took a place in a finished batch.
    pub dead_in_batches: u64,
}

impl GateState {
    /// The oldest version that a ticket may still be sampled with after a resume; the newest one if there is no such
    /// ticket.
    pub fn oldest_needed(&self) -> PolicyVersion {
        let oldest = self.open.keys().next().copied().unwrap_or(self.next);
        match self.config.mode {
            Mode::FixedLag => self.config.required_version(oldest).min(self.version),
            Mode::Latest => self.version,
        }
    }

    /// The same with every dead ticket whose place was not trained past open again, as if it had never been tried: what
    /// killed it may be over after a resume.
    pub fn reopened(mut self) -> Self {
        let again: Vec<TicketId> = match self.config.mode {
            Mode::FixedLag => self.dead.range(self.first_untrained()..).map(|(id, _)| *id).collect(),
            // Any dead ticket takes any place.
            Mode::Latest => {
                let waiting = (self.dead.len() as u64).saturating_sub(self.dead_in_batches);
                self.dead.keys().rev().take(waiting as usize).copied().collect()
            }
        };
        for id in again {
            self.dead.remove(&id);
            self.open.insert(id, OpenTicket::default());
        }
        self
    }

    /// The first ticket of the step that comes next.
    fn first_untrained(&self) -> TicketId {
        TicketId(self.version.0 * self.config.batch_groups)
    }

    /// Checks the state against itself and against the configuration of the run that wants to resume it. The number
    /// of steps and of attempts may change between the two, everything else that decides about tickets may not.
    pub(crate) fn validate(&self, config: &GateConfig) -> Result<(), ConfigError> {
        config.validate()?;
        let saved = &self.config;
        same("batch_groups", saved.batch_groups, config.batch_groups)?;
        same("staleness", saved.staleness, config.staleness)?;
        same("mode", format!("{:?}", saved.mode), format!("{:?}", config.mode))?;
        same("studies", saved.studies, config.studies)?;
        same("seed", saved.seed, config.seed)?;
        same("max_draws", saved.max_draws, config.max_draws)?;

        let inconsistent = |reason: String| Err(ConfigError::Inconsistent { reason });
        if self.version.0 > config.steps {
            return inconsistent(format!("{} steps are done, only {} are asked for", self.version.0, config.steps));
        }
        let total = config.tickets();
        if self.next.0 > total {
            return inconsistent(format!("{} tickets were issued, the run has {total}", self.next.0));
        }
        for id in self.open.keys().chain(self.dead.keys()) {
            if *id >= self.next {
                return inconsistent(format!("{id} is open or dead but was never issued"));
            }
        }
        if let Some((id, open)) = self.open.iter().find(|(_, open)| open.draw >= config.max_draws) {
            let (draws, most) = (u64::from(open.draw) + 1, config.max_draws);
            return inconsistent(format!("{id} was drawn {draws} times, the run allows {most}"));
        }
        if let Some(id) = self.open.keys().find(|id| self.dead.contains_key(id)) {
            return inconsistent(format!("{id} is both open and dead"));
        }
        let first_open = self.first_untrained().0;
        let counted = match config.mode {
            Mode::FixedLag => self.dead.keys().filter(|id| id.0 < first_open).count() as u64,
            Mode::Latest => self.dead.len() as u64,
        };
        if self.dead_in_batches > counted {
            return inconsistent(format!("{} dead tickets were counted, {counted} exist", self.dead_in_batches));
        }
        let trained = self.next.0 - (self.open.len() + self.dead.len()) as u64;
        if trained + self.dead_in_batches != first_open {
            return inconsistent(format!(
                "{} steps of {} groups are done, but {trained} tickets were trained on and {} dead ones counted",
                self.version.0, config.batch_groups, self.dead_in_batches
            ));
        }
        Ok(())
    }
}

fn same<T: PartialEq + ToString>(field: &'static str, saved: T, expected: T) -> Result<(), ConfigError> {
    if saved == expected {
        return Ok(());
    }
    Err(ConfigError::Mismatch { field, saved: saved.to_string(), expected: expected.to_string() })
}
