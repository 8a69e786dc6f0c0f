//! Who samples: this program, or servers that it asks.

use std::path::PathBuf;

use addendum_policy::generate::BatchConfig;
use addendum_rewards_remote::servers::{Addresses, Form};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::Problem;
use crate::vllm::{VllmConfig, VllmError};

/// What reports are sampled with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// This program, on `policy.sampler_devices`.
    #[default]
    BuiltIn,
    /// vLLM servers.
    Vllm,
    /// Nobody: what an earlier run has recorded is trained on again.
    Recorded,
}

/// Who samples, and how much at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SamplerConfig {
    /// `built-in`, or `vllm` for servers at `urls`. Their arithmetic is not ours: a run with them is not the same again with
    /// the same seed. `recorded` trains again on the reports of an earlier run, at `recording`, whoever sampled them.
    pub engine: Engine,
    /// The folder of a run that has a sampled.jsonl (`run.record_sampled`), where the engine is `recorded`.
    #[schemars(extend("x-resume" = "free"))]
    pub recording: Option<PathBuf>,
    /// Addresses of the servers, such as http://127.0.0.1:8000, without a path; http or https.
    #[schemars(extend("x-resume" = "free"))]
    pub urls: Vec<String>,
    /// A file with further addresses, one a line, `#` before comments. It is read again when it changes, so that servers
    /// join and leave a run under way.
    #[schemars(extend("x-resume" = "free"))]
    pub urls_file: Option<PathBuf>,
    /// Reports that a built-in sampler writes at the same time, those of several studies together, at least 1. On a CPU no
    /// report depends on it; on a GPU it decides which reports are computed together, and so how they are rounded.
    #[schemars(extend("x-resume" = "rounding"))]
    pub max_sequences: usize,
    /// Bytes of a built-in sampler's cache of keys and values, at least those of the longest prompt and a report of full
    /// length; studies wait until they fit. Without it the cache grows to what the reports under way need. On a CPU
    /// no report depends on it; on a GPU roundings may.
    #[schemars(extend("x-resume" = "rounding"))]
    pub cache_bytes: Option<u64>,
    /// Tokens of a prompt that a built-in sampler computes between two tokens of the reports under way, at least 1; long
    /// prompts take several turns.
    #[schemars(extend("x-resume" = "rounding"))]
    pub prefill_tokens: usize,
    /// How vLLM servers are asked.
    #[schemars(extend("x-resume" = "free"))]
    pub vllm: VllmConfig,
}

impl Default for SamplerConfig {
    fn default() -> Self {
        let BatchConfig { max_sequences, cache_bytes, prefill_tokens } = BatchConfig::default();
        Self {
            engine: Engine::default(),
            recording: None,
            urls: Vec::new(),
            urls_file: None,
            max_sequences,
            cache_bytes,
            prefill_tokens,
            vllm: VllmConfig::default(),
        }
    }
}

impl SamplerConfig {
    /// # Errors
    /// The first setting out of its range, and addresses that the engine does not ask.
    pub fn validate(&self) -> Result<(), Problem> {
        if self.recording.is_some() && self.engine != Engine::Recorded {
            return Err(Problem::new(
                "recording",
                "is for the engine `recorded`, and this one samples: a recording is not needed",
            ));
        }
        match self.engine {
            Engine::Recorded if self.recording.is_none() => {
                Err(Problem::new("recording", "is not set; expected the folder of a run that has a sampled.jsonl"))
            }
            Engine::Recorded => Ok(()),
            Engine::Vllm => {
                let addresses = self.addresses().validate().map_err(VllmError::from);
                let checked = addresses.and_then(|()| self.vllm.validate());
                checked.map_err(|error| match error {
                    VllmError::Config { field, reason } => Problem::new(field, reason),
                    other => Problem::new("vllm", other),
                })
            }
            Engine::BuiltIn if self.urls.is_empty() && self.urls_file.is_none() => Ok(()),
            Engine::BuiltIn => Err(Problem::new(
                "engine",
                "is `built-in`, which asks no server; expected `vllm` where `urls` are named",
            )),
        }
    }

    /// Where the servers are.
    pub fn addresses(&self) -> Addresses {
        Addresses { urls: self.urls.clone(), file: self.urls_file.clone(), form: Form::Host }
    }

    /// What the built-in sampler holds.
    pub fn batch(&self) -> BatchConfig {
        BatchConfig {
            max_sequences: self.max_sequences,
            cache_bytes: self.cache_bytes,
            prefill_tokens: self.prefill_tokens,
        }
    }
}
