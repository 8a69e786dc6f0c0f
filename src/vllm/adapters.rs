//! Policy versions as PEFT folders that servers can load, by names that no other run uses for other weights.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use addendum_actors::Versioned;
use addendum_policy::Adapter;
use addendum_replay::PolicyVersion;
use tokio::{sync::OnceCell, task::spawn_blocking};

use super::VllmError;

/// A policy version that servers can load.
#[derive(Debug)]
pub(super) struct Published {
    pub version: PolicyVersion,
    pub weights: Arc<Adapter>,
    /// Of its contents: a server that has it under this name has these weights.
    pub name: String,
    /// The folder as servers call it.
    pub there: String,
    folder: PathBuf,
}

/// The published versions, written once each.
pub(super) struct Adapters {
    folder: PathBuf,
    there: PathBuf,
    base: String,
    /// Versions older than the newest by more than this are not asked for any more.
    staleness: u64,
    versions: Mutex<BTreeMap<PolicyVersion, Arc<OnceCell<Arc<Published>>>>>,
}

impl Adapters {
    pub fn new(folder: PathBuf, there: Option<PathBuf>, base: String, staleness: u64) -> Self {
        let there = there.unwrap_or_else(|| folder.clone());
        Self { folder, there, base, staleness, versions: Mutex::default() }
    }

    /// The version, written when it is asked for first.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub async fn publish(&self, policy: &Versioned<Adapter>) -> Result<Arc<Published>, VllmError> {
        let cell = self.versions().entry(policy.version).or_default().clone();
        let written = cell.get_or_try_init(|| async {
            let (folder, there, base, policy) =
                (self.folder.clone(), self.there.clone(), self.base.clone(), policy.clone());
            let write = move || {
                let bytes = policy.weights.to_bytes().map_err(|error| error.to_string())?;
                let name = format!("addendum-{:08x}-v{}", crc32fast::hash(&bytes), policy.version.0);
                let (path, unfinished) = (folder.join(&name), folder.join(format!(".{name}.unfinished")));
                if !path.is_dir() {
                    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
                    if unfinished.exists() {
                        fs::remove_dir_all(&unfinished).map_err(failed)?;
                    }
                    policy.weights.save_peft(&unfinished, &base).map_err(|error| error.to_string())?;
                    fs::rename(&unfinished, &path).map_err(failed)?;
                }
                let there = there.join(&name).display().to_string();
                Ok(Arc::new(Published { version: policy.version, weights: policy.weights, name, there, folder: path }))
            };
            let written: Result<_, String> = spawn_blocking(write).await.map_err(|error| error.to_string()).flatten();
            written.map_err(|reason| VllmError::Publish { reason })
        });
        Ok(written.await?.clone())
    }

    /// Takes those away that no ticket can ask for; should one be asked for nevertheless, it is written again.
    pub fn outdated(&self) -> Vec<Arc<Published>> {
        let mut versions = self.versions();
        let Some(newest) = versions.keys().next_back().copied() else { return Vec::new() };
        let first = PolicyVersion(newest.0.saturating_sub(self.staleness));
        let kept = versions.split_off(&first);
        let old = std::mem::replace(&mut *versions, kept);
        old.values().filter_map(|cell| cell.get().cloned()).collect()
    }

    fn versions(&self) -> std::sync::MutexGuard<'_, BTreeMap<PolicyVersion, Arc<OnceCell<Arc<Published>>>>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Published {
    /// Removes the folder, which no server needs any more.
    pub fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!("{}: {error}", self.folder.display());
        }
    }
}
