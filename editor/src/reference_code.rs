//! The edit rule of the paper's published code, for comparison with runs of it. `docs/editor.md` tells how it differs from
//! the paper's text and what that does.
//!
//! A false positive is an entity whose best match, weighted by RaTEScore's type affinity and negation weight, is below
//! τ; a false negative the same seen from the reference. Per edit: replace the sentence of the first false positive
//! that is near enough to a reference sentence, else delete the sentence of the first, else append the sentence of a random
//! false negative. Conflicts are found but do not drive an edit.
//!
//! The code's own τ is always 0.6; the threshold that its users configure is here `replace_threshold`. Not reproduced: the
//! code also collapses white space in reports that it leaves alone, and removes end tokens from text ([`clean_eos_tokens`], [`clean_rollout`]).

use addendum_rewards::metrics::rate::Weights;
use addendum_rewards::{Entity, EntityType, Presence, cosine};
use rand::RngCore;
use rand::seq::IndexedRandom;

use crate::annotated::Annotated;
use crate::config::EditConfig;
use crate::log::{Edit, Operation, Rule};

/// Cuts a report after a stop that white space follows, and at line breaks: `Dr.` ends a sentence, `effusion.No` does not.
pub fn sentences(report: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut before = None;
    for (at, c) in report.char_indices() {
        let stopped = matches!(before, Some('.' | '!' | '?')) && space(c);
        if c == '\n' || stopped {
            pieces.push(&report[start..at]);
            start = at;
        }
        before = Some(c);
    }
    pieces.push(&report[start..]);
    pieces.into_iter().map(|piece| piece.trim_matches(space)).filter(|piece| !piece.is_empty()).collect()
}

/// The end tokens that the code removes from text, as they are written; other special tokens and other cases stay.
const END_TOKENS: [&str; 8] =
    ["<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "</s>", "<eos>", "[EOS]", "[END]"];

/// A text as the code leaves it before it compares or edits: end tokens become blanks, and white space one blank, none at
/// the ends.
///
/// No token holds a blank, so that removing one makes no other. The editor does not call it: policies here end a report
/// with its end token's id, and its text holds none.
pub fn clean_eos_tokens(text: &str) -> String {
    let text = END_TOKENS.iter().fold(text.to_owned(), |text, token| text.replace(token, " "));
    text.split(space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A text as the code leaves it before it is tokenized again: first the policy's own end token goes and leaves no blank, so
/// that what stood around it may join, even to another token; then [`clean_eos_tokens`].
///
/// Not called by the editor either.
pub fn clean_rollout(text: &str, end_token: &str) -> String {
    if end_token.is_empty() { clean_eos_tokens(text) } else { clean_eos_tokens(&text.replace(end_token, "")) }
}

/// White space as the code's language counts it: Unicode's, and the four information separators.
fn space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The index of the first sentence that contains an entity's words, whatever their case.
pub fn sentence_of(sentences: &[&str], words: &str) -> Option<usize> {
    let words = words.to_lowercase();
    sentences.iter().position(|sentence| sentence.to_lowercase().contains(&words))
}

/// An entity and the text of its sentence.
#[derive(Clone, Copy, Debug)]
pub struct Attributed<'a> {
    /// The entity, as the extractor found it.
    pub entity: &'a Entity,
    /// The text of the sentence that it is attributed to.
    pub sentence: &'a str,
}

/// Moves each entity to the first sentence that contains its words, as the code does; one that none contains is lost.
///
/// So "effusion" of the third sentence is edited in the first if the word occurs there.
pub fn attribute(report: &mut [Annotated]) {
    let entities: Vec<Entity> = report.iter_mut().flat_map(|sentence| sentence.entities.drain(..)).collect();
    for entity in entities {
        let texts: Vec<&str> = report.iter().map(|sentence| sentence.text.as_str()).collect();
        if let Some(at) = sentence_of(&texts, &entity.text) {
            report[at].entities.push(entity);
        }
    }
}

/// The entities of a report with their sentences.
pub fn attributed(report: &[Annotated]) -> Vec<Attributed<'_>> {
    let mut all = Vec::new();
    for Annotated { text, entities } in report {
        all.extend(entities.iter().map(|entity| Attributed { entity, sentence: text }));
    }
    all
}

/// What the code finds when it compares two reports; indices into their entities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Generated and reference entity.
    pub contradictions: Vec<(usize, usize)>,
    /// Generated entities without a match in the reference.
    pub false_positives: Vec<usize>,
    /// Reference entities without a match in the generated report.
    pub false_negatives: Vec<usize>,
}

fn opposite(a: EntityType, b: EntityType) -> bool {
    let pair = (a.presence(), b.presence());
    matches!(pair, (Presence::Present, Presence::Absent) | (Presence::Absent, Presence::Present))
}

/// Compares the entities of a generated report with those of its reference. Below `tau` an entity counts as unmatched, and
/// two entities of opposite presence do not contradict each other.
pub fn analyse(generated: &[Attributed], reference: &[Attributed], tau: f64) -> Analysis {
    let weights = Weights::default();
    let similarity = |g: usize, r: usize| cosine(&generated[g].entity.embedding, &reference[r].entity.embedding);
    let effective = |g: usize, r: usize| {
        let (ours, theirs) = (generated[g].entity.kind, reference[r].entity.kind);
        let penalty = if opposite(ours, theirs) { weights.negation } else { 1. };
        similarity(g, r) * weights.affinity[ours as usize][theirs as usize] * penalty
    };
    let mut analysis = Analysis::default();
    for (g, ours) in generated.iter().enumerate() {
        let best = first_best((0..reference.len()).map(|r| (r, effective(g, r))));
        if let Some((r, _)) = best
            && opposite(ours.entity.kind, reference[r].entity.kind)
            && similarity(g, r) >= tau
        {
            analysis.contradictions.push((g, r));
        }
        if best.is_none_or(|(_, score)| score < tau) {
            analysis.false_positives.push(g);
        }
    }
    for (r, theirs) in reference.iter().enumerate() {
        let best = first_best((0..generated.len()).map(|g| (g, effective(g, r))));
        let contradicted = analysis.contradictions.iter().any(|&(_, other)| {
            let other = &reference[other];
            other.entity.text == theirs.entity.text && other.sentence == theirs.sentence
        });
        if best.is_none_or(|(_, score)| score < tau) && !contradicted {
            analysis.false_negatives.push(r);
        }
    }
    analysis
}

