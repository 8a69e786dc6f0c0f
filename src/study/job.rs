//! What is to be done, each piece under a name that is made of everything that its result depends on.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use addendum_studies::{Folder, Split};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    report::run_folder::RunFolder,
    train::{
        data::DataConfig,
        placement::fingerprint,
        settings::{Flat, Settings},
        supervised::SftPlan,
    },
};

/// The subfolder of a job with a checkpoint, or with an adapter.
pub const CHECKPOINT: &str = "checkpoint";
pub const ADAPTER: &str = "adapter";

/// The file of a scoring: every report, as [`Line`](super::work::Line).
pub const REPORTS: &str = "reports.jsonl";

/// The file of a run: what was measured at each step.
pub const METRICS: &str = "metrics.jsonl";

/// The file of a run: scores on held-out studies on the way.
pub const EVALUATIONS: &str = "evaluations.jsonl";

/// Written last: a job without it is not done.
const DONE: &str = "done.json";

/// Where a policy comes from.
#[derive(Clone, Debug)]
pub enum Checkpoint {
    Folder { path: PathBuf, fingerprint: String },
    Taught(Arc<Job>),
}

/// What files hold that a result depends on, each read once.
#[derive(Debug, Default)]
pub struct Contents(RefCell<BTreeMap<PathBuf, String>>);

impl Contents {
    fn of(&self, path: &Path, read: impl FnOnce(&Path) -> Result<String>) -> Result<String> {
        if let Some(known) = self.0.borrow().get(path) {
            return Ok(known.clone());
        }
        let contents = read(path)?;
        self.0.borrow_mut().insert(path.into(), contents.clone());
        Ok(contents)
    }

    /// # Errors
    /// The folder cannot be read.
    pub fn checkpoint(&self, path: &Path) -> Result<Checkpoint> {
        Ok(Checkpoint::Folder { path: path.into(), fingerprint: self.of(path, fingerprint)? })
    }

    /// The studies of a job: a folder by the contents of its lists, wherever it is.
    fn studies(&self, data: &DataConfig) -> Result<String> {
        let Some(folder) = &data.folder else { return Ok(serde_json::to_string(data)?) };
        self.of(folder, |folder| {
            let mut lists = Sha256::new();
            for split in Split::ALL {
                let path = Folder::file(folder, split)?;
                lists.update(fs::read(&path).with_context(|| format!("{}: cannot be read", path.display()))?);
                lists.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            }
            if data.skip_bad {
                lists.update("skip_bad");
            }
            Ok(hexadecimal(&lists.finalize()))
        })
    }
}

impl Checkpoint {
    /// Where it is, or will be.
    pub fn path(&self, out: &Path) -> PathBuf {
        match self {
            Self::Folder { path, .. } => path.clone(),
            Self::Taught(job) => job.folder(out).join(CHECKPOINT),
        }
    }

    fn identity(&self) -> String {
        match self {
            Self::Folder { fingerprint, .. } => fingerprint.clone(),
            Self::Taught(job) => job.id.clone(),
        }
    }
}

/// The sets of held-out studies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sets {
    Validation,
    Tests,
}

#[derive(Clone, Debug)]
pub enum Work {
    /// A checkpoint by supervision of all weights, or of an adapter that is merged.
    Teach { from: Option<Checkpoint>, data: DataConfig, plan: SftPlan },
    /// An adapter by reinforcement.
    Reinforce { settings: Box<Settings>, start: Checkpoint, minutes: Option<f64> },
    /// An adapter, or a checkpoint, by supervision on the studies that reinforcement would see.
    Supervise { settings: Box<Settings>, start: Checkpoint, plan: SftPlan, minutes: Option<f64> },
    /// What the sampled reports of a reinforcement said.
    Look { settings: Box<Settings>, run: Arc<Job>, watch: Vec<String> },
    /// Reports on held-out studies, and what they are worth.
    Score { settings: Box<Settings>, start: Checkpoint, run: Option<Arc<Job>>, sets: Sets, temperature: f64 },
}

/// A piece of work.
#[derive(Debug)]
pub struct Job {
    /// Its folder's name.
    pub id: String,
    /// What it is, for people.
    pub about: String,
    pub(crate) work: Work,
}

/// What is told of a job when it is done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Done {
    /// Wall time that it took.
    pub seconds: f64,
}

