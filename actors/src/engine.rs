//! What the actors compute with: a model that samples, one that learns, one that evaluates.
//!
//! The actors know a policy only through these traits, so they can be tested with a policy that fits on a page.
//! `S` is the snapshot: an immutable policy version, shared by reference count.

use std::{collections::BTreeMap, sync::Arc};

use addendum_replay::{PolicyVersion, RolloutGroup, TicketId};
use addendum_studies::Prompt;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Track;

/// Any error of an engine; it ends up as the reason of a failed ticket or of the whole run.
pub type EngineError = Box<dyn std::error::Error + Send + Sync>;

/// Scores of an evaluation by name.
pub type Scores = BTreeMap<String, f64>;

/// A policy version with its weights. Cheap to clone.
#[derive(Debug)]
pub struct Versioned<S> {
    /// How many training steps the weights have seen.
    pub version: PolicyVersion,
    /// The snapshot itself, shared rather than copied.
    pub weights: Arc<S>,
}

impl<S> Clone for Versioned<S> {
    fn clone(&self) -> Self {
        Self { version: self.version, weights: self.weights.clone() }
    }
}

/// Answers with the newest published policy version; `None` for the one that the request came with.
type Newest<S> = Arc<dyn Fn() -> Option<Versioned<S>> + Send + Sync>;

/// What a sampler is asked for: an owned value, so that it may wait in a queue. It holds no reference report (law 6).
pub struct Request<S> {
    /// The ticket that wants it; `None` of a request that no pipeline made.
    pub ticket: Option<TicketId>,
    /// Identifies the study, for caches.
    pub study: String,
    /// Views and text to report on.
    pub prompt: Arc<Prompt>,
    /// The policy to sample with.
    pub policy: Versioned<S>,
    /// One seed per report wanted; a report depends on its own seed only.
    pub seeds: Vec<u64>,
    /// Where a sampler may show in a trace what it is at: parts of the span that is open there while it samples.
    pub track: Track,
    newest: Newest<S>,
}

impl<S> Request<S> {
    /// A request that is sampled with one policy version from the first token to the last.
    pub fn new(study: impl Into<String>, prompt: Arc<Prompt>, policy: Versioned<S>, seeds: Vec<u64>) -> Self {
        Self {
            ticket: None,
            study: study.into(),
            prompt,
            policy,
            seeds,
            track: Track::default(),
            newest: Arc::new(|| None),
        }
    }

    /// The same request, with somebody to ask for newer versions. They must never be older than the request's own.
    pub fn swapping(self, newest: impl Fn() -> Option<Versioned<S>> + Send + Sync + 'static) -> Self {
        Self { newest: Arc::new(newest), ..self }
    }

    /// The policy to draw the next token with; a sampler that can swap weights asks between two tokens. It is the
    /// newest published one in a run with [`RunConfig::swap`](crate::RunConfig::swap), otherwise the request's own.
    pub fn newest(&self) -> Versioned<S> {
        (self.newest)().unwrap_or_else(|| self.policy.clone())
    }
}

/// A sampled report.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    /// Token ids, end token included unless truncated.
    pub tokens: Vec<u32>,
    /// The tokens as text, without the end token.
    pub text: String,
    /// Log-probability (nats) of each token at the sampling temperature, unfiltered.
    pub logprobs: Vec<f32>,
    /// The policy version that each token was drawn with.
    pub versions: Vec<PolicyVersion>,
    /// Whether the limit of length came before the end token.
    pub truncated: bool,
}