/// The greatest score and the first index that has it.
fn first_best(scores: impl Iterator<Item = (usize, f64)>) -> Option<(usize, f64)> {
    scores.reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// Applies the code's rule as often as [`EditConfig::operations`] allows. Only `tau` and `replace_threshold` count besides.
///
/// A deletion takes every copy of its sentence, each an [`Edit`] of its own. Where deletions empty the report, a
/// [`Rule::Empty`] append follows them.
pub fn edit(generated: &[Annotated], reference: &[Annotated], config: &EditConfig, rng: &mut dyn RngCore) -> Vec<Edit> {
    if generated.is_empty() {
        return Vec::new();
    }
    let (ours, theirs) = (attributed(generated), attributed(reference));
    let Analysis { false_positives, false_negatives, .. } = analyse(&ours, &theirs, config.tau);
    let mut draft = Draft {
        sentences: generated.iter().map(|sentence| sentence.text.clone()).collect(),
        done: Vec::new(),
        log: Vec::new(),
    };
    for _ in 0..config.operations(generated.len()) {
        let threshold = config.replace_threshold();
        let acted = false_positives.iter().any(|&g| draft.replace(&ours[g], &theirs, threshold))
            || false_positives.iter().any(|&g| draft.delete(&ours[g]))
            || draft.append(&false_negatives, &theirs, Rule::Missing, rng);
        if !acted {
            break;
        }
    }
    if draft.sentences.is_empty() {
        draft.append(&false_negatives, &theirs, Rule::Empty, rng);
    }
    draft.log
}

struct Draft {
    sentences: Vec<String>,
    /// Sentences that an edit has touched or brought in; none is touched again.
    done: Vec<String>,
    log: Vec<Edit>,
}

impl Draft {
    fn is_done(&self, sentence: &str) -> bool {
        self.done.iter().any(|done| done == sentence)
    }

    fn position(&self, sentence: &str) -> Option<usize> {
        self.sentences.iter().position(|other| other == sentence)
    }

    fn record(&mut self, operation: Operation, rule: Rule, position: usize, sentences: [Option<&str>; 2], words: &str) {
        let [source, target] = sentences.map(|sentence| sentence.map(str::to_owned));
        self.done.extend(source.iter().chain(&target).cloned());
        self.log.push(Edit { operation, rule, position, source, target, triggers: vec![words.to_owned()] });
    }

    /// Puts the reference sentence nearest to one false positive in the place of its sentence's first copy.
    fn replace(&mut self, spurious: &Attributed, reference: &[Attributed], threshold: f64) -> bool {
        let Some(position) = self.position(spurious.sentence).filter(|_| !self.is_done(spurious.sentence)) else {
            return false;
        };
        let Some((target, nearest)) = nearest_sentence(spurious, reference) else { return false };
        if nearest < threshold {
            return false;
        }
        self.sentences[position] = target.to_owned();
        let sentences = [Some(spurious.sentence), Some(target)];
        self.record(Operation::Replace, Rule::Similar, position, sentences, &spurious.entity.text);
        true
    }

    fn delete(&mut self, spurious: &Attributed) -> bool {
        if self.is_done(spurious.sentence) {
            return false;
        }
        let mut acted = false;
        while let Some(position) = self.position(spurious.sentence) {
            self.sentences.remove(position);
            let sentences = [Some(spurious.sentence), None];
            self.record(Operation::Delete, Rule::Spurious, position, sentences, &spurious.entity.text);
            acted = true;
        }
        acted
    }

    /// Appends the sentence of one missing entity, uniformly over entities; nothing if the report has that sentence.
    fn append(&mut self, missing: &[usize], reference: &[Attributed], rule: Rule, rng: &mut dyn RngCore) -> bool {
        let open: Vec<usize> = missing.iter().copied().filter(|&r| !self.is_done(reference[r].sentence)).collect();
        let Some(&r) = open.choose(rng) else { return false };
        let Attributed { entity, sentence } = reference[r];
        if self.position(sentence).is_some() {
            return false;
        }
        let position = self.sentences.len();
        self.sentences.push(sentence.to_owned());
        self.record(Operation::Append, rule, position, [None, Some(sentence)], &entity.text);
        true
    }
}

/// The first reference sentence, other than its own, with the entity nearest to a false positive; no cosine counts as less
/// than 0.
fn nearest_sentence<'a>(spurious: &Attributed, reference: &[Attributed<'a>]) -> Option<(&'a str, f64)> {
    let mut groups: Vec<(&str, f64)> = Vec::new();
    for other in reference.iter().filter(|other| other.sentence != spurious.sentence) {
        let similarity = cosine(&spurious.entity.embedding, &other.entity.embedding).max(0.);
        match groups.iter_mut().find(|(sentence, _)| *sentence == other.sentence) {
            Some((_, nearest)) => *nearest = nearest.max(similarity),
            None => groups.push((other.sentence, similarity)),
        }
    }
    groups.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best })
}
