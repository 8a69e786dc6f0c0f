//! The span model: which spans of words are entities, and how they relate.

use std::cmp::Ordering;

use candle_core::{Device, Result, Tensor};

use super::{
    super::{chexbert::best, weights::Weights},
    decode::Span,
    scorer::Scorer,
};

/// The scorers of one archive and what their classes mean.
pub(super) struct SpanModel {
    /// `[longest span, feature size]`: one vector per number of words.
    widths: Tensor,
    entities: Scorer,
    mentions: Scorer,
    relations: Scorer,
    spans_per_word: f64,
    device: Device,
}

/// What the model says of the spans of one text.
pub(super) struct Scored {
    /// Every span, in order, with its class: 0 for none.
    pub(super) entities: Vec<(Span, usize)>,
    /// Pairs of spans and their class, 0 for none, among the candidates for relations that are entities.
    pub(super) relations: Vec<(Span, Span, usize)>,
}

/// The names of the scorers' tensors begin with the model's type.
pub(super) struct Classes<'a> {
    pub(super) kind: &'a str,
    /// Without the null class.
    pub(super) entities: usize,
    pub(super) relations: usize,
}

impl SpanModel {
    /// Loads the scorers for word vectors of `hidden` values and spans of at most `longest` words.
    pub(super) fn load(
        weights: &Weights,
        classes: &Classes<'_>,
        hidden: usize,
        longest: usize,
        spans_per_word: f64,
        device: &Device,
    ) -> addendum_rewards::Result<Self> {
        let widths = "_endpoint_span_extractor._span_width_embedding.weight";
        let features = weights.shape(widths)?.last().copied().unwrap_or(0);
        let width = 2 * hidden + features;
        let (ner, relation) = (format!("{}__ner_labels", classes.kind), format!("{}__relation_labels", classes.kind));
        let scorer = |name: String, outputs: usize| {
            Scorer::load(weights, &format!("{name}.0._module"), &format!("{name}.1._module"), width, outputs)
        };
        Ok(Self {
            widths: weights.get(widths, &[longest, features])?,
            entities: scorer(format!("_ner._ner_scorers.{ner}"), classes.entities)?,
            mentions: scorer(format!("_relation._mention_pruners.{relation}._scorer"), 1)?,
            relations: Scorer::load(
                weights,
                &format!("_relation._relation_feedforwards.{relation}"),
                &format!("_relation._relation_scorers.{relation}"),
                3 * width,
                classes.relations,
            )?,
            spans_per_word,
            device: device.clone(),
        })
    }

    /// Decides about the spans of a text with word vectors `[words, hidden]`.
    pub(super) fn decide(&self, words: &Tensor) -> Result<Scored> {
        let count = words.dim(0)?;
        let spans = self.spans(count)?;
        let vectors = self.vectors(words, &spans)?;
        let classes: Vec<usize> = (self.entity_scores(&vectors)?.iter()).map(|scores| best(scores)).collect();
        let (kept, mentions) = self.candidates(&vectors, count)?;
        let (mut among, mut scores) = (Vec::new(), Vec::new());
        for (&span, &score) in kept.iter().zip(&mentions) {
            if classes[span] > 0 {
                among.push(span);
                scores.push(score);
            }
        }
        let mut relations = Vec::new();
        if !among.is_empty() {
            for (pair, scores) in self.relation_scores(&vectors, &among, &scores)?.iter().enumerate() {
                let (subject, object) = (among[pair / among.len()], among[pair % among.len()]);
                relations.push((spans[subject], spans[object], best(scores)));
            }
        }
        Ok(Scored { entities: spans.into_iter().zip(classes).collect(), relations })
    }

    /// All spans of at most as many words as there are width vectors, by first and then by last word.
    pub(super) fn spans(&self, words: usize) -> Result<Vec<Span>> {
        let longest = self.widths.dim(0)?;
        Ok((0..words).flat_map(|first| (first..words.min(first + longest)).map(move |last| (first, last))).collect())
    }

    /// First word, last word and width of each span, side by side: `[spans, 2 hidden + features]`.
    pub(super) fn vectors(&self, words: &Tensor, spans: &[Span]) -> Result<Tensor> {
        let pick = |rows: &Tensor, index: Vec<u32>| {
            let count = index.len();
            rows.index_select(&Tensor::from_vec(index, count, &self.device)?, 0)
        };
        let first = pick(words, spans.iter().map(|span| span.0 as u32).collect())?;
        let last = pick(words, spans.iter().map(|span| span.1 as u32).collect())?;
        let width = pick(&self.widths, spans.iter().map(|span| (span.1 - span.0) as u32).collect())?;
        Tensor::cat(&[first, last, width], 1)
    }

    /// Per span the score of no entity, which is 0, and of every class.
    pub(super) fn entity_scores(&self, vectors: &Tensor) -> Result<Vec<Vec<f32>>> {
        Ok(with_null(self.entities.forward(vectors)?.to_vec2()?))
    }

    /// The spans that are candidates for relations, in order, and their scores: a number of best ones that grows with
    /// the words.
    pub(super) fn candidates(&self, vectors: &Tensor, words: usize) -> Result<(Vec<usize>, Vec<f32>)> {
        let scores: Vec<f32> = self.mentions.forward(vectors)?.squeeze(1)?.to_vec1()?;
        let count = ((words as f64 * self.spans_per_word).ceil() as usize).min(scores.len());
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap_or(Ordering::Equal).then(a.cmp(&b)));
        order.truncate(count);
        order.sort_unstable();
        let kept = order.iter().map(|&span| scores[span]).collect();
        Ok((order, kept))
    }

    /// Per pair of candidates, row by row, the score of no relation, which is 0, and of every kind.
    pub(super) fn relation_scores(&self, vectors: &Tensor, spans: &[usize], mentions: &[f32]) -> Result<Vec<Vec<f32>>> {
        let count = spans.len();
        let index = Tensor::from_vec(spans.iter().map(|&span| span as u32).collect(), count, &self.device)?;
        let spans = vectors.index_select(&index, 0)?;
        let width = spans.dim(1)?;
        let shape = (count, count, width);
        let subject = spans.unsqueeze(1)?.broadcast_as(shape)?;
        let object = spans.unsqueeze(0)?.broadcast_as(shape)?;
        let pairs = Tensor::cat(&[&subject, &object, &(subject.clone() * &object)?], 2)?;
        let scores: Vec<Vec<f32>> = self.relations.forward(&pairs.reshape((count * count, 3 * width))?)?.to_vec2()?;
        let raised = |(pair, scores): (usize, Vec<f32>)| {
            let both = mentions[pair / count] + mentions[pair % count];
            scores.into_iter().map(|score| score + both).collect()
        };
        Ok(with_null(scores.into_iter().enumerate().map(raised).collect()))
    }
}

/// Puts the null class, whose score is 0, before the others.
fn with_null(scores: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    scores.into_iter().map(|scores| [&[0.], scores.as_slice()].concat()).collect()
}
