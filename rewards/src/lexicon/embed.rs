//! Embeddings of entities: one direction per concept, moved a little by what modifies it.
//!
//! The same concept in other words has the same direction. Concepts of one family (airspace findings, devices) have a
//! cosine of about 0.4, unrelated ones about 0. Modifiers (side, zone, size, change, unknown words) have coordinates
//! of their own and together half the length of the concept, so that the same finding stays above 0.75 whatever modifies
//! it: opposite sides alone give 0.8, a side against none 0.89. Presence is not in the vector; the entity type carries it.

use super::{
    concepts::{Concept, Role},
    phrases::{Surroundings, phrase_start},
    scope::{Mention, Reading, Rules, Status},
    words::{UNKNOWN, normal},
};
use crate::entity::{Entity, EntityType};

/// The length of the concept's part of an embedding, which comes first.
const CONCEPT_WIDTH: usize = 256;
/// The length of the modifiers' part.
const MODIFIER_WIDTH: usize = 64;
/// The cosine of two concepts of one family.
const FAMILY: f64 = 0.4;
/// The length of the modifiers' part; the concept's is 1.
const MODIFIERS: f64 = 0.5;
/// The share of an unknown word among the modifiers.
const UNKNOWN_WORD: f64 = 0.5;

/// Words of one meaning share a name; sizes lie on an arc from tiny to large.
const SAME: &[(&str, &str)] = &[
    ("left", "left l leftward"),
    ("right", "right r rightward"),
    ("bilateral", "bilateral both biapical bibasilar bibasal diffuse"),
    ("lower", "lower base basilar basal bibasilar bibasal costophrenic"),
    ("upper", "upper apical apex biapical apicolateral"),
    ("middle", "middle mid lingula lingular"),
    ("central", "central perihilar hilar suprahilar infrahilar"),
    ("retrocardiac", "retrocardiac"),
    ("more", "increased increasing increase worsened worsening enlarging progressive larger"),
    ("less", "decreased decreasing decrease improved improving improvement resolving smaller"),
    ("same", "unchanged stable persistent chronic known residual healed old"),
    ("new", "new newly acute subacute development"),
];

const SIZES: &[&str] = &[
    "tiny trace minimal minimally little subtle faint",
    "small mild mildly slight slightly",
    "moderate moderately sized",
    "large severe severely massive marked markedly extensive huge big gross",
];

/// The angle between neighbouring sizes, in radians.
const SIZE_STEP: f64 = 0.45;

/// A pseudo-random vector of length 1 that depends on the name alone (FNV-1a, then splitmix64).
fn direction(name: &str, width: usize) -> Vec<f64> {
    let mut state =
        name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let value = 1. / (width as f64).sqrt();
    (0..width).map(|_| if next() >> 63 == 0 { value } else { -value }).collect()
}

fn add(sum: &mut [f64], vector: &[f64], weight: f64) {
    for (a, b) in sum.iter_mut().zip(vector) {
        *a += weight * b;
    }
}

fn scale_to(vector: &mut [f64], length: f64) {
    let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    if norm > 0. {
        vector.iter_mut().for_each(|x| *x *= length / norm);
    }
}

fn concept_direction(name: &str, family: &str) -> Vec<f64> {
    let mut vector = direction(name, CONCEPT_WIDTH);
    if !family.is_empty() {
        vector.iter_mut().for_each(|x| *x *= (1. - FAMILY).sqrt());
        add(&mut vector, &direction(family, CONCEPT_WIDTH), FAMILY.sqrt());
        scale_to(&mut vector, 1.);
    }
    vector
}

fn holds(words: &str, word: &str) -> bool {
    words.split(' ').any(|held| held == word)
}

fn add_modifier(sum: &mut [f64], word: &str, known: bool) {
    let mut found = false;
    for (name, _) in SAME.iter().filter(|(_, words)| holds(words, word)) {
        add(sum, &direction(name, MODIFIER_WIDTH), 1.);
        found = true;
    }
    for (step, _) in SIZES.iter().enumerate().filter(|(_, words)| holds(words, word)) {
        let angle = step as f64 * SIZE_STEP;
        add(sum, &direction("small end", MODIFIER_WIDTH), angle.cos());
        add(sum, &direction("large end", MODIFIER_WIDTH), angle.sin());
        found = true;
    }
    if !found {
        add(sum, &direction(word, MODIFIER_WIDTH), if known { 1. } else { UNKNOWN_WORD });
    }
}

