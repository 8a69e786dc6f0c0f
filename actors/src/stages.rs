//! The stages that runs of EditGRPO are made of: the editor, the rewards, and selection where it is asked for.

mod editor;
mod reward;
mod select;

pub use editor::EditStage;
pub use reward::RewardStage;
pub use select::SelectStage;