impl Job {
    /// # Errors
    /// A list of studies that cannot be read.
    pub(crate) fn new(about: String, work: Work, contents: &Contents) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { id: id(&work, contents)?, about, work }))
    }

    /// The jobs whose results it takes.
    pub(crate) fn needs(&self) -> impl Iterator<Item = &Arc<Job>> {
        let (start, run) = match &self.work {
            Work::Teach { from, .. } => (from.as_ref(), None),
            Work::Reinforce { start, .. } | Work::Supervise { start, .. } => (Some(start), None),
            Work::Look { run, .. } => (None, Some(run)),
            Work::Score { start, run, .. } => (Some(start), run.as_ref()),
        };
        let taught = start.and_then(|start| match start {
            Checkpoint::Taught(job) => Some(job),
            Checkpoint::Folder { .. } => None,
        });
        taught.into_iter().chain(run)
    }

    /// Whether it makes weights, which takes the longest.
    pub fn trains(&self) -> bool {
        matches!(self.work, Work::Teach { .. } | Work::Reinforce { .. } | Work::Supervise { .. })
    }

    pub(crate) fn folder(&self, out: &Path) -> PathBuf {
        out.join("jobs").join(&self.id)
    }

    /// What was told when it was done, if it is.
    pub fn done(&self, out: &Path) -> Option<Done> {
        let bytes = fs::read(self.folder(out).join(DONE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Marks it as done; its files are written.
    ///
    /// # Errors
    /// The mark cannot be written.
    pub(crate) fn finish(&self, out: &Path, seconds: f64) -> Result<()> {
        RunFolder::open(self.folder(out))?.json(DONE, &Done { seconds })?;
        Ok(())
    }
}

fn id(work: &Work, contents: &Contents) -> Result<String> {
    let mut parts = BTreeMap::new();
    let mut put = |key: &str, value: String| drop(parts.insert(key.to_owned(), value));
    let kind = match work {
        Work::Teach { from, data, plan } => {
            put("from", from.as_ref().map_or_else(String::new, Checkpoint::identity));
            put("data", contents.studies(data)?);
            put("plan", serde_json::to_string(plan)?);
            "teach"
        }
        Work::Reinforce { settings, start, minutes } => {
            put("run", run(settings, contents)?);
            put("start", start.identity());
            put("minutes", format!("{minutes:?}"));
            "reinforce"
        }
        Work::Supervise { settings, start, plan, minutes } => {
            // The studies, their order and the policy's weights are the run's, the rest is the plan's.
            put("data", contents.studies(&settings.data)?);
            put("policy", some(settings, &["policy."])?);
            put("order", settings.run.seed.to_string());
            put("start", start.identity());
            put("plan", serde_json::to_string(plan)?);
            put("minutes", format!("{minutes:?}"));
            put("measured", serde_json::to_string(&(&settings.evaluation, settings.run.evaluate_every))?);
            "supervise"
        }
        Work::Look { run, watch, .. } => {
            put("run", run.id.clone());
            put("watch", serde_json::to_string(watch)?);
            "look"
        }
        Work::Score { settings, start, run, sets, temperature } => {
            put("start", start.identity());
            put("run", run.as_ref().map_or_else(String::new, |run| run.id.clone()));
            put("data", contents.studies(&settings.data)?);
            put("annotators", some(settings, &["policy.", "reward_models."])?);
            put("sets", serde_json::to_string(sets)?);
            put("temperature", temperature.to_string());
            put("longest", settings.evaluation.max_new_tokens.to_string());
            "score"
        }
    };
    let digest = Sha256::digest(serde_json::to_vec(&parts)?);
    Ok(format!("{kind}-{}", hexadecimal(&digest[..8])))
}

/// What decides about the adapter, and about what is measured on the way to it.
fn run(settings: &Settings, contents: &Contents) -> Result<String> {
    let run = &settings.run;
    let measured = (&settings.evaluation, run.evaluate_first, run.evaluate_every, run.recorded_groups);
    let parts = (settings.identity()?, run.steps, contents.studies(&settings.data)?, measured);
    Ok(serde_json::to_string(&parts)?)
}

/// Settings of these sections that decide about a result.
fn some(settings: &Settings, sections: &[&str]) -> Result<String> {
    let mut flat: Flat = settings.identity()?;
    flat.retain(|key, _| sections.iter().any(|section| key.starts_with(section)));
    Ok(serde_json::to_string(&flat)?)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
