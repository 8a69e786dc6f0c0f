//! Finds the studies again that a run folder speaks of: the dataset that its settings name, if it is still there.

use std::path::Path;

use addendum_replay::{StudyOrder, TicketId};
use addendum_studies::Study;
use anyhow::Result;

use super::{
    data::Data,
    settings::{Settings, Sources},
};
use crate::report::{page::Place, run::CONFIG};

/// The studies of a run.
pub struct Recall {
    data: Data,
    seed: u64,
}

impl Recall {
    /// Those of a run with these studies and this seed.
    pub fn new(data: Data, seed: u64) -> Self {
        Self { data, seed }
    }

    /// Those of the run in `folder`.
    ///
    /// # Errors
    /// Settings or studies that cannot be read.
    pub fn of(folder: &Path) -> Result<Self> {
        let settings = Settings::load(&Sources { file: Some(&folder.join(CONFIG)), sets: &[] })?;
        Ok(Self::new(Data::load(&settings.data)?, settings.run.seed))
    }

    /// The study at a place.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn find(&self, place: &Place) -> Result<Study, String> {
        let study = match place {
            Place::Training { .. } if self.data.training.is_empty() => return Err("no training studies".into()),
            Place::Training { ticket, draw } => {
                let mut order = StudyOrder::new(self.seed, self.data.training.len());
                self.data.training.study(order.study_of(TicketId(*ticket), *draw))
            }
            Place::Test { set, index } => {
                let known = self.data.tests.iter().find(|(name, _)| name == set);
                let (_, dataset) = known.ok_or_else(|| format!("there is no test set {set}"))?;
                dataset.study(*index)
            }
        };
        study.map_err(|error| error.to_string())
    }
}
