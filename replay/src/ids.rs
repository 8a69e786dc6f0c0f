//! The counters that must never be confused with each other or with an index.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a ticket: the n of the freshness law. Tickets count from zero over the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TicketId(pub u64);

/// The version of the policy: how many training steps its adapter has seen. Version 0 is the initial adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyVersion(pub u64);

impl PolicyVersion {
    /// How many steps `self` is ahead of `older`; zero if it is not.
    pub fn lag_of(self, older: PolicyVersion) -> u64 {
        self.0.saturating_sub(older.0)
    }

    /// The version that one more step publishes.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The number of a rollout within its group. It stays with the rollout when others are added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutId(pub u64);

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rollout {}", self.0)
    }
}

impl fmt::Display for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ticket {}", self.0)
    }
}

impl fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}