/// Samples reports by computing them. One instance per sampler actor, on a thread of its own, one request at a time.
///
/// ```
/// use std::sync::Arc;
///
/// use addendum_actors::{EngineError, Request, Sampled, Sampler, Versioned};
/// use addendum_replay::PolicyVersion;
/// use addendum_studies::Prompt;
///
/// /// Draws one of two reports, as the seed decides.
/// struct Coin;
///
/// impl Sampler<()> for Coin {
///     fn sample(&mut self, request: Request<()>) -> Result<Vec<Sampled>, EngineError> {
///         let report = |seed: &u64| Sampled {
///             tokens: vec![(seed % 2) as u32, 2],
///             text: ["Clear.", "Effusion."][(seed % 2) as usize].into(),
///             logprobs: vec![0.5f32.ln(), 0.0],
///             versions: vec![request.policy.version; 2],
///             truncated: false,
///         };
///         Ok(request.seeds.iter().map(report).collect())
///     }
/// }
///
/// let prompt = Arc::new(Prompt { views: vec![], text: "Write the findings.".into() });
/// let policy = Versioned { version: PolicyVersion(3), weights: Arc::new(()) };
/// let reports = Coin.sample(Request::new("1", prompt, policy, vec![7, 8]))?;
/// assert_eq!(reports.iter().map(|report| report.text.as_str()).collect::<Vec<_>>(), ["Effusion.", "Clear."]);
/// # Ok::<(), EngineError>(())
/// ```
pub trait Sampler<S>: Send {
    /// One report per seed, in order.
    ///
    /// # Errors
    /// The study cannot be sampled; its ticket is tried again and finally dead-lettered with this error.
    fn sample(&mut self, request: Request<S>) -> Result<Vec<Sampled>, EngineError>;
}

/// Samples reports of many studies together, by computing a token of each in turn: studies join while others are under
/// way. One instance per sampler actor, on a thread of its own.
///
/// A panic in it loses all requests under way. It is built anew, their tickets are issued again, and each of them is
/// sampled alone, so that only the one that it broke over fails.
pub trait BatchSampler<S>: Send {
    /// Whether it could begin another request now; it can if nothing is under way. Asked before a ticket is taken.
    fn has_room(&self) -> bool;

    /// Takes a request; `id` names it in what [`BatchSampler::advance`] returns. Asked for one whenever there is room.
    ///
    /// # Errors
    /// As [`Sampler::sample`].
    fn admit(&mut self, id: u64, request: Request<S>) -> Result<(), EngineError>;

    /// Computes for a short while, such as a token of every report under way. Returns the requests that ended, with one
    /// report per seed, in order, or an error as of [`Sampler::sample`].
    fn advance(&mut self) -> Vec<(u64, Result<Vec<Sampled>, EngineError>)>;

    /// The most reports of a batch, if what shares a batch may change how a report is rounded; `None` if a report
    /// depends on its request alone. In `fixed_lag` mode, tickets are then sampled in fixed batches of so many reports (of one
    /// ticket at least), all of which are admitted before the first step and advance to their end without others. Asked
    /// once.
    fn mixes(&self) -> Option<usize> {
        None
    }

    /// What it holds at the moment, to be watched.
    fn load(&self) -> Load {
        Load::default()
    }
}

/// What a [`BatchSampler`] holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Reports under way.
    pub sequences: usize,
    /// Share of the cache of keys and values that is taken, in [0, 1].
    pub cache: f64,
}

/// Samples reports by waiting for somebody who computes them, such as a server or an engine with threads
/// of its own. One instance per sampler actor, for several requests at a time.
///
/// ```
/// use addendum_actors::{AsyncSampler, EngineError, Request, Sampled};
///
/// /// Writes the same report about everybody, after a while.
/// struct Remote;
///
/// impl AsyncSampler<()> for Remote {
///     fn capacity(&self) -> usize {
///         64
///     }
///
///     async fn sample(&self, request: Request<()>) -> Result<Vec<Sampled>, EngineError> {
///         tokio::time::sleep(std::time::Duration::from_millis(5)).await;
///         let report = || Sampled {
///             tokens: vec![17, 0],
///             text: "Clear.".into(),
///             logprobs: vec![-0.5, -0.1],
///             versions: vec![request.policy.version; 2],
///             truncated: false,
///         };
///         Ok(request.seeds.iter().map(|_| report()).collect())
///     }
/// }
/// ```
pub trait AsyncSampler<S>: Send + Sync {
    /// Requests that may be under way at the same time; at least 1, asked once.
    fn capacity(&self) -> usize;

    /// One report per seed, in order. What is dropped before its answer was killed with its actor, or belongs to a run
    /// that is over.
    ///
    /// # Errors
    /// As [`Sampler::sample`]. A panic costs the request's ticket an attempt, too, and has the sampler built anew: the
    /// tickets of the other requests under way are lost with it, and issued again.
    fn sample(&self, request: Request<S>) -> impl Future<Output = Result<Vec<Sampled>, EngineError>> + Send;
}

/// Turns text into tokens, for rollouts that were not sampled.
pub trait Tokenize: Send + Sync {
    /// Tokens of an edited report: those of the sampled one up to the edit, then newly tokenized text, then the end
    /// token.
    ///
    /// # Errors
    /// The text cannot be tokenized.
    fn splice(&self, sampled: &[u32], edited: &str) -> Result<Vec<u32>, EngineError>;

