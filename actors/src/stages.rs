//! The stages that every run of EditGRPO is made of: the editor and the rewards.

mod editor;
mod reward;

pub use editor::EditStage;
pub use reward::RewardStage;
