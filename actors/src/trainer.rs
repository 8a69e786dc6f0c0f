//! The learner and what it remembers between steps; it lives on the learner's compute thread for the whole run.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use addendum_replay::{GateState, GateStats, PolicyVersion};

use crate::{
    EngineError, Learner,
    checkpoint::Checkpoint,
    compute::{Failure, IntoFailure},
    divergence::Divergence,
    endurance::Endurance,
    identity::Identity,
    snapshots::Snapshots,
};

pub(crate) struct Trainer<S> {
    pub learner: Box<dyn Learner<S>>,
    /// What telemetry knows of the gate already.
    pub reported: GateStats,
    /// Panics in a row.
    pub panics: u32,
    pub endurance: Endurance,
    pub divergence: Divergence,
    /// When the last checkpoint was captured, or the run began.
    pub saved: Instant,
}

impl<S> Trainer<S> {
    pub fn new(learner: Box<dyn Learner<S>>) -> Self {
        Self {
            learner,
            reported: GateStats::default(),
            panics: 0,
            endurance: Endurance::default(),
            divergence: Divergence::default(),
            saved: Instant::now(),
        }
    }

    /// Everything that the run needs to continue from here. To be called between two steps.
    ///
    /// `gate` alone says which snapshots are needed: tickets may end meanwhile, but those that were open in it will be
    /// sampled again after a resume. So will those that died and were not trained past.
    pub fn capture(
        &self,
        identity: &Identity,
        gate: GateState,
        snapshots: &Snapshots<S>,
    ) -> Result<Checkpoint, Failure> {
        let write =
            |(version, snapshot): (PolicyVersion, Arc<S>)| Ok((version, self.learner.write_snapshot(&snapshot)?));
        let gate = gate.reopened();
        let needed = snapshots.needed(gate.oldest_needed(), gate.version);
        let snapshots = needed.into_iter().map(write).collect::<Result<_, _>>().map_err(EngineError::into_failure)?;
        let learner = self.learner.save().map_err(EngineError::into_failure)?;
        Ok(Checkpoint { identity: identity.clone(), gate, learner, snapshots })
    }

    /// Takes up where a checkpoint left off; the snapshots in it.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<BTreeMap<PolicyVersion, Arc<S>>, EngineError> {
        self.learner.restore(&checkpoint.learner)?;
        let read =
            |(version, bytes): (&PolicyVersion, &Vec<u8>)| Ok((*version, Arc::new(self.learner.read_snapshot(bytes)?)));
        checkpoint.snapshots.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use addendum_replay::{FreshnessGate, Issue, ReplayBuffer, RolloutGroup};

    use super::*;
    use crate::{RunConfig, StepStats};

    /// Its policy is a version number.
    struct Counter;

    impl Learner<u64> for Counter {
        fn step(&mut self, _: &[RolloutGroup]) -> Result<StepStats, EngineError> {
            Ok(StepStats::default())
        }

        fn snapshot(&self) -> Result<Arc<u64>, EngineError> {
            Ok(Arc::new(0))
        }

        fn save(&self) -> Result<Vec<u8>, EngineError> {
            Ok(Vec::new())
        }

        fn restore(&mut self, _: &[u8]) -> Result<(), EngineError> {
            Ok(())
        }

        fn write_snapshot(&self, snapshot: &u64) -> Result<Vec<u8>, EngineError> {
            Ok(snapshot.to_le_bytes().to_vec())
        }

        fn read_snapshot(&self, bytes: &[u8]) -> Result<u64, EngineError> {
            Ok(u64::from_le_bytes(bytes.try_into()?))
        }
    }

    #[test]
    fn a_ticket_that_dies_while_a_checkpoint_is_made_leaves_one_that_resumes() {
        let config = RunConfig { steps: 4, batch_groups: 1, staleness: 1, max_attempts: 1, ..RunConfig::default() };
        let identity = config.identity(4);
        let gate = FreshnessGate::new(config.gate(4)).unwrap();
        let buffer = ReplayBuffer::new(&gate);
        let next = || match gate.try_issue() {
            Issue::Ticket(ticket) => ticket,
            other => panic!("expected a ticket, got {other:?}"),
        };
        // Step 0 has no group; ticket 1 is out, and wants version 0 again should it return.
        next().fail("unreadable");
        let ticket = next();
        buffer.try_next_batch().unwrap().publish();
        let snapshots = Snapshots::new((0..=1).map(|version| (PolicyVersion(version), Arc::new(version))).collect());
        let before = gate.state();
        ticket.fail("unreadable");
        let after = gate.state();
        assert_eq!((before.dead.len(), after.dead.len()), (1, 2));
        for state in [before, after] {
            snapshots.forget_before(gate.oldest_needed());
            let checkpoint = Trainer::new(Box::new(Counter)).capture(&identity, state, &snapshots).unwrap();
            assert_eq!(checkpoint.gate.open.len(), 1, "the ticket is tried again");
            let resumed = FreshnessGate::resume(config.gate(4), checkpoint.gate).unwrap();
            let held: Vec<_> = checkpoint.snapshots.keys().copied().collect();
            assert_eq!(held, [resumed.oldest_needed(), resumed.version()]);
        }
    }
}
