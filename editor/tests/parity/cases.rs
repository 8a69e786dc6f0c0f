//! The fixture cases of the edit rule.

use std::path::PathBuf;

use addendum_editor::rule::Annotated;
use addendum_rewards::{Entity, EntityType};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    pub tau: f64,
    pub robust: bool,
    generated: Vec<Sentence>,
    reference: Vec<Sentence>,
    pub first_rule: String,
    pub acceptable_after_edits: BTreeMap<usize, Vec<Vec<String>>>,
    pub acceptable_text_after_one_edit: Vec<String>,
    #[serde(default)]
    pub conflicts_generated_to_reference: Option<BTreeMap<String, usize>>,
    pub variants: BTreeMap<String, Variant>,
    pub reference_code: ReferenceCode,
}

/// What the paper's published code does with the case.
#[derive(Deserialize)]
pub struct ReferenceCode {
    pub outputs_over_12_seeds: Vec<String>,
    pub operations: Vec<String>,
    pub contradictions_fp_fn: [usize; 3],
}

#[derive(Deserialize)]
pub struct Variant {
    pub first_rule: String,
    pub acceptable_after_one_edit: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct Sentence {
    text: String,
    entities: Vec<LabelledEntity>,
}

#[derive(Deserialize)]
struct LabelledEntity {
    text: String,
    presence: addendum_rewards::Presence,
    embedding: Vec<f32>,
}

impl Case {
    pub fn generated(&self) -> Vec<Annotated> {
        self.generated.iter().map(Sentence::annotated).collect()
    }

    pub fn reference(&self) -> Vec<Annotated> {
        self.reference.iter().map(Sentence::annotated).collect()
    }

    /// Results and first rule that the first of `variants` with an opinion accepts, or the canonical ones.
    pub fn acceptable(&self, variants: &[&str]) -> (&Vec<Vec<String>>, &str) {
        match variants.iter().find_map(|&name| self.variants.get(name)) {
            Some(variant) => (&variant.acceptable_after_one_edit, &variant.first_rule),
            None => (&self.acceptable_after_edits[&1], &self.first_rule),
        }
    }
}

impl Sentence {
    fn annotated(&self) -> Annotated {
        Annotated { text: self.text.clone(), entities: self.entities.iter().map(LabelledEntity::entity).collect() }
    }
}

impl LabelledEntity {
    fn entity(&self) -> Entity {
        let kinds = [EntityType::Disease, EntityType::NonDisease, EntityType::Anatomy];
        let kind = kinds.into_iter().find(|kind| kind.presence() == self.presence).unwrap();
        Entity { text: self.text.clone(), kind, embedding: self.embedding.clone() }
    }
}

/// A file of `rewards/editor`.
pub fn fixture<T: DeserializeOwned>(name: &str) -> T {
    let root = std::env::var_os("ADDENDUM_FIXTURES")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures")), PathBuf::from);
    let path = root.join("rewards/editor").join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn cases() -> Vec<Case> {
    let file: File = fixture("cases.json");
    assert!(file.cases.len() >= 72, "{} cases", file.cases.len());
    file.cases
}

pub fn stream(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}
