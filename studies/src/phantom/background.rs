//! What version 2 says of regions that are normal, to fill a report.
//!
//! The phrasings of a region differ in words that are no entities, so that an editor finds nothing to correct between them.

use super::{
    findings::{Findings, Kind},
    phrases::{self, Phrasings},
};

/// A statement that something is normal.
pub struct Region {
    pub phrasings: Phrasings,
    /// Findings that it would contradict.
    spoiled_by: &'static [Kind],
}

impl Region {
    /// Whether the statement can stand beside these findings.
    pub fn allows(&self, findings: &Findings) -> bool {
        !self.spoiled_by.iter().any(|kind| findings.contains_key(kind))
    }
}

const fn region(spoiled_by: &'static [Kind], phrasings: &'static [&'static str]) -> Region {
    Region { phrasings: Phrasings(phrasings), spoiled_by }
}

/// The summary of a report without findings.
pub const NOTHING_ACUTE: Phrasings = Phrasings(&[
    "No acute cardiopulmonary process.",
    "There is no acute cardiopulmonary process.",
    "No acute cardiopulmonary process is seen.",
]);

use Kind::*;

/// Of the lungs, which comes before all others.
pub const LUNGS: Region = Region {
    phrasings: phrases::CLEAR_LUNGS,
    spoiled_by: &[
        Edema,
        Consolidation,
        Opacity,
        Atelectasis,
        Nodule,
        Effusion,
        Pneumothorax,
        PleuralThickening,
        Granuloma,
    ],
};

/// The others, in the order in which they are said.
pub const REGIONS: &[Region] = &[
    region(&[Cardiomegaly], &["Heart size is normal.", "The heart size is normal.", "The heart is normal in size."]),
    region(
        &[MediastinalWidening, Lymphadenopathy, HiatalHernia],
        &[
            "Mediastinal contours are normal.",
            "The mediastinal contours are normal.",
            "Mediastinal contours are unremarkable.",
        ],
    ),
    region(&[Fracture, Scoliosis], &["The bones are intact.", "Bones are intact.", "All bones are intact."]),
    region(
        &[Edema],
        &[
            "Pulmonary vascularity is normal.",
            "The pulmonary vascularity is normal.",
            "Pulmonary vascularity is unremarkable.",
        ],
    ),
    region(&[Edema, Lymphadenopathy], &["The hila are normal.", "Both hila are normal.", "The hila are unremarkable."]),
    region(
        &[Effusion, PleuralThickening],
        &[
            "The costophrenic angles are sharp.",
            "Costophrenic angles are sharp.",
            "Both costophrenic angles are sharp.",
        ],
    ),
    region(
        &[Effusion, Atelectasis, ElevatedDiaphragm, FreeAir],
        &["The diaphragm is normal.", "The diaphragm is well defined.", "The diaphragm is unremarkable."],
    ),
    region(
        &[MediastinalWidening],
        &["The trachea is midline.", "Trachea is midline.", "The trachea is in the midline."],
    ),
    region(
        &[Tube, Line, Pacemaker],
        &["No support devices.", "There are no support devices.", "No support devices are seen."],
    ),
    region(
        &[SubcutaneousEmphysema],
        &["The soft tissues are unremarkable.", "Soft tissues are normal.", "The soft tissues are normal."],
    ),
    region(
        &[FreeAir, HiatalHernia],
        &["The upper abdomen is unremarkable.", "Upper abdomen is normal.", "The upper abdomen is normal."],
    ),
    region(
        &[AorticCalcification, MediastinalWidening],
        &["The aorta is normal.", "The thoracic aorta is normal.", "The aorta is unremarkable."],
    ),
    region(
        &[Scoliosis, Fracture],
        &["The thoracic spine is unremarkable.", "The spine is normal.", "The thoracic spine is normal."],
    ),
    region(
        &[Atelectasis, ElevatedDiaphragm, Pneumothorax],
        &["Lung volumes are normal.", "The lung volumes are normal.", "Normal lung volumes."],
    ),
    region(
        &[Effusion, Atelectasis],
        &["The fissures are normal.", "The fissures are normal in position.", "The fissures are unremarkable."],
    ),
    region(&[], &["The airways are patent.", "The central airways are patent.", "The airways are unremarkable."]),
    region(
        &[HiatalHernia, ElevatedDiaphragm],
        &[
            "The stomach is in normal position.",
            "The stomach is normal in position.",
            "Position of the stomach is normal.",
        ],
    ),
    region(&[Fracture], &["The clavicles are intact.", "Both clavicles are intact.", "Clavicles are intact."]),
    region(
        &[Fracture],
        &["The shoulders are unremarkable.", "The shoulders are normal.", "Both shoulders are normal."],
    ),
    region(
        &[SubcutaneousEmphysema],
        &["The lower neck is unremarkable.", "The neck is unremarkable.", "The lower neck is normal."],
    ),
    region(&[], &["The esophagus is unremarkable.", "The esophagus is normal.", "Normal esophagus."]),
    region(&[], &["Inspiration is adequate.", "The inspiration is adequate.", "Adequate inspiration."]),
    region(&[], &["The patient is not rotated.", "The patient is well positioned.", "Positioning is adequate."]),
    region(&[], &["Exposure is adequate.", "The exposure is adequate.", "Adequate exposure."]),
];
