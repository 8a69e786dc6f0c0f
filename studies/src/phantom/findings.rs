//! The vocabulary of what a phantom can show: kinds of finding with side, zone and degree, and their CheXpert labels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What can be seen on a phantom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Tube,
    Line,
    Pacemaker,
    Cardiomegaly,
    Edema,
    Consolidation,
    Opacity,
    Atelectasis,
    Nodule,
    Effusion,
    Pneumothorax,
    Fracture,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::Tube,
        Self::Line,
        Self::Pacemaker,
        Self::Cardiomegaly,
        Self::Edema,
        Self::Consolidation,
        Self::Opacity,
        Self::Atelectasis,
        Self::Nodule,
        Self::Effusion,
        Self::Pneumothorax,
        Self::Fracture,
    ];

    /// Endotracheal tube, central line or pacemaker.
    pub fn is_device(self) -> bool {
        matches!(self, Self::Tube | Self::Line | Self::Pacemaker)
    }

    /// Lies in the lung or the pleural space.
    pub fn is_pulmonary(self) -> bool {
        !self.is_device() && !matches!(self, Self::Cardiomegaly | Self::Fracture)
    }

    /// Comes in a small and a large form.
    pub fn has_degree(self) -> bool {
        matches!(self, Self::Edema | Self::Effusion | Self::Pneumothorax)
    }

    /// Comes in an upper and a lower form.
    pub fn has_zone(self) -> bool {
        matches!(self, Self::Consolidation | Self::Opacity)
    }

    /// Index in [`CHEXPERT`].
    fn observation(self) -> usize {
        match self {
            Self::Cardiomegaly => 1,
            Self::Opacity => 2,
            Self::Nodule => 3,
            Self::Edema => 4,
            Self::Consolidation => 5,
            Self::Atelectasis => 7,
            Self::Pneumothorax => 8,
            Self::Effusion => 9,
            Self::Fracture => 11,
            Self::Tube | Self::Line | Self::Pacemaker => SUPPORT_DEVICES,
        }
    }
}

/// The patient's side: the patient's right is on the left of a frontal radiograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Left,
    Right,
    Both,
}

impl Side {
    /// One or two of `Left` and `Right`.
    pub fn each(self) -> &'static [Self] {
        match self {
            Self::Left => &[Self::Left],
            Self::Right => &[Self::Right],
            Self::Both => &[Self::Left, Self::Right],
        }
    }
}

/// Where in a lung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Zone {
    Upper,
    Lower,
}

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Degree {
    Small,
    Large,
}

/// One finding, without its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Finding {
    pub side: Side,
    /// `Some` for the kinds that [`Kind::has_zone`].
    pub zone: Option<Zone>,
    /// `Some` for the kinds that [`Kind::has_degree`].
    pub degree: Option<Degree>,
}

/// All findings of one radiograph; empty for a normal one.
pub type Findings = BTreeMap<Kind, Finding>;

/// CheXbert's 14 observations, in its order (Smit et al. 2020).
pub const CHEXPERT: [&str; 14] = [
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
    "No Finding",
];
const PNEUMONIA: usize = 6;
const SUPPORT_DEVICES: usize = 12;
const NO_FINDING: usize = 13;

/// Which observations a report of `findings` asserts, in the order of [`CHEXPERT`]; `pneumonia` if it names that cause.
///
/// Only what is named counts: a consolidation is not also a lung opacity. `No Finding` allows devices.
pub fn chexpert(findings: &Findings, pneumonia: bool) -> [bool; 14] {
    let mut labels = [false; 14];
    for kind in findings.keys() {
        labels[kind.observation()] = true;
    }
    labels[PNEUMONIA] = pneumonia;
    labels[NO_FINDING] = findings.keys().all(|kind| kind.is_device());
    labels
}
