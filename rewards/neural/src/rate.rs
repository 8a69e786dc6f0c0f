//! RaTEScore's models (Zhao et al. 2024): a tagger finds the entities of a sentence, an embedder compares their words.
//!
//! The published score and the editor of EditGRPO use the same two models differently; see [`RateModels`]. The score
//! itself is in [`addendum_rewards::metrics::rate`].

mod embedder;
mod spans;
mod split;
mod tagger;

use std::{path::Path, sync::Arc};

use candle_core::Device;
use embedder::{Embedder, Pooling};
use tagger::Tagger;

use super::batch::independent;
use addendum_rewards::{Entity, EntityExtractor, EntityType, Result, cache::Cache};

/// The two models, which the two extractors made of them share.
pub struct RateModels {
    tagger: Tagger,
    embedder: Embedder,
    /// Whether what is read once may be remembered: only where it does not depend on what was read with it, or results
    /// would depend on which group came first.
    memory: bool,
}

impl RateModels {
    /// Loads the tagger (published as `Angelakeke/RaTE-NER-Deberta`) and the embedder (`FremyCompany/BioLORD-2023-C`)
    /// from their folders, each with `config.json`, `tokenizer.json` and `model.safetensors` or `pytorch_model.bin`.
    ///
    /// # Errors
    /// Unreadable, corrupt or foreign files, with the file and what is wrong with it.
    pub fn load(tagger: &Path, embedder: &Path, device: &Device) -> Result<Arc<Self>> {
        let (tagger, embedder) = (Tagger::load(tagger, device)?, Embedder::load(embedder, device)?);
        Ok(Arc::new(Self { tagger, embedder, memory: independent(device) }))
    }

    /// Whether the folders are of the right kind, as far as configurations, vocabularies and the descriptions of the
    /// tensors tell; no tensor is read.
    ///
    /// # Errors
    /// As [`RateModels::load`].
    pub fn check(tagger: &Path, embedder: &Path) -> Result<()> {
        Tagger::check(tagger)?;
        Embedder::check(embedder)
    }

    /// Entities as the published score takes them.
    pub fn for_score(self: &Arc<Self>) -> RateExtractor {
        RateExtractor::new(self.clone(), Use::Score)
    }

    /// Entities as the editor takes them: labels are decoded strictly, embeddings are means over all tokens.
    pub fn for_editing(self: &Arc<Self>) -> RateExtractor {
        RateExtractor::new(self.clone(), Use::Edit)
    }

    /// The entities of a whole report as the reference's edit service (`POST /analyze`) finds them: the report is read
    /// at once, and each embedding is the mean over the padding of all entities together too.
    ///
    /// # Errors
    /// Failures of the models.
    pub fn analyse(&self, report: &str) -> Result<Vec<Entity>> {
        let found = self.tagger.find(&[report], spans::for_editing)?.concat();
        let texts: Vec<&str> = found.iter().map(|(text, _)| text.as_str()).collect();
        let embeddings = self.embedder.embed_padded(&texts)?;
        let entity = |((text, kind), embedding)| Entity { text, kind, embedding };
        Ok(found.into_iter().zip(embeddings).map(entity).collect())
    }
}

#[derive(Clone, Copy)]
enum Use {
    Score,
    Edit,
}

/// How many sentences an extractor remembers. Each takes about 10 KB.
const SENTENCES: usize = 4096;

/// How many words of entities it remembers the embedding of, of 3 KB each, whatever sentence they stand in.
const WORDS: usize = 8192;

/// Extracts entities for one of two purposes; made by [`RateModels`]. Remembers sentences and words for as long as it
/// lives, because a policy repeats itself; not on GPUs and other devices where rounding depends on the batch.
pub struct RateExtractor {
    models: Arc<RateModels>,
    use_: Use,
    sentences: Cache<Vec<Entity>>,
    words: Cache<Vec<f32>>,
}

impl RateExtractor {
    fn new(models: Arc<RateModels>, use_: Use) -> Self {
        let (sentences, words) = match use_ {
            Use::Score => ("rate_sentences", "rate_words"),
            Use::Edit => ("edit_sentences", "edit_words"),
        };
        let room = |texts| if models.memory { texts } else { 0 };
        let (sentences, words) = (Cache::new(sentences, room(SENTENCES)), Cache::new(words, room(WORDS)));
        Self { models, use_, sentences, words }
    }

    /// The entities of sentences that are not known.
    fn read(&self, sentences: &[&str]) -> Result<Vec<Vec<Entity>>> {
        let (decode, pooling) = match self.use_ {
            Use::Score => (spans::for_score as fn(&[_]) -> _, Pooling::First),
            Use::Edit => (spans::for_editing as fn(&[_]) -> _, Pooling::Mean),
        };
        let found = self.models.tagger.find(sentences, decode)?;
        let words: Vec<&str> = found.iter().flatten().map(|(words, _)| words.as_str()).collect();
        let mut embeddings =
            self.words.get_all(&words, |words| self.models.embedder.embed(words, pooling))?.into_iter();
        let mut entity = |(text, kind): &(String, EntityType)| {
            // There is one embedding per entity.
            let embedding = embeddings.next().map_or_else(Vec::new, |embedding| embedding.to_vec());
            Entity { text: text.clone(), kind: *kind, embedding }
        };
        Ok(found.iter().map(|entities| entities.iter().map(&mut entity).collect()).collect())
    }
}

impl EntityExtractor for RateExtractor {
    fn extract(&self, sentences: &[&str]) -> Result<Vec<Vec<Entity>>> {
        let known = self.sentences.get_all(sentences, |sentences| self.read(sentences))?;
        Ok(known.iter().map(|entities| entities.to_vec()).collect())
    }

    fn split<'a>(&self, report: &'a str) -> Vec<&'a str> {
        match self.use_ {
            Use::Score => split::split(report),
            Use::Edit => addendum_rewards::sentences::split(report),
        }
    }
}

#[cfg(test)]
mod tests;
