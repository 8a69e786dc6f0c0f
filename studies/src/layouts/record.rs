//! What all layouts have in common: studies with images, dates and reports.

use std::path::Path;

use super::{conversion::Tally, options::Options};
use crate::{
    dataset::Split,
    error::Result,
    sections::{Kind, Sections},
    study::Projection,
};

/// A public dataset as its owners lay it out.
pub trait Layout {
    /// Its name in `conversion.json`.
    fn name(&self) -> &'static str;

    /// All studies in the folder `source`, in any order. What cannot become a record is told to `tally`.
    ///
    /// # Errors
    /// A file that the layout needs is missing, or cannot be read at all.
    fn read(&self, source: &Path, options: &Options, tally: &mut Tally) -> Result<Vec<Record>>;
}

/// One study, before anything is chosen or left out.
#[derive(Clone, Debug)]
pub struct Record {
    /// The study's id, unique in the dataset.
    pub id: String,
    /// The patient's id: no patient is in two of the seed's splits.
    pub patient: String,
    /// When it was made; text that sorts by time among the studies of a patient.
    pub when: Option<String>,
    /// The owners' split.
    pub split: Option<Split>,
    /// All radiographs of the study, in any order.
    pub images: Vec<Image>,
    /// The prior images that the dataset itself names; without them the most recent prior study by `when` has them.
    pub prior: Option<Vec<Image>>,
    /// Or the reason why there is none.
    pub report: Result<Report, &'static str>,
}

/// A radiograph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Relative to the source, with `/` between folders.
    pub file: String,
    /// What its view position says.
    pub seen: Seen,
}

/// What is known of a radiograph's view. Of several, the one of least rank is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// PA, AP or another frontal view, by rank.
    Frontal(u8),
    /// A lateral view, by rank.
    Lateral(u8),
    /// Nothing is known.
    Unknown,
    /// Neither frontal nor lateral, such as an oblique view.
    Other,
}

/// The sections of a report, each without its heading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is seen.
    pub findings: Option<String>,
    /// What it means.
    pub impression: Option<String>,
    /// Why the examination was ordered.
    pub indication: Option<String>,
    /// How it was done.
    pub technique: Option<String>,
    /// What it was compared with.
    pub comparison: Option<String>,
}

impl Report {
    /// The sections of a whole report. With `unheaded`, text under no heading is taken for findings where none is named.
    pub fn cut(report: &str, unheaded: bool) -> Self {
        let report = Sections::of(report);
        let findings = report.body(Kind::Findings);
        Self {
            findings: findings.or_else(|| unheaded.then(|| report.body(Kind::Untitled)).flatten()),
            impression: report.body(Kind::Impression),
            indication: report.body(Kind::Indication),
            technique: report.body(Kind::Technique),
            comparison: report.body(Kind::Comparison),
        }
    }
}

impl Seen {
    /// What the DICOM attribute View Position, or words in its place, say.
    pub fn of(position: &str) -> Self {
        let position = position.to_uppercase().replace(['_', '-'], " ");
        match position.split_whitespace().collect::<Vec<_>>().join(" ").as_str() {
            "PA" | "POSTERO ANTERIOR" | "POSTEROANTERIOR" => Self::Frontal(0),
            "AP" | "ANTERO POSTERIOR" | "ANTEROPOSTERIOR" => Self::Frontal(1),
            "FRONTAL" | "ERECT" | "SUPINE" => Self::Frontal(2),
            "AP AXIAL" | "PA AXIAL" => Self::Frontal(3),
            "LATERAL" | "LAT" | "LL" | "RL" | "LEFT LATERAL" | "RIGHT LATERAL" => Self::Lateral(0),
            "XTABLE LATERAL" | "CROSS TABLE LATERAL" => Self::Lateral(1),
            "" | "UNKNOWN" | "NONE" | "N/A" | "NAN" => Self::Unknown,
            _ => Self::Other,
        }
    }

    /// Projection and rank; of unknown ones as the options have it.
    pub(super) fn projection(self, unknown_is_frontal: bool) -> Option<(Projection, u8)> {
        match self {
            Self::Frontal(rank) => Some((Projection::Frontal, rank)),
            Self::Lateral(rank) => Some((Projection::Lateral, rank)),
            Self::Unknown if unknown_is_frontal => Some((Projection::Frontal, u8::MAX)),
            Self::Unknown | Self::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn view_positions_of_many_devices_are_frontal_lateral_other_or_unknown() {
        let kind = |position: &str| match Seen::of(position) {
            Seen::Frontal(_) => "frontal",
            Seen::Lateral(_) => "lateral",
            Seen::Unknown => "unknown",
            Seen::Other => "other",
        };
        for (positions, expected) in [
            ("PA|AP|pa |POSTERO_ANTERIOR|antero-posterior|AP AXIAL|ERECT|Supine|Frontal", "frontal"),
            ("LATERAL|LAT|LL|left lateral|XTABLE LATERAL", "lateral"),
            ("OBLIQUE|LAO|RPO|DECUBITUS|PA LLD|AP RLD|SWIMMERS|KUB|PICC LINE", "other"),
            ("|UNKNOWN|N/A|None| ", "unknown"),
        ] {
            for position in positions.split('|') {
                assert_eq!(kind(position), expected, "{position}");
            }
        }
        assert!(matches!((Seen::of("PA"), Seen::of("AP")), (Seen::Frontal(a), Seen::Frontal(b)) if a < b));
    }
}
