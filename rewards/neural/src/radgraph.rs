//! RadGraph's models (Jain et al. 2021; Delbrouck et al. 2024): a BERT, and scorers of spans and pairs of spans.

mod archive;
mod decode;
mod model;
mod scorer;
mod words;

use std::{ops::Range, path::Path};

use archive::Archive;
use candle_core::{Device, Tensor};
use decode::{Named, Related};
use model::{Classes, SpanModel};
use serde::Deserialize;

use super::{
    batch::{Pack, ROWS, distinct},
    bert::{self, Bert},
    config,
    error::fail,
    tokens::Tokens,
    weights::refuse,
};
use addendum_rewards::{Graph, GraphExtractor, Result};

const NAME: &str = "RadGraph";

/// Where an archive keeps its BERT.
const BERT: &str = "_embedder.token_embedder_bert._matched_embedder.transformer_model.";

/// What the labels of a model are called in its vocabulary, behind the model's type.
const LABELS: [&str; 2] = ["__ner_labels", "__relation_labels"];

/// The rows of a word's pieces.
type Rows = Range<usize>;

/// A RadGraph model.
pub struct Radgraph {
    tokens: Tokens,
    bert: Bert,
    spans: SpanModel,
    /// The labels of the classes, the empty one of "no entity" first.
    entity_labels: Vec<String>,
    /// Without the null class.
    relation_labels: Vec<String>,
    words: fn(&str) -> Vec<String>,
    device: Device,
}

/// The part of an archive's `config.json` that the weights do not tell.
#[derive(Deserialize)]
struct Config {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    max_span_width: usize,
    modules: Modules,
    embedder: Embedder,
}

#[derive(Deserialize)]
struct Modules {
    relation: Relations,
}

#[derive(Deserialize)]
struct Relations {
    spans_per_word: f64,
}

#[derive(Deserialize)]
struct Embedder {
    token_embedders: TokenEmbedders,
}

#[derive(Deserialize)]
struct TokenEmbedders {
    bert: BertEmbedder,
}

#[derive(Deserialize)]
struct BertEmbedder {
    /// The longest segment, start and end tokens included.
    max_length: Option<usize>,
}

impl Config {
    fn check(&self) -> Result<(), String> {
        const WIDEST: usize = 1000;
        let model = &self.model;
        if !(1..=WIDEST).contains(&model.max_span_width) {
            return Err(format!("`max_span_width` is {}; expected 1 to {WIDEST}", model.max_span_width));
        }
        let share = model.modules.relation.spans_per_word;
        if !(share > 0. && share <= WIDEST as f64) {
            return Err(format!("`spans_per_word` is {share}; expected more than 0"));
        }
        Ok(())
    }
}

impl Radgraph {
    /// Loads a model, a published `.tar.gz` or a folder with its contents, with the `config.json` and the tokenizer of
    /// its BERT, which archives only name.
    ///
    /// # Errors
    /// Unreadable, corrupt, foreign or hostile files, with the file and what is wrong with it.
    pub fn load(model: &Path, bert: &Path, device: &Device) -> Result<Self> {
        let archive = Archive::open(model, device)?;
        let config = config::parse::<Config>(&model.join("config.json"), &archive.config, Config::check)?.model;
        let sizes = bert::sizes(&bert.join("config.json"))?;
        let limit = config.embedder.token_embedders.bert.max_length.unwrap_or(sizes.max_position_embeddings);
        let tokens =
            Tokens::load(bert, ["[CLS]", "[SEP]"], sizes.vocab_size, limit.min(sizes.max_position_embeddings), NAME)?;
        let mut kinds = archive.vocabulary.keys().filter_map(|name| name.strip_suffix(".txt")?.strip_suffix(LABELS[0]));
        let (Some(kind), None) = (kinds.next(), kinds.next()) else {
            return Err(refuse(
                model,
                format!("expected one `vocabulary/…{}.txt`, which names the model's type", LABELS[0]),
            ));
        };
        let labels = |which: &str| {
            let name = format!("{kind}{which}.txt");
            let labels = archive.vocabulary.get(&name).filter(|labels| !labels.is_empty());
            labels.cloned().ok_or_else(|| refuse(model, format!("`vocabulary/{name}` is missing or empty")))
        };
        let (entity_labels, relation_labels) = (labels(LABELS[0])?, labels(LABELS[1])?);
        if entity_labels.first().is_some_and(|first| !first.is_empty()) {
            return Err(refuse(
                model,
                format!("the first of its entity labels is `{}`; expected the empty one", entity_labels[0]),
            ));
        }
        let classes = Classes { kind, entities: entity_labels.len() - 1, relations: relation_labels.len() };
        let spans_per_word = config.modules.relation.spans_per_word;
        let longest = config.max_span_width;
        Ok(Self {
            tokens,
            bert: Bert::load(&archive.weights, BERT, &sizes)?,
            spans: SpanModel::load(&archive.weights, &classes, sizes.hidden_size, longest, spans_per_word, device)?,
            words: if kind == "radgraph" { words::first_generation } else { words::second_generation },
            entity_labels,
            relation_labels,
            device: device.clone(),
        })
    }

