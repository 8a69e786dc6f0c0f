//! The published policy versions that may still be sampled with, or wait to be evaluated.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use addendum_replay::PolicyVersion;

/// Snapshots by version; written by the learner, read by the samplers.
pub(crate) struct Snapshots<S>(Mutex<Kept<S>>);

struct Kept<S> {
    all: BTreeMap<PolicyVersion, Arc<S>>,
    /// Those that wait to be evaluated, however old they are.
    held: BTreeSet<PolicyVersion>,
}

impl<S> Snapshots<S> {
    pub fn new(snapshots: BTreeMap<PolicyVersion, Arc<S>>) -> Self {
        Self(Mutex::new(Kept { all: snapshots, held: BTreeSet::new() }))
    }

    fn kept(&self) -> MutexGuard<'_, Kept<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, version: PolicyVersion) -> Option<Arc<S>> {
        self.kept().all.get(&version).cloned()
    }

    /// Every version that there is, the oldest first.
    pub fn versions(&self) -> Vec<PolicyVersion> {
        self.kept().all.keys().copied().collect()
    }

    /// Every snapshot from `oldest` to `newest`, and those before that are held.
    pub fn needed(&self, oldest: PolicyVersion, newest: PolicyVersion) -> BTreeMap<PolicyVersion, Arc<S>> {
        let Kept { all, held } = &*self.kept();
        let needed = all.range(..=newest).filter(|(version, _)| **version >= oldest || held.contains(version));
        needed.map(|(version, snapshot)| (*version, snapshot.clone())).collect()
    }

    /// A snapshot that stays until it is released.
    pub fn hold(&self, version: PolicyVersion) -> Option<Arc<S>> {
        let mut kept = self.kept();
        let snapshot = kept.all.get(&version).cloned()?;
        kept.held.insert(version);
        Some(snapshot)
    }

    /// Ends what [`Snapshots::hold`] began.
    pub fn release(&self, version: PolicyVersion) {
        self.kept().held.remove(&version);
    }

    pub fn insert(&self, version: PolicyVersion, snapshot: Arc<S>) {
        self.kept().all.insert(version, snapshot);
    }

    /// Forgets everything older than `oldest` that is not held.
    pub fn forget_before(&self, oldest: PolicyVersion) {
        let Kept { all, held } = &mut *self.kept();
        all.retain(|version, _| *version >= oldest || held.contains(version));
    }
}
