//! The vocabulary of what a phantom can show: kinds of finding with side, zone and degree, and their CheXpert labels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What can be seen on a phantom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An endotracheal tube: a bright line down the midline that ends above the carina.
    Tube,
    /// A central line: a thin bright wire from the neck to the heart.
    Line,
    /// A pacemaker: a metal can on the chest, with a lead to the heart.
    Pacemaker,
    /// A heart that is wider than half of the chest.
    Cardiomegaly,
    /// Haze like bat's wings around both hila, thick vessels, short lines at the chest wall.
    Edema,
    /// A dense, even white area with dark airways in it.
    Consolidation,
    /// Several soft white spots with lung between them.
    Opacity,
    /// Bright bands across the base of a lung.
    Atelectasis,
    /// A small, round, dense spot with a sharp edge.
    Nodule,
    /// Fluid that whitens the angle from below and climbs the chest wall.
    Effusion,
    /// Black without vessels at the chest wall, behind a thin white line.
    Pneumothorax,
    /// Two ribs with a dark gap between bright, displaced ends.
    Fracture,
    /// A black crescent between the right diaphragm and the liver.
    FreeAir,
    /// Black streaks beside the ribs, up to the neck.
    SubcutaneousEmphysema,
    /// Lumps at both hila.
    Lymphadenopathy,
    /// A dome of tissue where the base of a lung should be.
    ElevatedDiaphragm,
    /// A bright wall behind the heart, with air above a level of fluid.
    HiatalHernia,
    /// A spine that curves to the side.
    Scoliosis,
    /// A lumpy white rim inside the chest wall.
    PleuralThickening,
    /// The shadow of the great vessels, twice as wide as usual.
    MediastinalWidening,
    /// Three tiny specks, as bright as metal.
    Granuloma,
    /// A thin white arc around the aortic knob.
    AorticCalcification,
}

impl Kind {
    /// The frequent kinds, which are those of version 1.
    pub const COMMON: [Self; 12] = [
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

    /// The long tail of version 2, the rarest kind first, with the words that every mention of the kind holds.
    pub const TAIL: [(Self, &str); 10] = [
        (Self::FreeAir, "free air"),
        (Self::SubcutaneousEmphysema, "subcutaneous emphysema"),
        (Self::Lymphadenopathy, "hilar lymphadenopathy"),
        (Self::ElevatedDiaphragm, "hemidiaphragm elevation"),
        (Self::HiatalHernia, "hiatal hernia"),
        (Self::Scoliosis, "scoliosis"),
        (Self::PleuralThickening, "pleural thickening"),
        (Self::MediastinalWidening, "mediastinal widening"),
        (Self::Granuloma, "calcified granuloma"),
        (Self::AorticCalcification, "aortic calcification"),
    ];

    /// Common kinds and tail.
    pub const COUNT: usize = Self::COMMON.len() + Self::TAIL.len();

    /// Common kinds and tail, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::COMMON.into_iter().chain(Self::TAIL.map(|(kind, _)| kind))
    }

    /// The words that every mention of a tail kind holds.
    pub fn tail_words(self) -> Option<&'static str> {
        Self::TAIL.into_iter().find(|(kind, _)| *kind == self).map(|(_, words)| words)
    }

    /// Endotracheal tube, central line or pacemaker.
    pub fn is_device(self) -> bool {
        matches!(self, Self::Tube | Self::Line | Self::Pacemaker)
    }

    /// Lies in the lung or the pleural space.
    pub fn is_pulmonary(self) -> bool {
        use Kind::*;
        matches!(
            self,
            Edema
                | Consolidation
                | Opacity
                | Atelectasis
                | Nodule
                | Effusion
                | Pneumothorax
                | PleuralThickening
                | Granuloma
        )
    }

    /// Is of the left, the right, or both sides; the others have no side.
    pub fn has_side(self) -> bool {
        use Kind::*;
        let tail = matches!(self, SubcutaneousEmphysema | ElevatedDiaphragm | PleuralThickening | Granuloma);
        tail || (self.is_pulmonary() && self != Edema) || matches!(self, Line | Pacemaker | Fracture)
    }

    /// Comes in a small and a large form.
    pub fn has_degree(self) -> bool {
        matches!(self, Self::Edema | Self::Effusion | Self::Pneumothorax)
    }

    /// Comes in an upper and a lower form.
    pub fn has_zone(self) -> bool {
        matches!(self, Self::Consolidation | Self::Opacity)
    }

    /// Index in [`CHEXPERT`]; `None` for a kind that none of the observations is about.
    fn observation(self) -> Option<usize> {
        Some(match self {
            Self::MediastinalWidening => 0,
            Self::Cardiomegaly => 1,
            Self::Opacity => 2,
            Self::Nodule | Self::Granuloma => 3,
            Self::Edema => 4,
            Self::Consolidation => 5,
            Self::Atelectasis => 7,
            Self::Pneumothorax => 8,
            Self::Effusion => 9,
            Self::PleuralThickening => 10,
            Self::Fracture => 11,
            Self::Tube | Self::Line | Self::Pacemaker => SUPPORT_DEVICES,
            _ => return None,
        })
    }
}

/// The patient's side: the patient's right is on the left of a frontal radiograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// On the right of a frontal radiograph.
    Left,
    /// On the left of a frontal radiograph.
    Right,
    /// One of it on each side.
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
    /// The upper half of the lung.
    Upper,
    /// The lower half of the lung.
    Lower,
}

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Degree {
    /// What reports call small; of edema, mild.
    Small,
    /// What reports call large; of edema, severe.
    Large,
}

/// One finding, without its kind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Means nothing for the kinds without [`Kind::has_side`].
    pub side: Side,
    /// `Some` for the kinds that [`Kind::has_zone`].
    pub zone: Option<Zone>,
    /// `Some` for the kinds that [`Kind::has_degree`].
    pub degree: Option<Degree>,
    /// How strongly it is drawn, 0 (not at all) to 1.
    pub contrast: f32,
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
/// Only what is named counts: a consolidation is not also a lung opacity. `No Finding` allows devices and, as CheXbert
/// does, findings that none of the observations is about.
pub fn chexpert(findings: &Findings, pneumonia: bool) -> [bool; 14] {
    let mut labels = [false; 14];
    for observation in findings.keys().filter_map(|kind| kind.observation()) {
        labels[observation] = true;
    }
    labels[PNEUMONIA] = pneumonia;
    labels[NO_FINDING] = !labels[..SUPPORT_DEVICES].contains(&true);
    labels
}
