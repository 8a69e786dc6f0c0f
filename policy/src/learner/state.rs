//! What training leaves in a checkpoint.

use crate::{Error, Result};

/// What a checkpoint needs to go on: safetensors bytes and the number of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnerState {
    /// The adapter; of supervised training over all weights, those.
    pub parameters: Vec<u8>,
    /// Moments and number of steps; see [`AdamW::to_bytes`](crate::optim::AdamW::to_bytes).
    pub optimizer: Vec<u8>,
    /// Steps done, skipped ones included.
    pub steps: u64,
}

impl LearnerState {
    /// Steps and the parameters' length as u64 (little-endian), the parameters, the optimiser.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = [self.steps, self.parameters.len() as u64].map(u64::to_le_bytes).concat();
        [header.as_slice(), &self.parameters, &self.optimizer].concat()
    }

    /// The inverse of [`LearnerState::to_bytes`].
    ///
    /// # Errors
    /// Bytes that end too soon.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let truncated = || Error::invalid("learner state", format!("{} bytes are too few", bytes.len()));
        let (steps, rest) = bytes.split_first_chunk().ok_or_else(truncated)?;
        let (length, rest) = rest.split_first_chunk().ok_or_else(truncated)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| truncated())?;
        let (parameters, optimizer) = rest.split_at_checked(length).ok_or_else(truncated)?;
        Ok(Self { steps: u64::from_le_bytes(*steps), parameters: parameters.into(), optimizer: optimizer.into() })
    }
}
