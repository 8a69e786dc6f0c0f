//! What the two shapes of an entry, a conversation and plain fields, say in their own ways.

use super::roles::Role;
use crate::sections::{self, Kind};

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
    /// Whose sections tell what is not known of the context.
    pub report: Option<String>,
}

impl Content {
    /// With the sections of the report told apart, which takes longer than all the rest and is not needed to list studies.
    pub fn settled(mut self) -> Self {
        if self.whole {
            self.reference = sections::spoken(&self.reference).into_owned();
        }
        let Some(report) = self.report.take() else { return self };
        // Where nothing speaks, the reference is the whole report, and its sections are none for a prompt.
        if sections::spoken(&report).len() == report.len() {
            return self;
        }
        let split = sections::split(&report);
        let told = |kind| {
            let bodies = split.iter().filter(|section| section.kind == kind);
            let mut bodies = bodies.map(|section| report[section.body.clone()].trim());
            bodies.find(|body| !body.is_empty()).map(str::to_owned)
        };
        self.indication = self.indication.or_else(|| told(Kind::Indication));
        self.technique = self.technique.or_else(|| told(Kind::Technique));
        self.comparison = self.comparison.or_else(|| told(Kind::Comparison));
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
