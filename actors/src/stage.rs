//! The public way into the chain: a stage receives a group, adds what it knows, and hands it on.
//!
//! ```
//! use addendum_actors::{Stage, StageError};
//! use addendum_replay::RolloutGroup;
//!
//! /// Takes a little reward away for every token beyond the hundredth.
//! struct LengthPenalty;
//!
//! impl Stage for LengthPenalty {
//!     fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
//!         for rollout in &mut group.rollouts {
//!             let excess = rollout.tokens.len().saturating_sub(100);
//!             let reward = rollout.reward.as_mut().ok_or("runs after the rewards")?;
//!             reward.total -= 0.001 * excess as f64;
//!         }
//!         Ok(())
//!     }
//! }
//! ```
//!
//! Put into the chain with `pipeline.stage("length_penalty", 1, || Ok(LengthPenalty))`, it is a pool of one actor under
//! the run's supervisor, with a compute thread, queue-wait metrics, restarts and retries like every other stage. Editor
//! and rewards are stages like this one. What waits more than it computes is an [`AsyncStage`]; a [`Pool`](crate::Pool)
//! says how a stage is run.

use addendum_replay::RolloutGroup;

/// Why a stage could not process a group. Any error or string converts into it.
pub type StageError = Box<dyn std::error::Error + Send + Sync>;

/// A link in the chain between samplers and replay.
///
/// Each actor of a stage's pool has its own instance, built on, and never leaving, its own compute thread. For a
/// reproducible run the outcome must depend on the group alone; random choices come from
/// [`Ticket::stream`](addendum_replay::Ticket::stream).
pub trait Stage: Send {
    /// Adds to, changes or removes rollouts of the group. One that is added takes the group's
    /// [`next_id`](RolloutGroup::next_id).
    ///
    /// # Errors
    /// The group is given up and its ticket is tried again, up to the run's number of attempts, then dead-lettered
    /// with this error. A panic does the same, and the instance is replaced by a new one.
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError>;
}

/// A link in the chain that waits for others, such as a service asked over HTTP.
///
/// One instance processes several groups at a time on the tokio runtime, so it must not block: computing belongs into a
/// [`Stage`]. For a reproducible run the outcome must depend on the group alone.
pub trait AsyncStage: Send + Sync {
    /// As [`Stage::process`]; an implementation is a plain `async fn`. The future is dropped at the stage's time limit,
    /// and with it whatever it has not done.
    ///
    /// # Errors
    /// As [`Stage::process`].
    fn process(&self, group: &mut RolloutGroup) -> impl Future<Output = Result<(), StageError>> + Send;
}

impl<T: Stage + ?Sized> Stage for Box<T> {
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        (**self).process(group)
    }
}
