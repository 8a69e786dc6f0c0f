//! When a run gets nowhere: how long it has trained on nothing, and how long it has learnt nothing.

use addendum_replay::Batch;

use crate::{RunConfig, RunError, StepRecord, checkpoint::Checkpoint};

/// What happened in a row until now. A resumed run begins to count anew.
#[derive(Default)]
pub(crate) struct Endurance {
    /// Tickets of the last steps, all of them dead.
    dead: u64,
    skipped: u64,
    /// The run as it was before these steps.
    before: Option<Box<Checkpoint>>,
}

impl Endurance {
    /// Whether `batch` would be the first of steps without groups: the time to keep a checkpoint.
    pub fn begins(&self, batch: &Batch) -> bool {
        batch.groups().is_empty() && self.dead == 0
    }

    pub fn keep(&mut self, checkpoint: Checkpoint) {
        self.before = Some(Box::new(checkpoint));
    }

    /// Whether the last steps had no groups. No checkpoint is written then, because a resume is to try their studies
    /// again.
    pub fn is_idle(&self) -> bool {
        self.dead > 0
    }

    /// How many tickets will have died in a row with this batch, if they are too many.
    pub fn too_many_dead(&self, batch: &Batch, config: &RunConfig) -> Option<u64> {
        let dead = self.dead + batch.dead();
        (batch.groups().is_empty() && dead >= config.max_dead_in_a_row).then_some(dead)
    }

    /// Gives up the checkpoint from which the run can be tried again.
    pub fn take(&mut self) -> Option<Box<Checkpoint>> {
        self.before.take()
    }

    /// Counts a step that was published.
    ///
    /// # Errors
    /// Too many in a row were skipped.
    pub fn count(&mut self, record: &StepRecord, dead: u64, config: &RunConfig) -> Result<(), RunError> {
        if record.groups == 0 {
            self.dead += dead;
            return Ok(());
        }
        (self.dead, self.before) = (0, None);
        self.skipped = if record.stats.skipped { self.skipped + 1 } else { 0 };
        if self.skipped >= config.max_skipped_in_a_row {
            return Err(RunError::Skipping { steps: self.skipped, last: Box::new(record.clone()) });
        }
        Ok(())
    }
}
