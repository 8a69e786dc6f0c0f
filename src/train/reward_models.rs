//! What annotates reports: the published neural models where their weights are named, the lexicon for the rest.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use addendum_policy::device::device;
use addendum_rewards::{Backend, Backends};
use addendum_rewards_neural::{Chexbert, Radgraph, RateModels};
use addendum_rewards_remote::Patience;
use anyhow::{Context, Result, bail};
use candle_core::Device;
use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::Problem;
use crate::values::{pair, unique};

/// Weights by file and folder. What is not named, the lexicon does.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// CheXbert's weights (chexbert.pth or safetensors).
    #[arg(long, value_name = "FILE", requires = "bert")]
    pub chexbert: Option<PathBuf>,
    /// The BERT under CheXbert (bert-base-uncased), for its config.json and vocabulary.
    #[arg(long, value_name = "DIR", requires = "chexbert")]
    pub bert: Option<PathBuf>,
    /// RaTEScore's tagger of entities.
    #[arg(long, value_name = "DIR", requires = "rate_embedder")]
    pub rate_tagger: Option<PathBuf>,
    /// RaTEScore's embedder of entities.
    #[arg(long, value_name = "DIR", requires = "rate_tagger")]
    pub rate_embedder: Option<PathBuf>,
    /// RadGraph's archive (radgraph-xl.tar.gz), or a folder with its contents.
    #[arg(long, value_name = "PATH", requires = "radgraph_bert")]
    pub radgraph: Option<PathBuf>,
    /// The BERT that RadGraph's archive names, for its config.json and tokenizer.
    #[arg(long, value_name = "DIR", requires = "radgraph")]
    pub radgraph_bert: Option<PathBuf>,
    /// Devices of these models, such as chexbert=cuda:0,rate=cuda:1 (chexbert, radgraph, rate); cpu where not named.
    #[arg(long, value_delimiter = ',', value_name = "NAME=DEVICE,…", value_parser = pair::<Backend, String>)]
    #[serde(with = "by_name")]
    #[schemars(with = "BTreeMap<Backend, String>", extend("x-resume" = "rounding"))]
    pub reward_devices: Vec<(Backend, String)>,
}

/// Pairs as a table.
mod by_name {
    use std::collections::BTreeMap;

    use addendum_rewards::Backend;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(pairs: &[(Backend, String)], to: S) -> Result<S::Ok, S::Error> {
        pairs.iter().cloned().collect::<BTreeMap<_, _>>().serialize(to)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<(Backend, String)>, D::Error> {
        Ok(BTreeMap::deserialize(from)?.into_iter().collect())
    }
}

/// Whether two paths hold a model, as far as its files' descriptions tell.
type Check = fn(&Path, &Path) -> addendum_rewards::Result<()>;

/// Back ends for the two uses: RaTEScore decodes and embeds entities differently where it scores and where it edits.
#[derive(Clone)]
pub struct Annotators {
    /// For rewards and evaluations.
    pub scoring: Backends,
    /// For the edit rule.
    pub editing: Backends,
    /// RaTEScore's models under both, if they are named.
    pub rate: Option<Arc<RateModels>>,
}

impl Annotators {
    /// The same, their failed or late calls made again. What `serve-rewards` analyses with is as it was.
    ///
    /// # Errors
    /// As [`Patience::validate`].
    pub fn patient(self, patience: Patience) -> Result<Self> {
        Ok(Self { scoring: patience.with(self.scoring)?, editing: patience.with(self.editing)?, rate: self.rate })
    }
}

impl Weights {
    /// Reads what is named.
    ///
    /// # Errors
    /// Unreadable, corrupt or foreign files, with the file and what is wrong with it; devices that are not there, or of
    /// models that are not named.
    pub fn load(&self) -> Result<Annotators> {
        let devices = self.devices()?;
        let on = |backend: Backend| devices.get(&backend).unwrap_or(&Device::Cpu);
        let mut scoring = Backends::lexicon();
        if let (Some(weights), Some(bert)) = (&self.chexbert, &self.bert) {
            scoring.labeller = Arc::new(Chexbert::load(weights, bert, on(Backend::Chexbert))?);
        }
        if let (Some(archive), Some(bert)) = (&self.radgraph, &self.radgraph_bert) {
            scoring.graphs = Arc::new(Radgraph::load(archive, bert, on(Backend::Radgraph))?);
        }
        let mut editing = scoring.clone();
        let mut rate = None;
        if let (Some(tagger), Some(embedder)) = (&self.rate_tagger, &self.rate_embedder) {
            let models = RateModels::load(tagger, embedder, on(Backend::Rate))?;
            scoring.entities = Arc::new(models.for_score());
            editing.entities = Arc::new(models.for_editing());
            rate = Some(models);
        }
        Ok(Annotators { scoring, editing, rate })
    }

