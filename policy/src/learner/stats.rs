//! What a step reports.

use serde::Serialize;

use super::group::Lesson;
use crate::objective::{ObjectiveMetrics, without_advantage};

/// What a step did. Of several updates, the figures are means weighted by their tokens. Times are in seconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StepStats {
    /// Policy loss plus the weighted KL term.
    pub loss: f64,
    /// The clipped objective, negated: what is minimised.
    pub policy_loss: f64,
    /// KL to the reference policy by the k3 estimator, in nats per token.
    pub kl: f64,
    /// Mean entropy of the response tokens, in nats.
    pub entropy: f64,
    /// Ratios, clipping and importance weights.
    pub metrics: ObjectiveMetrics,
    /// Standard deviation of the advantages over the batch.
    pub advantage_std: f64,
    /// Groups whose rewards are all equal.
    pub zero_variance_groups: usize,
    /// Before clipping; the plain mean over the updates.
    pub gradient_norm: f64,
    /// Of this step, after warm-up and decay.
    pub learning_rate: f64,
    /// Updates that were tried: minibatches × epochs, less those without a token that counts.
    pub updates: usize,
    /// The gradient norm of some update, or what it would have made of adapter and optimiser, was not finite, so that it
    /// changed nothing.
    pub skipped: bool,
    /// How often a device ran out of memory, so that micro-batches were halved.
    pub out_of_memory: u64,
    /// Response tokens that count, once each however often they were gone over.
    pub response_tokens: usize,
    /// Spent on log-probabilities under the frozen base.
    pub reference_seconds: f64,
    /// The passes for the policy at the start of the step included, which only several updates need.
    pub forward_seconds: f64,
    /// Spent on gradients, activations that are computed again included.
    pub backward_seconds: f64,
    /// Spent on AdamW.
    pub optimizer_seconds: f64,
}

impl StepStats {
    /// What is known before the network is asked.
    pub fn of(lessons: &[Lesson]) -> Self {
        let equal =
            |lesson: &&Lesson| without_advantage(&lesson.group.responses.iter().map(|r| r.reward).collect::<Vec<_>>());
        let responses = || lessons.iter().flat_map(|lesson| &lesson.responses);
        Self {
            zero_variance_groups: lessons.iter().filter(equal).count(),
            advantage_std: deviation(responses().map(|r| r.advantage)),
            response_tokens: responses().map(|r| r.length()).sum(),
            ..Self::default()
        }
    }
}

fn deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / n;
    (values.map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt()
}
