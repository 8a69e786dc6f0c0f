use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the losses of single tokens become one number.
///
/// Every mode is linear, so a mode is fully described by the weight it gives to each token; see [`Batch::weight`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Mean over all tokens of the batch (DAPO).
    TokenMean,
    /// Mean over responses of the sum over their tokens.
    SeqMeanTokenSum,
    /// Mean over responses of the mean over their tokens (GRPO).
    SeqMeanTokenMean,
    /// Sum over all tokens divided by a constant, so that neither a response's length nor the number of responses
    /// changes what a token weighs (Dr. GRPO).
    #[default]
    SeqMeanTokenSumNorm,
}

/// The size of a whole batch, which the weight of a single token depends on. A learner that walks through its batch
/// in parts computes this once from all lengths and hands it to every part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Batch {
    /// Tokens that count, over all responses.
    pub tokens: usize,
    /// Responses with at least one token that counts.
    pub responses: usize,
}

impl Batch {
    /// The size of a batch whose responses have these numbers of counted tokens.
    pub fn of(lengths: impl IntoIterator<Item = usize>) -> Self {
        lengths.into_iter().filter(|&length| length > 0).fold(Self::default(), |batch, length| Self {
            tokens: batch.tokens + length,
            responses: batch.responses + 1,
        })
    }

    /// The factor of one token's loss in the aggregated loss, for a token of a response with `length` counted tokens.
    /// `norm` is the constant divisor of [`Aggregation::SeqMeanTokenSumNorm`], in tokens. 0 for an empty response.
    pub fn weight(&self, mode: Aggregation, length: usize, norm: f64) -> f64 {
        if length == 0 || self.tokens == 0 {
            return 0.0;
        }
        match mode {
            Aggregation::TokenMean => 1.0 / self.tokens as f64,
            Aggregation::SeqMeanTokenSum => 1.0 / self.responses as f64,
            Aggregation::SeqMeanTokenMean => 1.0 / (self.responses as f64 * length as f64),
            Aggregation::SeqMeanTokenSumNorm => 1.0 / norm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_without_tokens_is_not_counted() {
        assert_eq!(Batch::of([3, 0, 2]), Batch { tokens: 5, responses: 2 });
        assert_eq!(Batch::of([0]).weight(Aggregation::SeqMeanTokenMean, 0, 1.0), 0.0);
    }

    #[test]
    fn modes_are_spelled_as_in_the_paper_code() {
        let spelled = serde_json::to_string(&Aggregation::SeqMeanTokenSumNorm).unwrap();
        assert_eq!(spelled, "\"seq-mean-token-sum-norm\"");
    }
}
