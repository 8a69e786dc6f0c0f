//! The edit rule (a)-(e) of EditGRPO, section 2, on sentences whose entities are known.
//!
//! Knows nothing of text: [`splice`](crate::splice) carries its edits into a report. x_i are the generated sentences, y_j
//! the reference's. Every choice is uniform over a list in sentence order, drawn from the caller's stream.

use addendum_rewards::Entity;
use rand::RngCore;
use rand::seq::IndexedRandom;

use crate::align::Alignment;
use crate::{Edit, EditConfig, Operation, Rule};

/// A sentence and its entities.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotated {
    pub text: String,
    pub entities: Vec<Entity>,
}

/// Applies the rule up to `config.operations` times and returns what it did, in order.
///
/// No edit means that rule (e) holds from the start. Rule (e)'s fallback, a reference sentence in place of the only one just
/// deleted, is one [`Operation::Replace`].
pub fn edit(generated: &[Annotated], reference: &[Annotated], config: &EditConfig, rng: &mut dyn RngCore) -> Vec<Edit> {
    let reference: Vec<&Annotated> = reference.iter().collect();
    let mut current: Vec<&Annotated> = generated.iter().collect();
    let mut log = Vec::new();
    for _ in 0..config.operations {
        let Some(step) = Pass::new(&current, &reference, config).step(rng) else {
            break;
        };
        log.push(step.carry_out(&mut current, &reference));
    }
    if current.is_empty()
        && let Some(last) = log.last_mut()
    {
        let original: Vec<&Annotated> = generated.iter().collect();
        let before = if config.reading.fallback_from_original_false_negatives {
            &original
        } else {
            &current
        };
        let missing = Pass::new(before, &reference, config).sentences_with_missing_entities();
        if let Some(&sentence) = missing.choose(rng) {
            last.operation = Operation::Replace;
            last.rule = Rule::Empty;
            last.target = Some(reference[sentence].text.clone());
        }
    }
    log
}

/// Whether two sentences have the same words, whatever the white space between them and the full stop after them.
fn same_words(a: &str, b: &str) -> bool {
    let words = |text| str::trim(text).trim_end_matches('.').split_whitespace();
    words(a).eq(words(b))
}

/// An operation on sentence indices.
struct Step {
    rule: Rule,
    source: Option<usize>,
    target: Option<usize>,
    triggers: Vec<String>,
}

impl Step {
    fn carry_out<'a>(self, current: &mut Vec<&'a Annotated>, reference: &[&'a Annotated]) -> Edit {
        let target = self.target.map(|j| reference[j]);
        let (operation, position, source) = match (self.source, target) {
            (Some(i), Some(target)) => (Operation::Replace, i, Some(std::mem::replace(&mut current[i], target))),
            (Some(i), None) => (Operation::Delete, i, Some(current.remove(i))),
            (None, target) => {
                current.extend(target);
                (Operation::Append, current.len() - 1, None)
            }
        };
        let text = |sentence: &Annotated| sentence.text.clone();
        Edit {
            operation,
            rule: self.rule,
            position,
            source: source.map(text),
            target: target.map(text),
            triggers: self.triggers,
        }
    }
}

/// One pass of the rule over a report as it now is.
struct Pass<'a> {
    x: &'a [&'a Annotated],
    y: &'a [&'a Annotated],
    config: &'a EditConfig,
    alignment: Alignment<'a>,
    /// Spurious entities (indices of the alignment) of each x_i; none where the sentence must stay.
    spurious: Vec<Vec<usize>>,
}

