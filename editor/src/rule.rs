//! The edit rule (a)-(e) of EditGRPO, section 2, on sentences whose entities are known.
//!
//! Knows nothing of text: [`splice`](crate::splice) carries its edits into a report. x_i are the generated sentences, y_j
//! the reference's. Every choice is uniform over a list in sentence order, drawn from the caller's stream.

use rand::RngCore;
use rand::seq::IndexedRandom;

use crate::align::Alignment;
pub use crate::annotated::Annotated;
use crate::config::EditConfig;
use crate::log::{Edit, Operation, Rule};

/// Applies the rule as often as [`EditConfig::operations`] allows and returns what it did, in order.
///
/// No edit means that rule (e) holds from the start. Rule (e)'s fallback, a reference sentence in place of the only one just
/// deleted, is one [`Operation::Replace`].
pub fn edit(generated: &[Annotated], reference: &[Annotated], config: &EditConfig, rng: &mut dyn RngCore) -> Vec<Edit> {
    let reference: Vec<&Annotated> = reference.iter().collect();
    let mut current: Vec<&Annotated> = generated.iter().collect();
    let mut log = Vec::new();
    for _ in 0..config.operations(generated.len()) {
        let Some(step) = Pass::new(&current, &reference, config).step(rng) else {
            break;
        };
        log.push(step.carry_out(&mut current, &reference));
    }
    if current.is_empty()
        && let Some(last) = log.last_mut()
    {
        let original: Vec<&Annotated> = generated.iter().collect();
        let before = if config.reading.fallback_from_original_false_negatives { &original } else { &current };
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
        let mut pass = Self { x, y, config, alignment, spurious: vec![Vec::new(); x.len()] };
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
        Some(Step { rule: Rule::Similar, source: Some(*i), target: Some(target), triggers: self.spurious_words(*i) })
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
        Some(Step { rule: Rule::Spurious, source: Some(i), target: None, triggers: self.spurious_words(i) })
    }

    /// (d) One reference sentence with a missing entity comes last.
    fn append_missing(&self, rng: &mut dyn RngCore) -> Option<Step> {
        let j = *self.sentences_with_missing_entities().choose(rng)?;
        let missing = |&r: &usize| self.alignment.reference[r].sentence == j && self.alignment.missing(r);
        let triggers = (0..self.alignment.reference.len()).filter(missing);
        let words = |r: usize| self.alignment.reference[r].entity.text.clone();
        Some(Step { rule: Rule::Missing, source: None, target: Some(j), triggers: triggers.map(words).collect() })
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
        self.spurious[i].iter().map(|&g| self.alignment.generated[g].entity.text.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use addendum_rewards::{Entity, EntityType};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    /// A sentence that asserts each finding, given as the direction of its embedding in degrees.
    fn findings(text: &str, degrees: &[f32]) -> Annotated {
        let entity = |degrees: &f32| Entity {
            text: degrees.to_string(),
            kind: EntityType::Disease,
            embedding: vec![degrees.to_radians().cos(), degrees.to_radians().sin()],
        };
        Annotated { text: text.into(), entities: degrees.iter().map(entity).collect() }
    }

    fn logs(x: &[Annotated], y: &[Annotated], config: &EditConfig) -> Vec<Vec<Edit>> {
        (0..300).map(|seed| edit(x, y, config, &mut ChaCha8Rng::seed_from_u64(seed))).collect()
    }

    fn times(logs: &[Vec<Edit>], target: &str) -> usize {
        logs.iter().filter(|log| log[0].target.as_deref() == Some(target)).count()
    }

    #[test]
    fn a_lower_replace_threshold_turns_deletions_into_replacements() {
        let (x, y) = ([findings("x.", &[0.])], [findings("y.", &[60.])]);
        let config = |threshold| EditConfig { replace_threshold: threshold, ..EditConfig::default() };
        let [strict, loose] = [None, Some(0.4)].map(|threshold| logs(&x, &y, &config(threshold))[0][0].clone());
        assert_eq!((strict.rule, loose.rule), (Rule::Empty, Rule::Similar));
        assert_eq!(loose.operation, Operation::Replace);
        assert_eq!(loose.triggers, ["0"]);
    }

    #[test]
    fn the_nearest_reference_sentence_replaces_and_ties_are_as_likely() {
        let x = [findings("x.", &[0.])];
        let y = [
            findings("far.", &[75.]),
            findings("near.", &[60.]),
            findings("as near.", &[60.]),
            findings("farther.", &[80.]),
        ];
        let logs = logs(&x, &y, &EditConfig { replace_threshold: Some(0.1), ..EditConfig::default() });
        let (near, as_near) = (times(&logs, "near."), times(&logs, "as near."));
        assert_eq!(near + as_near, 300);
        assert!(near.abs_diff(as_near) < 90, "{near} and {as_near}");
    }

    #[test]
    fn a_sentence_with_many_missing_entities_is_as_likely_as_one_with_one() {
        let y = [findings("many.", &[0., 90., 180., 270.]), findings("one.", &[45.])];
        let logs = logs(&[], &y, &EditConfig::default());
        let (many, one) = (times(&logs, "many."), times(&logs, "one."));
        assert_eq!(many + one, 300);
        assert!(many.abs_diff(one) < 90, "{many} and {one}");
        let triggers = |target: &str| {
            logs.iter().find(|log| log[0].target.as_deref() == Some(target)).unwrap()[0].triggers.clone()
        };
        assert_eq!(triggers("many."), ["0", "90", "180", "270"]);
    }

    #[test]
    fn emptying_a_report_is_one_replacement() {
        let log = edit(
            &[findings("x.", &[0.])],
            &[findings("y.", &[180.])],
            &EditConfig::default(),
            &mut ChaCha8Rng::seed_from_u64(0),
        );
        let expected = Edit {
            operation: Operation::Replace,
            rule: Rule::Empty,
            position: 0,
            source: Some("x.".into()),
            target: Some("y.".into()),
            triggers: vec!["0".into()],
        };
        assert_eq!(log, [expected]);
    }

    #[test]
    fn wrapped_lines_and_full_stops_do_not_make_sentences_differ() {
        assert!(same_words("The heart\nis large", "The heart is large."));
        assert!(!same_words("The heart is large.", "The heart is not large."));
    }
}
