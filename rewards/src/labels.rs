//! The 14 CheXpert observations, what a report says of each, and the trait of what reads them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;

/// The observations of CheXpert (Irvin et al. 2019, table 1), in the order of the CheXbert label vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Observation {
    /// A mediastinum or heart silhouette that is wider than normal, and not the heart alone.
    #[serde(rename = "Enlarged Cardiomediastinum")]
    EnlargedCardiomediastinum,
    /// A heart that is wider than normal.
    Cardiomegaly,
    /// A whiter area of lung, whatever its cause.
    #[serde(rename = "Lung Opacity")]
    LungOpacity,
    /// A nodule, a mass or another circumscribed lesion.
    #[serde(rename = "Lung Lesion")]
    LungLesion,
    /// Water in the lung's tissue.
    Edema,
    /// Air spaces filled with something else.
    Consolidation,
    /// An infection of the lung, where the report names it.
    Pneumonia,
    /// Lung that is collapsed, wholly or in part.
    Atelectasis,
    /// Air in the pleural space.
    Pneumothorax,
    /// Liquid in the pleural space.
    #[serde(rename = "Pleural Effusion")]
    PleuralEffusion,
    /// Thickening, scars or calcification of the pleura.
    #[serde(rename = "Pleural Other")]
    PleuralOther,
    /// A broken bone, recent or old.
    Fracture,
    /// Tubes, lines, pacemakers and other devices.
    #[serde(rename = "Support Devices")]
    SupportDevices,
    /// The report asserts none of the findings; devices are allowed.
    #[serde(rename = "No Finding")]
    NoFinding,
}

impl Observation {
    /// In the order of the label vector.
    pub const ALL: [Self; 14] = [
        Self::EnlargedCardiomediastinum,
        Self::Cardiomegaly,
        Self::LungOpacity,
        Self::LungLesion,
        Self::Edema,
        Self::Consolidation,
        Self::Pneumonia,
        Self::Atelectasis,
        Self::Pneumothorax,
        Self::PleuralEffusion,
        Self::PleuralOther,
        Self::Fracture,
        Self::SupportDevices,
        Self::NoFinding,
    ];

    /// The five observations of CheXpert's competition, which "F1-5" averages over.
    pub const FIVE: [Self; 5] =
        [Self::Cardiomegaly, Self::Edema, Self::Consolidation, Self::Atelectasis, Self::PleuralEffusion];

    /// The name as CheXpert writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::EnlargedCardiomediastinum => "Enlarged Cardiomediastinum",
            Self::Cardiomegaly => "Cardiomegaly",
            Self::LungOpacity => "Lung Opacity",
            Self::LungLesion => "Lung Lesion",
            Self::Edema => "Edema",
            Self::Consolidation => "Consolidation",
            Self::Pneumonia => "Pneumonia",
            Self::Atelectasis => "Atelectasis",
            Self::Pneumothorax => "Pneumothorax",
            Self::PleuralEffusion => "Pleural Effusion",
            Self::PleuralOther => "Pleural Other",
            Self::Fracture => "Fracture",
            Self::SupportDevices => "Support Devices",
            Self::NoFinding => "No Finding",
        }
    }

    /// The position in the label vector, 0 to 13.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// What a report says of one observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// Not mentioned.
    #[default]
    Blank,
    /// Said to be there.
    Positive,
    /// Said not to be there.
    Negative,
    /// Said that it may be there.
    Uncertain,
}

/// One label per observation, in the order of [`Observation::ALL`].
pub type Labels = [Label; 14];

/// The labels as the CheXbert F1 counts them: positive and uncertain are true.
pub fn binary(labels: &Labels) -> [bool; 14] {
    labels.map(|label| matches!(label, Label::Positive | Label::Uncertain))
}

/// Labels reports. Implementations must be deterministic.
pub trait Labeller: Send + Sync {
    /// Returns the labels of each report, in order. A report's labels do not depend on its neighbours in the slice.
    fn label(&self, reports: &[&str]) -> Result<Vec<Labels>>;
}
