//! Timing the neural rewards at the sizes of the published models.
//!
//! Scores are worthless, because the weights are random; what they cost is not.

mod models;
mod texts;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use addendum::{host, train::reward_models::Weights};
use addendum_rewards::{Backends, RewardConfig, Scorer};
use anyhow::{Context, Result, bail};
use clap::Args;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    clock::timed,
    counts::{at_least_one, cores},
};
use texts::{Group, Language};

/// A benchmark of rewards.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Rewards {
    /// Groups per repetition; each has a reference of its own.
    #[arg(long, default_value_t = 4, value_parser = at_least_one)]
    groups: usize,
    /// Reports that are scored against one reference.
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    group_size: usize,
    /// Threads that score groups; all cores without it.
    #[arg(long, value_parser = at_least_one)]
    threads: Option<usize>,
    /// Timed repetitions, after a report that is not.
    #[arg(long, default_value_t = 3, value_parser = at_least_one)]
    repeat: usize,
    /// Where the models (1.6 GB) and the reports are written, or are from an earlier run; a temporary folder without it.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// The components, each timed alone.
const COMPONENTS: [&str; 2] = ["chexbert", "rate"];

impl Rewards {
    /// Runs the benchmark; returns its report, a JSON object.
    ///
    /// # Errors
    /// A folder that cannot be written or read; a failure while computing.
    pub fn run(&self) -> Result<Value> {
        let temporary = tempfile::tempdir()?;
        let folder = self.folder.as_deref().unwrap_or(temporary.path());
        let groups = self.prepare(folder)?;
        let threads = self.threads.map_or_else(cores, Ok)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let models = weights(folder).load()?;
        let rate = models.rate.context("the folder has RaTEScore's models")?;
        // An extractor and a scorer of its own for every repetition, so that nothing is known from before.
        let backends = || Backends { entities: Arc::new(rate.for_score()), ..models.scoring.clone() };
        let entities = entities_per_sentence(&backends(), &groups[0])?;
        let mut seconds = COMPONENTS.map(|_| Vec::new());
        for _ in 0..self.repeat {
            for (component, seconds) in COMPONENTS.into_iter().zip(&mut seconds) {
                let config = RewardConfig { weights: [(component.to_string(), 1.)].into(), ..RewardConfig::default() };
                let scorer = Scorer::new(backends(), &config)?;
                let (scored, time) = timed(|| pool.install(|| score(&scorer, &groups)));
                scored?;
                seconds.push(time);
            }
        }
        let pairs = (self.groups * self.group_size) as f64;
        let per_pair: BTreeMap<_, _> =
            COMPONENTS.iter().zip(&seconds).map(|(name, seconds)| (name, median(seconds) / pairs)).collect();
        let total: f64 = per_pair.values().sum();
        Ok(json!({
            "bench": "rewards",
            "pairs_per_second": 1. / total,
            "seconds_per_pair": total,
            "split": per_pair,
            "entities_per_sentence": entities,
            "peak_rss_bytes": host::peak_resident(),
            "cpu": host::cpu_model(),
            "threads": threads,
            "config": self,
        }))
    }

    /// The groups of a folder, which are made, with the models, where there are none.
    fn prepare(&self, folder: &Path) -> Result<Vec<Group>> {
        let file = folder.join("groups.json");
        if !file.exists() {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            let language = Language::new(&mut rng);
            models::write(folder, &language, &mut rng)?;
            let groups: Vec<Group> = (0..self.groups).map(|_| language.group(self.group_size, &mut rng)).collect();
            fs::write(&file, serde_json::to_vec(&groups)?).with_context(|| file.display().to_string())?;
        }
        let text = fs::read(&file).with_context(|| file.display().to_string())?;
        let groups: Vec<Group> = serde_json::from_slice(&text).with_context(|| file.display().to_string())?;
        if groups.len() != self.groups || groups.iter().any(|group| group.reports.len() != self.group_size) {
            bail!("{}: expected {} groups of {} reports", file.display(), self.groups, self.group_size);
        }
        Ok(groups)
    }
}

fn weights(folder: &Path) -> Weights {
    let path = |name: &str| Some(folder.join(name));
    Weights {
        chexbert: path("chexbert/chexbert.safetensors"),
        bert: path("chexbert"),
        rate_tagger: path("tagger"),
        rate_embedder: path("embedder"),
        ..Weights::default()
    }
}

fn score(scorer: &Scorer, groups: &[Group]) -> Result<()> {
    groups.par_iter().try_for_each(|group| {
        let reports: Vec<&str> = group.reports.iter().map(String::as_str).collect();
        scorer.score(&group.reference, &reports)?;
        Ok(())
    })
}

/// How much the embedder has to do; also the repetition that is not timed.
fn entities_per_sentence(backends: &Backends, group: &Group) -> Result<f64> {
    backends.labels(&[&group.reference])?;
    let sentences = backends.entities.split(&group.reference);
    let entities: usize = backends.entities.extract(&sentences)?.iter().map(Vec::len).sum();
    Ok(entities as f64 / sentences.len().max(1) as f64)
}

/// Of an even number the lower one.
fn median(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
