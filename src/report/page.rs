//! The run report: one HTML page that explains a run, or compares several, to somebody who was not there.
//!
//! The page is whole: no script, no font and no picture comes from elsewhere, and its content policy forbids it. It is made
//! of run folders alone, and the same folders give the same bytes. Reports, settings and errors are texts of others, and
//! escaped. Pictures come from the dataset, as far as that is still there.

mod arms;
mod curves;
mod detail;
mod edits;
mod flow;
mod gallery;
mod happenings;
mod head;
mod html;
mod picture;
mod place;
mod plot;
mod results;
mod series;
mod settings;

use super::{ReportError, run::Run};
use arms::Arm;
use detail::{DETAILS, Detail};

pub use place::{Find, Place};

/// The most runs of a page.
pub const MOST_RUNS: usize = 24;

/// No page is larger, in bytes.
pub const MOST_BYTES: usize = 5_000_000;

/// What a page is made of.
pub struct Page<'a> {
    /// What the runs' own names stand in for where it is not given.
    pub title: Option<&'a str>,
    /// At least one, and no more than [`MOST_RUNS`].
    pub runs: &'a [Run],
    /// Finds the studies that the gallery shows.
    pub find: &'a Find<'a>,
}

impl Page<'_> {
    /// The page, as large as it may be.
    ///
    /// # Errors
    /// No runs or too many; settings that are too long for any page.
    pub fn html(&self) -> Result<String, ReportError> {
        if self.runs.is_empty() || self.runs.len() > MOST_RUNS {
            return Err(ReportError::Runs { count: self.runs.len(), most: MOST_RUNS });
        }
        let arms = arms::of(self.runs);
        let pages = DETAILS.iter().map(|detail| self.with(&arms, *detail));
        pages.into_iter().find(|page| page.len() <= MOST_BYTES).ok_or(ReportError::TooLong { most: MOST_BYTES })
    }

    fn with(&self, arms: &[Arm<'_>], detail: Detail) -> String {
        let scores = results::tables(arms);
        let sections = [
            results::section(arms, &scores),
            curves::section(arms, detail),
            edits::section(arms, detail),
            flow::section(arms, detail),
            gallery::edited(arms, self.find, detail),
            gallery::tested(arms, self.find, detail),
            happenings::section(arms, detail),
            settings::section(arms, detail),
        ];
        let sections: Vec<html::Section> = sections.into_iter().flatten().collect();
        html::page(&head::of(self.title, arms, &scores), &sections)
    }
}