fn embed(mut core: Vec<f64>, modifiers: impl Iterator<Item = (String, bool)>) -> Vec<f32> {
    let mut part = vec![0.; MODIFIER_WIDTH];
    let mut weight: f64 = 0.;
    for (word, known) in modifiers {
        add_modifier(&mut part, &word, known);
        weight = weight.max(if known { 1. } else { UNKNOWN_WORD });
    }
    scale_to(&mut part, MODIFIERS * weight);
    core.append(&mut part);
    core.into_iter().map(|x| x as f32).collect()
}

impl Rules {
    /// The entities of one sentence, in the order of their words: findings and devices that it asserts or denies, and
    /// body parts that no such entity contains.
    pub fn entities(&self, sentence: &str) -> Vec<Entity> {
        let reading = self.read(sentence, &mut false);
        let surroundings = self.surroundings(&reading);
        let mut placed: Vec<(usize, Entity)> = Vec::new();
        for (mention, around) in reading.mentions.iter().zip(&surroundings) {
            if let Some(kind) = kind(mention) {
                let start = phrase_start(mention.span.clone(), &around.modifiers);
                let embedding = self.embed_mention(sentence, &reading, mention.concept, around);
                let text = words(sentence, &reading, start, mention.span.end);
                placed.push((start, Entity { text, kind, embedding }));
            }
        }
        for (span, concept) in &reading.anatomy {
            let inside = reading.mentions.iter().any(|m| m.span.start <= span.start && span.end <= m.span.end);
            if !inside {
                let sided = |i: &usize| self.places(&reading.tokens[*i]);
                let start = (0..span.start).rev().take_while(sided).last().unwrap_or(span.start);
                let key = match concept.role {
                    Role::Subject(_) => concept.name.to_owned(),
                    _ => normal(&words(sentence, &reading, span.end - 1, span.end)),
                };
                let modifiers = (start..span.end - 1).map(|i| self.word(sentence, &reading, i));
                let embedding = embed(direction(&format!("body {key}"), CONCEPT_WIDTH), modifiers);
                let text = words(sentence, &reading, start, span.end);
                placed.push((start, Entity { text, kind: EntityType::Anatomy, embedding }));
            }
        }
        placed.sort_by_key(|(start, _)| *start);
        placed.into_iter().map(|(_, entity)| entity).collect()
    }

    fn embed_mention(&self, sentence: &str, reading: &Reading, concept: &Concept, around: &Surroundings) -> Vec<f32> {
        let places = around.anatomy.iter().flat_map(|&i| reading.anatomy[i].0.clone());
        let places = places.filter(|&i| self.places(&reading.tokens[i]));
        let mut at: Vec<usize> = around.modifiers.iter().copied().chain(places).collect();
        at.sort_unstable();
        at.dedup();
        let modifiers = at.into_iter().map(|i| self.word(sentence, reading, i));
        embed(concept_direction(concept.name, concept.family), modifiers)
    }

    /// The normal form of a word and whether the lexicon knows it.
    fn word(&self, sentence: &str, reading: &Reading, at: usize) -> (String, bool) {
        let token = &reading.tokens[at];
        (normal(&sentence[token.start..token.end]), token.id != UNKNOWN)
    }
}

fn words(sentence: &str, reading: &Reading, from: usize, to: usize) -> String {
    match (reading.tokens.get(from), reading.tokens.get(to.saturating_sub(1))) {
        (Some(first), Some(last)) => sentence.get(first.start..last.end).unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

/// The type of a mention; none if it asserts nothing.
fn kind(mention: &Mention) -> Option<EntityType> {
    match (mention.status, mention.concept.kind) {
        (Status::Silent, _) => None,
        (Status::Present | Status::Uncertain, kind) => Some(kind),
        (Status::Absent, EntityType::Disease) => Some(EntityType::NonDisease),
        (Status::Absent, EntityType::Abnormality) => Some(EntityType::NonAbnormality),
        (Status::Absent, _) => None,
    }
}