impl<'a> Pass<'a> {
    fn new(x: &'a [&'a Annotated], y: &'a [&'a Annotated], config: &'a EditConfig) -> Self {
        let alignment = Alignment::new(x, y, config);
        let mut pass = Self {
            x,
            y,
            config,
            alignment,
            spurious: vec![Vec::new(); x.len()],
        };
        for (g, placed) in pass.alignment.generated.iter().enumerate() {
            if pass.alignment.spurious(g) && !pass.stays(placed.sentence) {
                pass.spurious[placed.sentence].push(g);
            }
        }
        pass
    }

    fn step(&self, rng: &mut dyn RngCore) -> Option<Step> {
        self.resolve_conflict(rng)
            .or_else(|| self.replace_by_similar(rng))
            .or_else(|| self.delete_spurious(rng))
            .or_else(|| self.append_missing(rng))
    }

    /// (a) One conflict, uniformly over entity pairs.
    fn resolve_conflict(&self, rng: &mut dyn RngCore) -> Option<Step> {
        let (g, r) = *self.conflicts().choose(rng)?;
        let (ours, theirs) = (&self.alignment.generated[g], &self.alignment.reference[r]);
        Some(Step {
            rule: Rule::Conflict,
            source: Some(ours.sentence),
            target: Some(theirs.sentence),
            triggers: vec![ours.entity.text.clone()],
        })
    }

    fn conflicts(&self) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for (g, ours) in self.alignment.generated.iter().enumerate() {
            let exempt = self.config.reading.a_only_if_spurious && !self.alignment.spurious(g);
            if exempt || self.stays(ours.sentence) {
                continue;
            }
            for (r, theirs) in self.alignment.reference.iter().enumerate() {
                if self.alignment.contradict(g, r) && self.differ(ours.sentence, theirs.sentence) {
                    pairs.push((g, r));
                }
            }
        }
        pairs
    }

    /// (b) The reference sentence nearest to the spurious entities of a sentence, if it is near enough.
    fn replace_by_similar(&self, rng: &mut dyn RngCore) -> Option<Step> {
        let candidates: Vec<(usize, Vec<usize>)> = (0..self.x.len())
            .filter(|&i| !self.spurious[i].is_empty() && self.not_in_one_e(i))
            .map(|i| (i, self.nearest_sentences(i)))
            .filter(|(_, nearest)| !nearest.is_empty())
            .collect();
        let (i, nearest) = candidates.choose(rng)?;
        let target = *nearest.choose(rng)?;
        Some(Step {
            rule: Rule::Similar,
            source: Some(*i),
            target: Some(target),
            triggers: self.spurious_words(*i),
        })
    }

    /// E_fp is a subset of E\[y_j\] for no j.
    fn not_in_one_e(&self, i: usize) -> bool {
        let within = |j| self.spurious[i].iter().all(|&g| self.alignment.in_e(g, j));
        self.config.reading.b_without_subset_test || !(0..self.y.len()).any(within)
    }

    /// argmax over y_j ≠ x_i of the mean over E_fp of max cos(e, e'): all ties, or nothing below the threshold.
    fn nearest_sentences(&self, i: usize) -> Vec<usize> {
        let mut best = (self.config.replace_threshold(), Vec::new());
        for j in (0..self.y.len()).filter(|&j| self.differ(i, j)) {
            let Some(mean) = self.mean_similarity(&self.spurious[i], j) else {
                continue;
            };
            if mean > best.0 {
                best = (mean, vec![j]);
            } else if mean == best.0 {
                best.1.push(j);
            }
        }
        best.1
    }

    fn mean_similarity(&self, entities: &[usize], j: usize) -> Option<f64> {
        let nearest: Option<Vec<f64>> = entities.iter().map(|&g| self.alignment.nearest(g, j)).collect();
        nearest.map(|values| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// (c) One sentence with spurious entities goes, whatever else it says.
    fn delete_spurious(&self, rng: &mut dyn RngCore) -> Option<Step> {
        let sentences: Vec<usize> = (0..self.x.len()).filter(|&i| !self.spurious[i].is_empty()).collect();
        let i = *sentences.choose(rng)?;
        Some(Step {
            rule: Rule::Spurious,
            source: Some(i),
            target: None,
            triggers: self.spurious_words(i),
        })
    }

    /// (d) One reference sentence with a missing entity comes last.
    fn append_missing(&self, rng: &mut dyn RngCore) -> Option<Step> {
        let j = *self.sentences_with_missing_entities().choose(rng)?;
        let missing = |&r: &usize| self.alignment.reference[r].sentence == j && self.alignment.missing(r);
        let triggers = (0..self.alignment.reference.len()).filter(missing);
        let words = |r: usize| self.alignment.reference[r].entity.text.clone();
        Some(Step {
            rule: Rule::Missing,
            source: None,
            target: Some(j),
            triggers: triggers.map(words).collect(),
        })
    }

    fn sentences_with_missing_entities(&self) -> Vec<usize> {
        let missing = (0..self.alignment.reference.len()).filter(|&r| self.alignment.missing(r));
        let mut sentences: Vec<usize> = missing.map(|r| self.alignment.reference[r].sentence).collect();
        sentences.dedup();
        if self.config.reading.verbatim_sentences_stay {
            sentences.retain(|&j| (0..self.x.len()).all(|i| self.differ(i, j)));
        }
        sentences
    }

    /// Whether the verbatim guard protects x_i.
    fn stays(&self, i: usize) -> bool {
        self.config.reading.verbatim_sentences_stay && (0..self.y.len()).any(|j| !self.differ(i, j))
    }

    fn differ(&self, i: usize, j: usize) -> bool {
        !same_words(&self.x[i].text, &self.y[j].text)
    }

    fn spurious_words(&self, i: usize) -> Vec<String> {
        self.spurious[i]
            .iter()
            .map(|&g| self.alignment.generated[g].entity.text.clone())
            .collect()
    }
}
