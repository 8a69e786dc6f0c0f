//! The analysis of `POST /analyze` from entities: the comparison of the EditGRPO code, which lives in the editor.

use std::collections::BTreeMap;

use addendum_editor::reference_code::{Attributed, analyse, sentence_of, sentences};
use addendum_rewards::{Entity, Presence, cosine, metrics::rate::Weights};
use addendum_rewards_remote::wire::{Analysis, Contradiction, WireEntity};

/// The similarity from which the EditGRPO code takes entities for the same.
const TAU: f64 = 0.6;

/// Compares a generated report with its reference, both with their entities in the order of extraction.
pub(super) fn analysis(generation: &str, generated: &[Entity], truth: &str, reference: &[Entity]) -> Analysis {
    let (generated, reference) = (attributed(generation, generated), attributed(truth, reference));
    let found = analyse(&generated, &reference, TAU);
    let wire = |place: &Attributed| WireEntity::new(place.entity, place.sentence);
    let mut grouped: BTreeMap<String, Vec<WireEntity>> = BTreeMap::new();
    for place in &reference {
        grouped.entry(place.sentence.to_owned()).or_default().push(wire(place));
    }
    let contradiction = |&(g, r): &(usize, usize)| {
        let (ours, theirs) = (generated.get(g)?, reference.get(r)?);
        let similarity = cosine(&ours.entity.embedding, &theirs.entity.embedding);
        let effective_score_for_match_debug = similarity * weight(ours.entity, theirs.entity);
        Some(Contradiction {
            effective_score_for_match_debug,
            gen_entity: wire(ours),
            ref_entity: wire(theirs),
            similarity,
        })
    };
    Analysis {
        contradictions: found.contradictions.iter().filter_map(contradiction).collect(),
        error: None,
        false_negatives: found.false_negatives.iter().filter_map(|&r| reference.get(r)).map(wire).collect(),
        false_positives: found.false_positives.iter().filter_map(|&g| generated.get(g)).map(wire).collect(),
        ref_entities_grouped_by_sentence: grouped,
    }
}

/// Bytes that an analysis takes at least in an answer: a number of an embedding four, as in `0.0,`, and each entity's
/// sentence.
pub(super) fn least_bytes(analysis: &Analysis) -> usize {
    let contradicting = analysis.contradictions.iter().flat_map(|pair| [&pair.gen_entity, &pair.ref_entity]);
    let unmatched = analysis.false_negatives.iter().chain(&analysis.false_positives);
    let grouped = analysis.ref_entities_grouped_by_sentence.values().flatten();
    contradicting.chain(unmatched).chain(grouped).map(|entity| 4 * entity.embedding.len() + entity.sentence.len()).sum()
}

/// Entities with the first sentence that contains their words; those that none contains are lost, as in that code.
fn attributed<'a>(report: &'a str, entities: &'a [Entity]) -> Vec<Attributed<'a>> {
    let sentences = sentences(report);
    let place = |entity: &'a Entity| {
        let sentence = sentence_of(&sentences, &entity.text).and_then(|at| sentences.get(at).copied())?;
        Some(Attributed { entity, sentence })
    };
    entities.iter().filter_map(place).collect()
}

/// RaTEScore's affinity of two types, times the negation weight where one asserts what the other denies.
fn weight(ours: &Entity, theirs: &Entity) -> f64 {
    let weights = Weights::default();
    let opposite = matches!(
        (ours.kind.presence(), theirs.kind.presence()),
        (Presence::Present, Presence::Absent) | (Presence::Absent, Presence::Present)
    );
    weights.affinity[ours.kind as usize][theirs.kind as usize] * if opposite { weights.negation } else { 1. }
}
