//! What a training run is put together from: data, policy and its devices, back ends of the reward, settings, and what
//! watches over it.

pub mod data;
pub mod evaluation;
pub mod held_out;
pub mod interrupt;
pub mod memory;
pub mod placement;
pub mod plan;
pub mod prometheus;
pub mod recall;
pub mod reward_models;
pub mod reward_pools;
pub mod reward_services;
pub mod reward_stages;
pub mod run;
pub mod sampler;
mod sampling;
pub mod settings;
pub mod supervised;
pub mod training;

pub use plan::Plan;
pub use run::Run;
pub use settings::{Settings, Sources};
pub use training::Training;
