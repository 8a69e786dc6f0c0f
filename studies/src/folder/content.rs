//! What the two shapes of an entry, a conversation and plain fields, say in their own ways.

use super::roles::Role;
use crate::sections::{Kind, Sections, spoken};

#[derive(Debug, PartialEq, Eq)]
pub struct Content {
    /// At least one.
    pub pictures: Vec<Picture>,
    pub indication: Option<String>,
    pub technique: Option<String>,
    pub comparison: Option<String>,
    /// Not blank.
    pub reference: String,
    /// Whether the reference is a whole report, of which only findings and impression speak.
    pub whole: bool,
    /// Whose sections tell what is not known of the context; the reference itself where that is whole.
    pub report: Option<String>,
}

impl Content {
    /// With the sections of the report told apart, which takes longer than all the rest and is not needed to list studies.
    pub fn settled(mut self) -> Self {
        let Some(report) = self.report.take() else {
            if self.whole {
                self.reference = spoken(&self.reference).into_owned();
            }
            return self;
        };
        let sections = Sections::of(&report);
        let spoken = sections.spoken();
        // Where nothing speaks, the reference is the whole report, and its sections are none for a prompt.
        let told = |kind| sections.first(kind).filter(|_| spoken.len() != report.len()).map(str::to_owned);
        self.indication = self.indication.or_else(|| told(Kind::Indication));
        self.technique = self.technique.or_else(|| told(Kind::Technique));
        self.comparison = self.comparison.or_else(|| told(Kind::Comparison));
        if self.whole {
            self.reference = spoken.into_owned();
        }
        self
    }
}

/// An image of a study, and the field that names it.
#[derive(Debug, PartialEq, Eq)]
pub struct Picture {
    pub field: String,
    pub path: String,
    pub role: Role,
}
