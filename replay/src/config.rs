//! What the gate and the buffer must know of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{PolicyVersion, TicketId};

/// Which snapshot a ticket is sampled with and which groups a step trains on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Ticket n is sampled with version max(0, ⌊n/B⌋ − η), step s trains on tickets [sB, (s+1)B): reproducible.
    #[default]
    FixedLag,
    /// Tickets are sampled with the newest version, batches are made oldest first: fresher, not reproducible.
    Latest,
}

/// The shape of a run, as far as tickets are concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateConfig {
    /// Training steps of the whole run.
    pub steps: u64,
    /// Groups (tickets) per training step: B.
    pub batch_groups: u64,
    /// The staleness bound in policy versions: η. Zero is synchronous training.
    pub staleness: u64,
    /// What is given up for fresher weights, or not.
    pub mode: Mode,
    /// Studies of the training set; tickets run through seeded shuffles of it, one per epoch.
    pub studies: usize,
    /// Decides the order of studies and every ticket's random stream.
    pub seed: u64,
    /// Failed attempts after which a ticket is dead-lettered. Lost ones have a bound of their own:
    /// [`GateConfig::max_losses`].
    pub max_attempts: u32,
    /// Draws of a study for one place in a batch, the first included: a group that is not worth a step gives its place
    /// to another draw, up to the last one. One never draws again.
    #[serde(default = "default_max_draws")]
    pub max_draws: u32,
}

/// Of runs that say nothing about it, such as those saved when there was one draw only.
fn default_max_draws() -> u32 {
    GateConfig::DEFAULT_MAX_DRAWS
}

/// A healthy study may be lost with a killed worker now and then, one that takes its worker with it always is.
const LOSSES_PER_ATTEMPT: u32 = 10;

/// Why a [`GateConfig`] or a saved [`GateState`](crate::GateState) was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value that is at least 1 was set to 0. Set it.
    #[error("`{field}` is 0, expected at least 1")]
    Zero {
        /// Its name.
        field: &'static str,
    },
    /// The run would have more groups than can be counted. Ask for fewer steps.
    #[error("steps × batch_groups = {steps} × {batch_groups} does not fit into 64 bits")]
    TooManyTickets {
        /// As they were set.
        steps: u64,
        /// As they were set.
        batch_groups: u64,
    },
    /// A run was to train on the recorded groups of another one, which is not possible with this value. Set the expected
    /// one.
    #[error("`{field}` is {is}, but the run trains on recorded groups: expected {expected}")]
    Planned {
        /// Its name.
        field: &'static str,
        /// As it was set.
        is: String,
        /// What would do.
        expected: String,
    },
    /// A run was to be resumed with another value of something that decides what it computes. Set the saved value, or
    /// start a new run in another folder.
    #[error("the saved run has `{field}` = {saved}, this one {expected}: resume with the saved value")]
    Mismatch {
        /// Its name.
        field: &'static str,
        /// What the checkpoint says.
        saved: String,
        /// What this run says.
        expected: String,
    },
    /// The checkpoint contradicts itself: it was changed by hand, or written by a faulty version. Resume from an older
    /// one.
    #[error("the saved gate state is inconsistent: {reason}")]
    Inconsistent {
        /// What is impossible about it.
        reason: String,
    },
}

impl GateConfig {
    /// [`GateConfig::max_draws`] unless said otherwise.
    pub const DEFAULT_MAX_DRAWS: u32 = 10;

    /// # Errors
    /// Names the first field that is zero where it must not be, or an overflow of the ticket count.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let zero = |field| Err(ConfigError::Zero { field });
        match self {
            Self { steps: 0, .. } => zero("steps"),
            Self { batch_groups: 0, .. } => zero("batch_groups"),
            Self { studies: 0, .. } => zero("studies"),
            Self { max_attempts: 0, .. } => zero("max_attempts"),
            Self { max_draws: 0, .. } => zero("max_draws"),
            Self { steps, batch_groups, .. } if steps.checked_mul(*batch_groups).is_none() => {
                Err(ConfigError::TooManyTickets { steps: *steps, batch_groups: *batch_groups })
            }
            _ => Ok(()),
        }
    }

    /// Lost attempts after which a ticket is dead-lettered: ten for each one that may fail.
    pub fn max_losses(&self) -> u32 {
        self.max_attempts.saturating_mul(LOSSES_PER_ATTEMPT)
    }

    /// All tickets of the run: one per group of each step.
    pub fn tickets(&self) -> u64 {
        self.steps * self.batch_groups
    }

    /// The step that a ticket belongs to: ⌊n/B⌋.
    pub fn step_of(&self, ticket: TicketId) -> u64 {
        ticket.0 / self.batch_groups
    }

    /// The version that must be published before a ticket may be issued: max(0, ⌊n/B⌋ − η).
    pub fn required_version(&self, ticket: TicketId) -> PolicyVersion {
        PolicyVersion(self.step_of(ticket).saturating_sub(self.staleness))
    }
}
