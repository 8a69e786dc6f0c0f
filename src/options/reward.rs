//! What the reward of a run is made of, and on how many actors it is computed.

use std::{collections::BTreeMap, fs, path::Path, path::PathBuf};

use addendum_rewards::Observation;
use anyhow::{Context, Result, ensure};
use clap::Args;

use super::RemoteOptions;
use crate::{
    train::settings::Settings,
    values::{pair, unique},
};

/// What of `[reward]` and its actors a command line can change; what is not named stays as it is.
#[derive(Args, Clone, Debug, Default)]
pub struct RewardOptions {
    /// The reward's components and their weights, chexbert=1,radgraph=1,rate=1 without it. There are also chexbert_5,
    /// chexbert_weighted, radgraph_simple and radgraph_complete; weight 0 only records.
    #[arg(long, value_delimiter = ',', value_name = "NAME=WEIGHT,…", value_parser = pair::<String, f64>)]
    pub rewards: Vec<(String, f64)>,
    /// JSON object of the 14 observations' shares in the training references, for chexbert_weighted.
    #[arg(long, value_name = "FILE")]
    pub class_frequencies: Option<PathBuf>,
    /// Actors of the reward's stages (chexbert, radgraph, rate); one where not named.
    #[arg(long, value_delimiter = ',', value_name = "NAME=COUNT,…", value_parser = pair::<String, usize>)]
    pub reward_workers: Vec<(String, usize)>,
    /// Seconds after which a call of a reward back end has failed and is made again; no limit without it, and 60 for
    /// requests to services.
    #[arg(long, value_name = "SECONDS")]
    pub reward_timeout: Option<f64>,
    /// Services that score and annotate.
    #[command(flatten)]
    pub remote: RemoteOptions,
}

impl RewardOptions {
    /// Puts what is named into `settings`.
    ///
    /// # Errors
    /// A name that comes twice, or a file that holds no shares.
    pub fn apply(&self, settings: &mut Settings) -> Result<()> {
        if !self.rewards.is_empty() {
            settings.reward.weights = unique("--rewards", &self.rewards)?;
        }
        if let Some(path) = &self.class_frequencies {
            settings.reward.frequencies = class_frequencies(path)?;
        }
        if !self.reward_workers.is_empty() {
            settings.reward_pools.workers = unique("--reward-workers", &self.reward_workers)?;
        }
        if self.reward_timeout.is_some() {
            settings.patience.limit_seconds = self.reward_timeout;
        }
        let services = self.remote.services(self.reward_timeout);
        settings.services.reward = services.reward.or(settings.services.reward.take());
        settings.services.edit = services.edit.or(settings.services.edit.take());
        Ok(())
    }
}

