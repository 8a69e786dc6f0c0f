//! The published policy versions that may still be sampled with.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use addendum_replay::PolicyVersion;

/// Snapshots by version; written by the learner, read by the samplers.
pub(crate) struct Snapshots<S>(Mutex<BTreeMap<PolicyVersion, Arc<S>>>);

impl<S> Snapshots<S> {
    pub fn new(snapshots: BTreeMap<PolicyVersion, Arc<S>>) -> Self {
        Self(Mutex::new(snapshots))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<PolicyVersion, Arc<S>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, version: PolicyVersion) -> Option<Arc<S>> {
        self.all().get(&version).cloned()
    }

    /// Every snapshot from `oldest` to `newest`.
    pub fn range(&self, oldest: PolicyVersion, newest: PolicyVersion) -> BTreeMap<PolicyVersion, Arc<S>> {
        self.all().range(oldest..=newest).map(|(version, snapshot)| (*version, snapshot.clone())).collect()
    }

    pub fn insert(&self, version: PolicyVersion, snapshot: Arc<S>) {
        self.all().insert(version, snapshot);
    }

    /// Forgets everything older than `oldest`.
    pub fn forget_before(&self, oldest: PolicyVersion) {
        let mut all = self.all();
        *all = all.split_off(&oldest);
    }
}
