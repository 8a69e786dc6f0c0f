//! The clinical metrics as pure functions of annotations. Nothing here reads text.

pub mod chexbert;
mod prf;
pub mod radgraph;
pub mod rate;

pub use prf::Prf;
