//! The batches of an earlier run, for one that trains on the same groups again.

use crate::TicketId;

/// A group that a run trained on: which draw of which of its tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The ticket in the run that sampled it.
    pub ticket: TicketId,
    /// Which draw of its place it was, counted from zero.
    pub draw: u32,
    /// Index of the study in the training set.
    pub study: usize,
}

/// What an earlier run trained on, place by place.
///
/// A run that follows it is in [`Mode::FixedLag`](crate::Mode::FixedLag), whatever the earlier one was in: its ticket
/// sB + p is the p-th group of the earlier run's step s, with the random streams that the group had there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    batch_groups: u64,
    steps: Vec<Vec<Drawn>>,
}

impl Plan {
    /// The groups of every step, in the order of the batch; at most `batch_groups` each. Further ones are not followed.
    pub fn new(batch_groups: u64, steps: Vec<Vec<Drawn>>) -> Self {
        Self { batch_groups: batch_groups.max(1), steps }
    }

    /// How many steps there are.
    pub fn steps(&self) -> u64 {
        self.steps.len() as u64
    }

    /// What the earlier run trained on in the place of this ticket; `None` if the place was empty, because its ticket
    /// had died.
    pub fn place(&self, ticket: TicketId) -> Option<Drawn> {
        let step = self.steps.get(usize::try_from(ticket.0 / self.batch_groups).ok()?)?;
        step.get(usize::try_from(ticket.0 % self.batch_groups).ok()?).copied()
    }
}
