//! What a step is trained on.

use std::sync::Arc;

use crate::pack::EncodedPrompt;

/// A response with the reward it earned.
#[derive(Clone, Debug)]
pub struct TrainResponse {
    pub tokens: Vec<u32>,
    /// Log-probabilities reported by the policy that sampled it; `None` for an edited report.
    pub behaviour: Option<Vec<f32>>,
    pub reward: f64,
}

/// A prompt with all responses of its group.
#[derive(Clone, Debug)]
pub struct TrainGroup {
    pub prompt: Arc<EncodedPrompt>,
    pub responses: Vec<TrainResponse>,
}

impl TrainGroup {
    /// Packed tokens.
    pub fn tokens(&self) -> usize {
        self.prompt.tokens.ids.len() + self.responses.iter().map(|r| r.tokens.len()).sum::<usize>()
    }
}
