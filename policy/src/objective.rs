//! The training objective of GRPO and its relatives as pure arithmetic on log-probabilities: advantages of a group,
//! clipped policy loss with importance weights, KL penalty, aggregation over tokens, entropy, and the gradient of the
//! total loss with respect to the log-probabilities.
//!
//! There are no tensors here. A learner computes log-probabilities by a forward pass, asks [`Objective::evaluate`] for
//! the loss and its gradient, and backpropagates Σ gradient · log-probability. Everything is computed in f64; the model
//! and the optimiser live elsewhere.

mod advantage;
mod aggregation;
mod config;
mod entropy;
mod response;
mod tally;
mod token;

pub use advantage::{Normalize, group_advantages, without_advantage};
pub use aggregation::{Aggregation, Batch};
pub use config::{ClipRange, EditedFrom, Importance, KlKind, ObjectiveConfig, OffPolicy};
pub use entropy::{entropy, entropy_gradient, log_probabilities, log_sum_exp};
pub use response::ResponseTerms;
pub use tally::{ObjectiveMetrics, Tally};

use crate::error::{Error, Result};

/// What [`Objective::evaluate`] found.
#[derive(Debug, Clone, Default)]
pub struct ObjectiveOutput {
    /// Policy loss + KL coefficient × KL.
    pub loss: f64,
    /// Aggregated policy loss.
    pub policy_loss: f64,
    /// Aggregated KL penalty before its coefficient; 0 when no reference was given.
    pub kl: f64,
    /// d loss / d `new`, per response and token; 0 for tokens that do not count.
    pub gradient: Vec<Vec<f32>>,
    /// Sums behind the metrics; those of several parts of a batch can be added.
    pub tally: Tally,
}

impl ObjectiveOutput {
    /// The figures to report.
    pub fn metrics(&self) -> ObjectiveMetrics {
        self.tally.metrics()
    }
}

/// The clipped policy objective with a KL penalty, as configured.
///
/// Per token, with ρ = π/π_prox, w the importance weight and A the advantage,
/// L = −w · min(ρ A, clip(ρ, 1 − ε_low, 1 + ε_high) A) + β · KL(π, π_ref). [`EditedFrom`] and [`OffPolicy`] change A, and
/// what becomes of tokens that no policy sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    config: ObjectiveConfig,
}

impl Objective {
    /// # Errors
    /// A setting out of its range, named with its value.
    pub fn new(config: ObjectiveConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config })
    }

    /// The settings, validated.
    pub fn config(&self) -> &ObjectiveConfig {
        &self.config
    }

    /// Evaluates a whole batch.
    ///
    /// A value that is not finite is not an error here: it makes the loss and the gradient non-finite, and the
    /// optimiser then skips the step.
    ///
    /// # Errors
    /// Slices of unequal length in one response; a missing reference although the KL coefficient is not 0.
    pub fn evaluate(&self, responses: &[ResponseTerms]) -> Result<ObjectiveOutput> {
        self.evaluate_part(responses, Batch::of(responses.iter().map(ResponseTerms::length)))
    }

    /// Evaluates some responses of a larger batch: losses and gradients carry the weights they have in the whole
    /// `batch`, so those of all parts simply add up.
    ///
    /// # Errors
    /// As [`Objective::evaluate`].
    pub fn evaluate_part(&self, responses: &[ResponseTerms], batch: Batch) -> Result<ObjectiveOutput> {
        let mut output = ObjectiveOutput::default();
        for (index, response) in responses.iter().enumerate() {
            self.check(index, response)?;
            let gradient = self.add_response(response, batch, &mut output);
            output.gradient.push(gradient);
        }
        output.loss = output.policy_loss + self.config.kl_coefficient * output.kl;
        Ok(output)
    }

    fn add_response(&self, response: &ResponseTerms, batch: Batch, output: &mut ObjectiveOutput) -> Vec<f32> {
        let share = batch.weight(self.config.aggregation, response.length(), self.config.norm_length);
        let sequence_log_ratio = token::sequence_log_ratio(response);
        let mut gradient = vec![0.0; response.new.len()];
        for (position, slot) in gradient.iter_mut().enumerate().filter(|(position, _)| response.counts(*position)) {
            let token = token::Token::at(response, position);
            let untouched = self.config.edited_from == EditedFrom::Difference && position < response.shared;
            let advantage = if untouched { 0.0 } else { response.advantage };
            let off_policy = if response.is_off_policy(position) { self.config.off_policy } else { OffPolicy::Plain };
            let weight = match off_policy {
                OffPolicy::Capped => token::capped(self.config.off_policy_floor, token),
                OffPolicy::Plain | OffPolicy::Shaped => token::importance(&self.config, token, sequence_log_ratio),
            };
            let policy = match off_policy {
                OffPolicy::Shaped => token::shaped(self.config.off_policy_gamma, token, advantage),
                OffPolicy::Plain | OffPolicy::Capped => token::policy(&self.config, token, advantage, weight.value),
            };
            let kl = token.reference.map(|reference| token::kl(self.config.kl, token.new - reference));
            output.policy_loss += share * policy.loss;
            output.kl += share * kl.map_or(0.0, |kl| kl.value);
            let slope = policy.slope + self.config.kl_coefficient * kl.map_or(0.0, |kl| kl.slope);
            *slot = (share * slope) as f32;
            output.tally.add_token(token, advantage, weight, policy, kl);
        }
        gradient
    }

    fn check(&self, index: usize, response: &ResponseTerms) -> Result<()> {
        let expected = response.new.len();
        let found = [
            ("proximal", Some(response.proximal.len())),
            ("behaviour", response.behaviour.map(<[f32]>::len)),
            ("reference", response.reference.map(<[f32]>::len)),
            ("mask", response.mask.map(<[bool]>::len)),
        ];
        for (field, length) in found {
            if let Some(length) = length.filter(|&length| length != expected) {
                let reason = format!("has {length} entries, expected {expected}, one per token");
                return Err(Error::invalid(format!("{field} of response {index}"), reason));
            }
        }
        if response.shared > expected {
            let reason = format!("{}, of {expected} tokens", response.shared);
            return Err(Error::invalid(format!("shared tokens of response {index}"), reason));
        }
        if response.reference.is_none() && self.config.kl_coefficient != 0.0 {
            let reason = format!("missing, but the KL coefficient is {}", self.config.kl_coefficient);
            return Err(Error::invalid(format!("reference of response {index}"), reason));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
