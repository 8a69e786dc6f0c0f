//! LoRA (Hu et al. 2021) on the language model's linear layers: which layers, how large, and one version's weights.
//!
//! An [`Adapter`] is an immutable snapshot; training makes new ones. Files are in PEFT's format.

mod adapter;
mod config;
mod peft;
mod targets;

pub use adapter::{Adapter, LayerAdapter};
pub use config::LoraConfig;

pub use crate::module::Module;
