//! Where a study is that a run folder speaks of, for whoever has the dataset.

use addendum_studies::Study;

use crate::report::run::Run;

/// A study that a run folder speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The training study of a ticket's draw.
    Training {
        /// The ticket's number.
        ticket: u64,
        /// How often the ticket's study had been replaced.
        draw: u32,
    },
    /// The study at a place of a test set.
    Test {
        /// The set's name.
        set: String,
        /// Counted from 0.
        index: usize,
    },
}

/// Finds a study again; or says why it cannot be found.
pub type Find<'a> = dyn Fn(&Run, &Place) -> Result<Study, String> + 'a;
