//! Command-line options that several commands share, as settings.

mod edit;
mod paper;
mod remote;
mod reward;

pub use edit::EditOptions;
pub use paper::PaperOptions;
pub use remote::RemoteOptions;
pub use reward::{RewardOptions, class_frequencies};