    /// Tokens of a whole report, end token included.
    ///
    /// # Errors
    /// The text cannot be tokenized.
    fn report(&self, text: &str) -> Result<Vec<u32>, EngineError>;
}

/// Trains. One instance per run; it outlives restarts of the learner actor.
pub trait Learner<S>: Send {
    /// One training step on whole groups (law 5), sorted by ticket. Transactional: if it returns an error or panics,
    /// nothing has changed. Without groups (all tickets of the step are dead) it counts the step and changes nothing
    /// else.
    ///
    /// # Errors
    /// The step is impossible; the run ends with this error.
    fn step(&mut self, groups: &[RolloutGroup]) -> Result<StepStats, EngineError>;

    /// The policy as it is now.
    ///
    /// # Errors
    /// The run ends with this error.
    fn snapshot(&self) -> Result<Arc<S>, EngineError>;

    /// Everything that [`Learner::restore`] needs to continue bit for bit.
    ///
    /// # Errors
    /// The run ends with this error.
    fn save(&self) -> Result<Vec<u8>, EngineError>;

    /// Continues from saved state.
    ///
    /// # Errors
    /// The state is damaged or belongs to another model.
    fn restore(&mut self, state: &[u8]) -> Result<(), EngineError>;

    /// A snapshot as bytes; equal snapshots give equal bytes.
    ///
    /// # Errors
    /// The run ends with this error.
    fn write_snapshot(&self, snapshot: &S) -> Result<Vec<u8>, EngineError>;

    /// The inverse of [`Learner::write_snapshot`].
    ///
    /// # Errors
    /// The bytes are damaged or belong to another model.
    fn read_snapshot(&self, bytes: &[u8]) -> Result<S, EngineError>;
}

/// Evaluates a snapshot on held-out studies.
pub trait Evaluate<S>: Send {
    /// # Errors
    /// The evaluation is reported as failed; the run goes on.
    fn evaluate(&mut self, snapshot: &S) -> Result<Scores, EngineError>;
}

/// What a training step measured. Means are over trained tokens unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepStats {
    /// Policy loss including the KL term.
    #[serde(deserialize_with = "or_nan")]
    pub loss: f64,
    /// KL to the reference policy, k3 estimate (nats).
    #[serde(deserialize_with = "or_nan")]
    pub kl: f64,
    /// Entropy of the policy (nats).
    #[serde(deserialize_with = "or_nan")]
    pub entropy: f64,
    /// L2 norm of the gradient before clipping.
    #[serde(deserialize_with = "or_nan")]
    pub gradient_norm: f64,
    /// Share of tokens whose ratio was clipped.
    #[serde(deserialize_with = "or_nan")]
    pub clip_fraction: f64,
    /// Mean absolute difference of behaviour and proximal log-probabilities (nats), over sampled tokens.
    #[serde(deserialize_with = "or_nan")]
    pub logprob_difference: f64,
    /// Mean truncated importance weight over sampled tokens.
    #[serde(deserialize_with = "or_nan")]
    pub importance_weight: f64,
    /// (Σw)² / (n Σw²) over sampled tokens, in (0, 1].
    #[serde(deserialize_with = "or_nan")]
    pub effective_sample_size: f64,
    /// Whether the update was skipped because it, or the gradient, was not finite.
    pub skipped: bool,
    /// How often a device ran out of memory, so that the learner's micro-batches were halved.
    pub out_of_memory: u64,
    /// The rate of this step, after warm-up and decay.
    #[serde(deserialize_with = "or_nan")]
    pub learning_rate: f64,
}

/// JSON has no NaN: what was not finite is written as `null`.
pub(crate) fn or_nan<'a, D: Deserializer<'a>>(number: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(number)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistics_of_a_skipped_step_read_back_from_json() {
        let stats =
            StepStats { loss: f64::NAN, gradient_norm: f64::INFINITY, kl: 0.25, skipped: true, ..StepStats::default() };
        let read: StepStats = serde_json::from_str(&serde_json::to_string(&stats).unwrap()).unwrap();
        assert!(read.loss.is_nan() && read.gradient_norm.is_nan() && read.skipped);
        assert_eq!(read.kl, 0.25);
    }
}
