//! The hospitals that phantoms come from.

use serde::{Deserialize, Serialize};

/// Where the radiographs come from. `A` is for training and in-domain tests; `B` is out-of-domain: flatter and
/// brighter tones, more noise, a black frame, a side marker, patients further away, other preferences of phrasing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Site {
    /// In-domain.
    A,
    /// Out-of-domain.
    B,
}
