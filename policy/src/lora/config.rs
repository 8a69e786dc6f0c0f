//! Settings of an adapter.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, module::Module};

/// Which layers are adapted, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the update of a layer's weights, between 1 and 4096.
    pub rank: usize,
    /// The update is scaled by this / rank; above 0.
    pub alpha: f64,
    /// Which layers of the language model are adapted, by their names in the checkpoint.
    pub target_modules: Vec<Module>,
    /// Scale by alpha / sqrt(rank) instead of alpha / rank (rank-stabilised LoRA, Kalajdzievski 2023).
    pub rslora: bool,
    /// The share of a layer's inputs that PEFT's trainers drop in front of A, at least 0 and below 1. Kept, and written
    /// back with the adapter, but never applied here: the objective needs the log-probabilities of the policy that
    /// sampled.
    pub dropout: f64,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self { rank: 16, alpha: 32.0, target_modules: Module::ALL.into(), rslora: false, dropout: 0.0 }
    }
}

impl LoraConfig {
    /// # Errors
    /// The first setting out of its range, with its value.
    pub fn validate(&self) -> Result<()> {
        if !(1..=4096).contains(&self.rank) {
            return Err(Error::invalid("rank", format!("{} is not between 1 and 4096", self.rank)));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(Error::invalid("alpha", format!("{} is not finite and above 0", self.alpha)));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::invalid("dropout", format!("{} is not at least 0 and below 1", self.dropout)));
        }
        if self.target_modules.is_empty() {
            return Err(Error::invalid("target_modules", "is empty; nothing would be trained"));
        }
        let once: BTreeSet<_> = self.target_modules.iter().collect();
        if once.len() != self.target_modules.len() {
            let reason = format!("{:?} name a module twice", self.target_modules);
            return Err(Error::invalid("target_modules", reason));
        }
        Ok(())
    }

    /// The factor of B A.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.rslora { rank.sqrt() } else { rank }
    }
}
