//! Command-line options that several commands share, as settings.

mod edit;
mod remote;
mod reward;

pub use edit::EditOptions;
pub use remote::RemoteOptions;
pub use reward::{RewardOptions, class_frequencies};