    /// What of [`Weights::load`] can be told from the descriptions in the files, all of it: files that are not there or are
    /// of another kind, one of two that go together, devices that are not there.
    pub fn problems(&self) -> Vec<Problem> {
        let pair =
            |first: (&str, &Option<PathBuf>), second: (&str, &Option<PathBuf>), check: Check| match (first.1, second.1)
            {
                (Some(weights), Some(other)) => {
                    check(weights, other).err().map(|error| Problem::new(format!("reward_models.{}", first.0), error))
                }
                (None, None) => None,
                (found, _) => {
                    let (missing, named) = if found.is_some() { (second.0, first.0) } else { (first.0, second.0) };
                    let reason = format!("not set, and `{named}` is; they go together");
                    Some(Problem::new(format!("reward_models.{missing}"), reason))
                }
            };
        let checks = [
            pair(("chexbert", &self.chexbert), ("bert", &self.bert), Chexbert::check),
            pair(("radgraph", &self.radgraph), ("radgraph_bert", &self.radgraph_bert), Radgraph::check),
            pair(("rate_tagger", &self.rate_tagger), ("rate_embedder", &self.rate_embedder), RateModels::check),
        ];
        let devices =
            self.devices().err().map(|error| Problem::new("reward_models.reward_devices", format!("{error:#}")));
        checks.into_iter().chain([devices]).flatten().collect()
    }

    fn devices(&self) -> Result<BTreeMap<Backend, Device>> {
        let named = |backend| match backend {
            Backend::Chexbert => self.chexbert.is_some(),
            Backend::Radgraph => self.radgraph.is_some(),
            Backend::Rate => self.rate_tagger.is_some(),
        };
        let opened = |(backend, name): (Backend, String)| {
            if !named(backend) {
                bail!(
                    "--reward-devices {backend}={name}: no weights of `{backend}` are named, and the lexicon has no device"
                );
            }
            let device = device(&name).with_context(|| format!("--reward-devices {backend}={name}"))?;
            Ok((backend, device))
        };
        unique("--reward-devices", &self.reward_devices)?.into_iter().map(opened).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn fixture(name: &str) -> Option<PathBuf> {
        Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rewards").join(name))
    }

    #[test]
    fn named_weights_take_the_place_of_the_lexicon() {
        let weights = Weights {
            chexbert: fixture("chexbert/chexbert.pth"),
            bert: fixture("chexbert"),
            rate_tagger: fixture("rate/ner"),
            rate_embedder: fixture("rate/embedder"),
            ..Weights::default()
        };
        let annotators = weights.load().unwrap();
        let lexicon = Backends::lexicon();
        let report = ["No pleural effusion. Small right pneumothorax."];
        assert_eq!(annotators.scoring.labels(&report).unwrap().len(), 1);
        let width =
            |backends: &Backends| backends.entities(&report).unwrap().concat().first().map(|e| e.embedding.len());
        assert_ne!(width(&annotators.editing), width(&lexicon));
        assert_eq!(annotators.scoring.graphs(&report).unwrap(), lexicon.graphs(&report).unwrap());
    }

    #[test]
    fn files_of_another_kind_are_told_without_loading_them() {
        let sound = Weights {
            chexbert: fixture("chexbert/chexbert.pth"),
            bert: fixture("chexbert"),
            rate_tagger: fixture("rate/ner"),
            rate_embedder: fixture("rate/embedder"),
            ..Weights::default()
        };
        assert_eq!(sound.problems(), []);
        let keys = |weights: Weights| weights.problems().into_iter().map(|problem| problem.key).collect::<Vec<_>>();
        let swapped = Weights { rate_tagger: sound.rate_embedder.clone(), ..sound.clone() };
        assert_eq!(keys(swapped), ["reward_models.rate_tagger"]);
        let foreign = Weights { chexbert: fixture("chexbert/config.json"), ..sound.clone() };
        assert_eq!(keys(foreign), ["reward_models.chexbert"]);
        let archive =
            Weights { radgraph: fixture("chexbert/config.json"), radgraph_bert: fixture("chexbert"), ..sound };
        assert_eq!(keys(archive), ["reward_models.radgraph"]);
    }

    #[test]
    fn weights_that_are_not_there_are_named() {
        let weights = Weights { chexbert: fixture("nowhere.pth"), bert: fixture("chexbert"), ..Weights::default() };
        let error = weights.load().err().unwrap().to_string();
        assert!(error.contains("nowhere.pth"), "{error}");
    }

    #[test]
    fn a_device_that_is_not_there_or_has_no_model_is_named() {
        let refused = |reward_devices: &[(Backend, &str)]| {
            let reward_devices = reward_devices.iter().map(|(backend, name)| (*backend, (*name).to_owned())).collect();
            let (chexbert, bert) = (fixture("chexbert/chexbert.pth"), fixture("chexbert"));
            let weights = Weights { chexbert, bert, reward_devices, ..Weights::default() };
            weights.load().map(|_| ()).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(refused(&[(Backend::Chexbert, "cpu")]), Ok(()));
        let absent = refused(&[(Backend::Chexbert, "cuda:99")]).unwrap_err();
        assert!(absent.contains("--reward-devices chexbert=cuda:99: "), "{absent}");
        assert!(refused(&[(Backend::Rate, "cpu")]).unwrap_err().contains("no weights of `rate`"));
        assert!(refused(&[(Backend::Chexbert, "cpu"), (Backend::Chexbert, "cpu")]).unwrap_err().contains("twice"));
    }
}
