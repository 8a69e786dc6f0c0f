//! How the servers are reached.

use std::path::PathBuf;

use addendum_rewards_remote::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::VllmError;

/// vLLM servers (`vllm serve MODEL --enable-lora`, with `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`), all of them with the
/// checkpoint that the run starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VllmConfig {
    /// What the servers call the checkpoint (`--served-model-name`); the first that they list where not set.
    pub model: Option<String>,
    /// The file that holds the bearer token (`--api-key`); no token without it.
    pub token_file: Option<PathBuf>,
    /// The folder that adapters are published in; `adapters-published` in the run's folder where not set. Servers must be
    /// able to read it.
    pub adapters_folder: Option<PathBuf>,
    /// What the servers call that folder, where they see it under another path.
    pub adapters_folder_there: Option<PathBuf>,
    /// Reports that a server is asked for at the same time, at least 1. A slow server among fast ones is asked for fewer.
    pub reports_in_flight: usize,
    /// Seconds for one request, more than 0: all reports of a study, waiting in the server's queue included.
    pub timeout_seconds: f64,
    /// Seconds that a study waits for a server while none answers, before the attempt has failed; for ever where not set
    /// (what stands still is told, and ended by `run.stall`).
    pub patience_seconds: Option<f64>,
    /// Send the checkpoint's chat template along. Servers take it with `--trust-request-chat-template` only; without it
    /// theirs must be the same.
    pub send_chat_template: bool,
}

impl Default for VllmConfig {
    fn default() -> Self {
        Self {
            model: None,
            token_file: None,
            adapters_folder: None,
            adapters_folder_there: None,
            reports_in_flight: 64,
            timeout_seconds: 600.0,
            patience_seconds: None,
            send_chat_template: false,
        }
    }
}

impl VllmConfig {
    /// # Errors
    /// The first setting out of its range.
    pub fn validate(&self) -> Result<(), VllmError> {
        if self.reports_in_flight == 0 {
            return Err(VllmError::config("vllm.reports_in_flight", "is 0, expected at least 1"));
        }
        let positive = |field, seconds: f64| match std::time::Duration::try_from_secs_f64(seconds) {
            Ok(time) if !time.is_zero() => Ok(()),
            _ => Err(VllmError::config(field, format!("is {seconds}, expected seconds above 0"))),
        };
        positive("vllm.timeout_seconds", self.timeout_seconds)?;
        self.patience_seconds.map_or(Ok(()), |seconds| positive("vllm.patience_seconds", seconds))
    }

    /// The token, read from its file.
    ///
    /// # Errors
    /// The file cannot be read, or holds no token.
    pub(super) fn token(&self) -> Result<Option<Secret>, VllmError> {
        let read = self.token_file.as_deref().map(Secret::from_file).transpose();
        read.map_err(|error| VllmError::config("vllm.token_file", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_counts_out_of_range_are_refused() {
        let with = |change: fn(&mut VllmConfig)| {
            let mut config = VllmConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(with(|config| config.reports_in_flight = 0).contains("reports_in_flight"));
        assert!(with(|config| config.timeout_seconds = 0.0).contains("timeout_seconds"));
        assert!(with(|config| config.timeout_seconds = f64::NAN).contains("timeout_seconds"));
        assert!(with(|config| config.patience_seconds = Some(-1.0)).contains("patience_seconds"));
    }
}
