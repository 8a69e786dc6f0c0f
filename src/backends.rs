//! What annotates reports: the published neural models where their weights are named, the lexicon for the rest.

use std::{path::PathBuf, sync::Arc};

use addendum_rewards::{
    Backends, Result,
    neural::{Chexbert, Radgraph, RateModels},
};
use candle_core::Device;
use clap::Args;

/// Weights by file and folder. What is not named, the lexicon does.
#[derive(Args, Clone, Debug, Default)]
pub struct Weights {
    /// CheXbert's weights (chexbert.pth or safetensors).
    #[arg(long, value_name = "FILE", requires = "bert")]
    pub chexbert: Option<PathBuf>,
    /// The BERT under CheXbert (bert-base-uncased), for its config.json and vocabulary.
    #[arg(long, value_name = "DIR")]
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
    #[arg(long, value_name = "DIR")]
    pub radgraph_bert: Option<PathBuf>,
}

/// Back ends for the two uses: RaTEScore decodes and embeds entities differently where it scores and where it edits.
#[derive(Clone)]
pub struct Annotators {
    pub scoring: Backends,
    pub editing: Backends,
    /// RaTEScore's models under both, if they are named.
    pub rate: Option<Arc<RateModels>>,
}

impl Weights {
    /// Reads what is named.
    ///
    /// # Errors
    /// Unreadable, corrupt or foreign files, with the file and what is wrong with it.
    pub fn load(&self) -> Result<Annotators> {
        let mut scoring = Backends::lexicon();
        if let (Some(weights), Some(bert)) = (&self.chexbert, &self.bert) {
            scoring.labeller = Arc::new(Chexbert::load(weights, bert, &Device::Cpu)?);
        }
        if let (Some(archive), Some(bert)) = (&self.radgraph, &self.radgraph_bert) {
            scoring.graphs = Arc::new(Radgraph::load(archive, bert, &Device::Cpu)?);
        }
        let mut editing = scoring.clone();
        let mut rate = None;
        if let (Some(tagger), Some(embedder)) = (&self.rate_tagger, &self.rate_embedder) {
            let models = RateModels::load(tagger, embedder, &Device::Cpu)?;
            scoring.entities = Arc::new(models.for_score());
            editing.entities = Arc::new(models.for_editing());
            rate = Some(models);
        }
        Ok(Annotators { scoring, editing, rate })
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
    fn weights_that_are_not_there_are_named() {
        let weights = Weights { chexbert: fixture("nowhere.pth"), bert: fixture("chexbert"), ..Weights::default() };
        let error = weights.load().err().unwrap().to_string();
        assert!(error.contains("nowhere.pth"), "{error}");
    }
}
