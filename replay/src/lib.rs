//! Tickets, the freshness gate, rollout groups and the replay buffer.
//!
//! This crate decides *which* study is sampled *when*, with *which* policy version, and *which* groups make up a
//! training step. It knows nothing of models, rewards or actors: it can be driven by threads, by tasks of any
//! executor, or by hand.
//!
//! Its laws (each has a property test in `tests/`):
//!
//! 1. Freshness: ticket n is issued only once version ⌊n/B⌋ − η is published; nothing older than η is trained on.
//! 2. Conservation: every ticket ends exactly once, trained or dead-lettered; a dropped one is issued again. An attempt
//!    lost with its worker is not a failed one. One whose group is not worth a step is drawn again, with another study.
//! 3. Reproducibility: in [`Mode::FixedLag`] step s trains on tickets [sB, (s+1)B) sampled with version
//!    max(0, s − η), whatever the timing.
//! 5. Integrity: a group is never split over two steps.

#![forbid(unsafe_code)]

mod books;
mod buffer;
mod config;
mod gate;
mod group;
mod ids;
mod ledger;
mod order;
mod plan;
mod state;
mod stream;
mod sync;
mod ticket;

#[cfg(test)]
mod schedules;

pub use buffer::{Batch, PushError, ReplayBuffer};
pub use config::{ConfigError, GateConfig, Mode};
pub use gate::{FreshnessGate, Issue};
pub use group::{DropReason, Dropped, EditOperation, EditRecord, Origin, Rollout, RolloutGroup, Scored};
pub use ids::{PolicyVersion, RolloutId, TicketId};
pub use ledger::{Ending, GateStats};
pub use order::StudyOrder;
pub use plan::{Drawn, Plan};
pub use state::{DeadLetter, GateState, OpenTicket};
pub use stream::{Stream, stream};
pub use ticket::{Recall, Ticket};
