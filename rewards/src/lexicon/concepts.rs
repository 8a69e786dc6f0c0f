//! What a concept of the lexicon is. The tables of phrases are in `findings` and `body`.

use crate::{entity::EntityType, labels::Observation};

/// What a concept is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A finding, positive when asserted.
    Finding,
    /// A support device.
    Device,
    /// A statement that the study is normal ("normal chest").
    Normal,
    /// A part of the body, whose state a predicate may tell ("heart").
    Subject(Subject),
    /// A part of the body without a predicate of interest.
    Anatomy,
    /// The end of a device ("extubated"), absent when asserted.
    Removal,
    /// Words that look like a concept and are none ("pleural line").
    Ignore,
}

/// Parts of the body whose normal or abnormal state is a finding or its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Heart,
    Mediastinum,
    Cardiomediastinum,
    Lungs,
    Pleura,
    Vessels,
    Bones,
}

/// One concept.
#[derive(Debug)]
pub(super) struct Concept {
    /// The seed of its embedding and its name in messages.
    pub name: &'static str,
    pub role: Role,
    /// The RaTEScore type when present.
    pub kind: EntityType,
    pub labels: &'static [Observation],
    /// Concepts of one family are half alike.
    pub family: &'static str,
    /// Separated by `|`.
    pub phrases: &'static str,
}
