//! Alignment of the entities of a generated report x with those of its reference y: who is similar, spurious, missing.
//!
//! Only looks; [`rule`](crate::rule) decides.

use addendum_rewards::{Entity, Presence};

use crate::annotated::Annotated;
use crate::config::{EditConfig, Reading, Similarity};

/// An entity and the index of its sentence.
pub(crate) struct Placed<'a> {
    pub sentence: usize,
    pub entity: &'a Entity,
}

/// All pairs of entities; `g` indexes [`Self::generated`], `r` indexes [`Self::reference`].
pub(crate) struct Alignment<'a> {
    pub generated: Vec<Placed<'a>>,
    pub reference: Vec<Placed<'a>>,
    /// Row `g`, column `r`.
    similarities: Vec<Vec<f64>>,
    similarity: Similarity,
    tau: f64,
    reading: Reading,
}

impl<'a> Alignment<'a> {
    pub fn new(generated: &[&'a Annotated], reference: &[&'a Annotated], config: &EditConfig) -> Self {
        let (generated, reference) = (placed(generated), placed(reference));
        let similarity = config.similarity();
        let row = |g: &Placed| reference.iter().map(|r| similarity(g.entity, r.entity)).collect();
        let similarities = generated.iter().map(row).collect();
        Self { generated, reference, similarities, similarity, tau: config.tau, reading: config.reading }
    }

    pub fn similar(&self, g: usize, r: usize) -> bool {
        self.similarities[g][r] > self.tau
    }

    fn labels(&self, g: usize, r: usize) -> (Presence, Presence) {
        (self.generated[g].entity.kind.presence(), self.reference[r].entity.kind.presence())
    }

    fn same_label(&self, g: usize, r: usize) -> bool {
        let (ours, theirs) = self.labels(g, r);
        let wildcard = self.reading.neutral_matches_anything;
        ours == theirs || wildcard && (ours == Presence::Neutral || theirs == Presence::Neutral)
    }

    /// Rule (a)'s condition: one asserts what the other denies.
    pub fn contradict(&self, g: usize, r: usize) -> bool {
        let opposite =
            matches!(self.labels(g, r), (Presence::Present, Presence::Absent) | (Presence::Absent, Presence::Present));
        let same_finding = if self.reading.conflict_needs_same_text {
            let words = |placed: &Placed| placed.entity.text.to_lowercase();
            words(&self.generated[g]) == words(&self.reference[r])
        } else {
            self.similar(g, r)
        };
        opposite && same_finding
    }

    /// In no E\[y_j\] with a matching label.
    pub fn spurious(&self, g: usize) -> bool {
        !self.columns().any(|r| self.similar(g, r) && self.same_label(g, r))
    }

    /// No generated entity is similar to it with a matching label.
    pub fn missing(&self, r: usize) -> bool {
        let matches = |g| self.similar(g, r) && (self.reading.missing_ignores_label || self.same_label(g, r));
        !(0..self.generated.len()).any(matches)
    }

    /// Whether generated entity `g` is in E\[y_sentence\].
    pub fn in_e(&self, g: usize, sentence: usize) -> bool {
        self.of_reference(sentence).any(|r| self.similar(g, r))
    }

    /// max cos(e, e') of rule (b), e' in the reference sentence; `None` when that has no entity.
    pub fn nearest(&self, g: usize, sentence: usize) -> Option<f64> {
        let own = self.of_reference(sentence).map(|r| self.similarities[g][r]).reduce(f64::max)?;
        if !self.reading.b_over_all_of_e {
            return Some(own);
        }
        let others = (0..self.generated.len()).filter(|&other| self.in_e(other, sentence));
        let nearest = others.map(|other| (self.similarity)(self.generated[g].entity, self.generated[other].entity));
        Some(nearest.fold(own, f64::max))
    }

    fn columns(&self) -> std::ops::Range<usize> {
        0..self.reference.len()
    }

    fn of_reference(&self, sentence: usize) -> impl Iterator<Item = usize> + '_ {
        self.columns().filter(move |&r| self.reference[r].sentence == sentence)
    }
}

fn placed<'a>(sentences: &[&'a Annotated]) -> Vec<Placed<'a>> {
    let of_sentence = |(sentence, annotated): (usize, &&'a Annotated)| {
        let annotated: &'a Annotated = annotated;
        annotated.entities.iter().map(move |entity| Placed { sentence, entity })
    };
    sentences.iter().enumerate().flat_map(of_sentence).collect()
}
