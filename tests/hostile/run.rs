//! Checkpoints of runs.

use std::sync::LazyLock;

use addendum::{
    actors::{Faults, Identity, checkpoint::Checkpoint},
    policy::learner::LearnerState,
    replay::{FreshnessGate, GateConfig, Mode},
};

use crate::files::{self, Files};

static WHOLE: LazyLock<Files> = LazyLock::new(|| {
    let config = GateConfig {
        steps: 9,
        batch_groups: 1,
        staleness: 1,
        mode: Mode::FixedLag,
        studies: 3,
        seed: 1,
        max_attempts: 3,
        max_draws: 1,
    };
    let gate = FreshnessGate::new(config).expect("the gate is possible").state();
    let checkpoint = Checkpoint {
        identity: Identity::from([("run.seed".into(), "1".into())]),
        snapshots: [(gate.version, vec![4; 100])].into(),
        gate,
        learner: vec![1, 2, 3],
    };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    files::of(&checkpoint.write(folder.path(), &Faults::default()).expect("it can be written"))
});

pub fn seeds() -> Vec<Vec<u8>> {
    let learner = LearnerState { parameters: vec![1; 40], optimizer: vec![2; 20], steps: 3 };
    files::seeds(&WHOLE).into_iter().chain([learner.to_bytes()]).collect()
}

pub fn read(input: &[u8]) -> bool {
    let whole = files::with(&WHOLE, input, |folder| Checkpoint::read(folder).is_ok());
    LearnerState::from_bytes(input).is_ok() || whole
}