/// Shares by observation from a JSON object.
///
/// # Errors
/// A file that cannot be read or holds anything else, with its name and what is wrong.
pub fn class_frequencies(path: &Path) -> Result<BTreeMap<Observation, f64>> {
    let shown = || path.display();
    let text = fs::read(path).with_context(|| format!("{}: cannot be read", shown()))?;
    let shares: BTreeMap<Observation, f64> = serde_json::from_slice(&text)
        .with_context(|| format!("{}: expected a JSON object of shares by observation", shown()))?;
    for (observation, share) in &shares {
        let name = observation.name();
        ensure!((0. ..=1.).contains(share), "{}: share of {name} is {share}, expected 0 to 1", shown());
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use addendum_editor::Extractor;
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        reward: RewardOptions,
    }

    fn base() -> Settings {
        let mut settings = Settings::phantoms();
        settings.policy.path = "checkpoint".into();
        settings
    }

    fn settings(arguments: &str) -> Result<Settings> {
        let mut settings = base();
        Cli::try_parse_from(["x"].into_iter().chain(arguments.split_whitespace()))?.reward.apply(&mut settings)?;
        settings.validate()?;
        Ok(settings)
    }

    #[test]
    fn nothing_named_changes_nothing() {
        let json = |settings: &Settings| serde_json::to_value(settings).unwrap();
        assert_eq!(json(&settings("").unwrap()), json(&base()));
    }

    #[test]
    fn weights_workers_and_patience_reach_the_settings() {
        let settings =
            settings("--rewards chexbert=2,rate=0.5 --reward-workers chexbert=3 --reward-timeout 30").unwrap();
        assert_eq!(settings.reward.weights, [("chexbert".into(), 2.), ("rate".into(), 0.5)].into());
        assert_eq!(settings.reward_pools.workers, [("chexbert".into(), 3)].into());
        assert_eq!(settings.patience.limit_seconds, Some(30.));
    }

    #[test]
    fn services_reach_the_settings_and_lift_what_only_local_scoring_needs() {
        let settings = settings(
            "--rewards chexbert_weighted=1 --reward-service http://x/predict --edit-service http://x/analyze \
             --service-batch 8 --reward-timeout 30",
        )
        .unwrap();
        let reward = settings.services.reward.unwrap();
        assert_eq!((reward.url.as_str(), reward.batch, reward.timeout_seconds), ("http://x/predict", 8, 30.));
        assert_eq!(settings.services.edit.unwrap().url, "http://x/analyze");
    }

    #[test]
    fn a_service_that_is_named_several_times_is_on_several_servers() {
        let settings = settings("--reward-service http://x/predict --reward-service http://y").unwrap();
        let reward = settings.services.reward.unwrap();
        assert_eq!((reward.url.as_str(), reward.urls), ("", vec!["http://x/predict".to_owned(), "http://y".into()]));
        assert!(settings.services.edit.is_none());
    }

    #[test]
    fn an_edit_service_takes_no_extractor_beside_it() {
        let mut settings = settings("--edit-service http://x/analyze").unwrap();
        settings.edit.extractor = Extractor::Radgraph;
        assert!(settings.validate().unwrap_err().to_string().contains("http://x/analyze"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let refused = |arguments: &str| format!("{:#}", settings(arguments).err().unwrap());
        for (arguments, expected) in [
            ("--rewards bleu=1", "`bleu`"),
            ("--rewards rate=1,rate=2", "`rate` comes twice"),
            ("--rewards rate=x", "rate: invalid float"),
            ("--rewards chexbert_weighted=1", "`Edema`"),
            ("--class-frequencies nowhere.json", "nowhere.json"),
            ("--reward-workers bert=1", "`workers.bert` is 1"),
            ("--reward-workers rate=0", "`workers.rate` is 0"),
            ("--rewards chexbert=1 --reward-workers rate=2", "it has chexbert"),
            ("--reward-timeout 0", "`limit_seconds` is 0"),
            ("--reward-service localhost:5000", "http(s)://host"),
            ("--reward-service http://x --reward-service x:5000", "services.reward.urls[1]"),
            ("--reward-service http://x/predict --reward-workers rate=2", "--reward-workers"),
            ("--reward-service http://x/predict --class-frequencies shares.json", "--class-frequencies"),
            ("--reward-service http://x/predict --rewards radgraph_simple=1", "`radgraph_simple`"),
            ("--edit-service http://x/analyze --service-batch 0", "`batch` is 0"),
            ("--edit-service http://x/analyze --service-token-variable NO_SUCH_TOKEN", "NO_SUCH_TOKEN"),
            ("--service-batch 8", "--reward-service"),
        ] {
            let message = refused(arguments);
            assert!(message.contains(expected), "{arguments}: {message}");
        }
    }

    #[test]
    fn shares_come_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shares.json");
        let shares: BTreeMap<Observation, f64> = Observation::ALL.map(|observation| (observation, 0.125)).into();
        fs::write(&path, serde_json::to_vec(&shares).unwrap()).unwrap();
        let arguments = format!("--rewards chexbert_weighted=1 --class-frequencies {}", path.display());
        assert_eq!(settings(&arguments).unwrap().reward.frequencies, shares);
        fs::write(&path, r#"{"Edema": 2}"#).unwrap();
        assert!(class_frequencies(&path).unwrap_err().to_string().contains("share of Edema is 2"));
    }
}
