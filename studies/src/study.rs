//! A chest X-ray study: what the policy may see of it, and the reference report it may not.

use std::{path::PathBuf, sync::Arc};

use image::GrayImage;
use serde::{Deserialize, Serialize};

/// The projection of a radiograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Projection {
    /// From the front or the back: AP or PA.
    Frontal,
    /// From the side.
    Lateral,
}

/// Whether a radiograph belongs to the study being reported or to the comparison study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timing {
    /// Of the study that is reported.
    Current,
    /// Of an earlier study of the patient.
    Prior,
}

/// Where the pixels of a radiograph are.
#[derive(Clone, Debug)]
pub enum ImageSource {
    /// In memory, 8 bits of grey, as phantoms are.
    Pixels(Arc<GrayImage>),
    /// A PNG, JPEG or DICOM file, decoded when it is needed.
    File(PathBuf),
}

/// One radiograph of a study.
#[derive(Clone, Debug)]
pub struct View {
    /// From where it was taken.
    pub projection: Projection,
    /// Whether it is to be reported or compared with.
    pub timing: Timing,
    /// Its pixels.
    pub image: ImageSource,
}

/// The findings text written by the radiologist.
///
/// Only the editor, the rewards and supervised fine-tuning read it (law 6, isolation): it is a type of its own, not
/// a `String`, so that it cannot slip into a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference(String);

impl Reference {
    /// The findings as they were written.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For editor, rewards and supervision alone.
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
    /// Why the examination was ordered; `None` where the report does not say.
    pub indication: Option<String>,
    /// How it was done; `None` where the report does not say.
    pub technique: Option<String>,
    /// What it was compared with; `None` where the report does not say.
    pub comparison: Option<String>,
    /// What the radiologist found; not to be shown to the policy.
    pub reference: Reference,
}