    /// Whether the files are of the right kind, as far as the BERT's configuration and vocabulary and, in a folder, the
    /// description of the tensors tell; no tensor is read. Of an archive, only that it is one: it would have to be
    /// unpacked.
    ///
    /// # Errors
    /// As [`Radgraph::load`].
    pub fn check(model: &Path, bert: &Path) -> Result<()> {
        let sizes = bert::sizes(&bert.join("config.json"))?;
        Tokens::load(bert, ["[CLS]", "[SEP]"], sizes.vocab_size, sizes.max_position_embeddings, NAME)?;
        if !model.is_dir() {
            return archive::is_packed(model);
        }
        let archive = Archive::open(model, &Device::Cpu)?;
        config::parse::<Config>(&model.join("config.json"), &archive.config, Config::check)?;
        let name = format!("{BERT}embeddings.word_embeddings.weight");
        archive.weights.holds(&name, &[sizes.vocab_size, sizes.hidden_size])
    }

    /// The segments that a text of words goes through the BERT in, and the rows of each word's pieces: counted over all
    /// segments together.
    fn segments(&self, words: &[String]) -> Result<(Vec<Vec<u32>>, Vec<Rows>)> {
        let room = self.tokens.limit() - 2;
        let mut pieces = Vec::new();
        let mut rows = Vec::with_capacity(words.len());
        for word in words {
            let first = pieces.len();
            pieces.extend(self.tokens.pieces(word)?);
            rows.push(first..pieces.len());
        }
        Ok((pieces.chunks(room).map(|segment| self.tokens.enclose(segment)).collect(), rows))
    }

    /// The vectors `[words, hidden]` of each text's words; none for texts without words.
    fn word_vectors(&self, texts: &[Vec<String>]) -> Result<Vec<Option<Tensor>>> {
        let cut = texts.iter().map(|words| self.segments(words)).collect::<Result<Vec<_>>>()?;
        let segments: Vec<Vec<u32>> = cut.iter().flat_map(|(segments, _)| segments.iter().cloned()).collect();
        let pieces = self.piece_vectors(&segments).map_err(fail(NAME))?;
        let mut pieces = pieces.into_iter();
        let mut vectors = Vec::with_capacity(texts.len());
        for (segments, rows) in &cut {
            let own: Vec<Tensor> = pieces.by_ref().take(segments.len()).flatten().collect();
            vectors.push(if rows.is_empty() || own.is_empty() {
                None
            } else {
                Some(Tensor::cat(&own, 0).and_then(|pieces| self.means(&pieces, rows)).map_err(fail(NAME))?)
            });
        }
        Ok(vectors)
    }

    /// The last hidden states of each segment without those of start and end token.
    fn piece_vectors(&self, segments: &[Vec<u32>]) -> candle_core::Result<Vec<Option<Tensor>>> {
        let mut vectors = vec![None; segments.len()];
        for pack in Pack::all(segments, ROWS) {
            let hidden = self.bert.forward(&pack)?;
            for (&member, (row, length)) in pack.members.iter().zip(pack.spans()) {
                vectors[member] = Some(hidden.narrow(0, row + 1, length - 2)?);
            }
        }
        Ok(vectors)
    }

    /// The mean of each word's rows; zeros for a word without pieces.
    fn means(&self, pieces: &Tensor, words: &[Rows]) -> candle_core::Result<Tensor> {
        let count = pieces.dim(0)?;
        let mut shares = vec![0f32; words.len() * count];
        for (word, rows) in words.iter().enumerate() {
            shares[word * count..][rows.clone()].fill(1. / rows.len() as f32);
        }
        Tensor::from_vec(shares, (words.len(), count), &self.device)?.matmul(&pieces.contiguous()?)
    }

    fn annotate(&self, words: &[String], vectors: &Tensor) -> Result<Graph> {
        let scored = self.spans.decide(vectors).map_err(fail(NAME))?;
        let named: Vec<Named> = (scored.entities.into_iter())
            .filter(|&(_, class)| class > 0)
            .map(|(span, class)| Named { span, label: self.entity_labels[class].clone() })
            .collect();
        let related: Vec<Related> = (scored.relations.into_iter())
            .filter(|&(_, _, class)| class > 0)
            .map(|(subject, object, class)| Related { subject, object, kind: self.relation_labels[class - 1].clone() })
            .collect();
        Ok(decode::graph(words, &named, &related))
    }
}

impl GraphExtractor for Radgraph {
    fn graph(&self, reports: &[&str]) -> Result<Vec<Graph>> {
        let (distinct, members) = distinct(reports);
        let texts: Vec<Vec<String>> = distinct.iter().map(|report| (self.words)(report)).collect();
        let vectors = self.word_vectors(&texts)?;
        let annotate = |(words, vectors): (&Vec<String>, Option<Tensor>)| match vectors {
            Some(vectors) => self.annotate(words, &vectors),
            None => Ok(Graph::default()),
        };
        let graphs = texts.iter().zip(vectors).map(annotate).collect::<Result<Vec<_>>>()?;
        Ok(members.into_iter().map(|i| graphs[i].clone()).collect())
    }
}

#[cfg(test)]
mod tests;
