//! A chest X-ray study: what the policy may see of it, and the reference report it may not.

use std::{path::PathBuf, sync::Arc};

use image::GrayImage;
use serde::{Deserialize, Serialize};

/// The projection of a radiograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Projection {
    Frontal,
    Lateral,
}

/// Whether a radiograph belongs to the study being reported or to the comparison study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timing {
    Current,
    Prior,
}

/// Where the pixels of a radiograph are.
#[derive(Clone, Debug)]
pub enum ImageSource {
    Pixels(Arc<GrayImage>),
    File(PathBuf),
}

/// One radiograph of a study.
#[derive(Clone, Debug)]
pub struct View {
    pub projection: Projection,
    pub timing: Timing,
    pub image: ImageSource,
}

/// The findings text written by the radiologist.
///
/// Only the editor, the rewards and supervised fine-tuning read it (law 6, isolation): it is a type of its own, not
/// a `String`, so that it cannot slip into a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference(String);

impl Reference {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn text(&self) -> &str {
        &self.0
    }
}

/// One study of a patient, as a dataset yields it.
#[derive(Clone, Debug)]
pub struct Study {
    /// Unique within its dataset, stable between runs.
    pub id: String,
    /// In prompt order: current views before prior ones, frontal before lateral.
    pub views: Vec<View>,
    pub indication: Option<String>,
    pub technique: Option<String>,
    pub comparison: Option<String>,
    pub reference: Reference,
}
