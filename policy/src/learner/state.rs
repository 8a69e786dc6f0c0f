//! What a learner leaves in a checkpoint.

use crate::{Error, Result};

/// What a checkpoint needs to go on: safetensors bytes and the number of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnerState {
    pub adapter: Vec<u8>,
    pub optimizer: Vec<u8>,
    pub steps: u64,
}

impl LearnerState {
    /// Steps and the adapter's length as u64 (little-endian), the adapter, the optimiser.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = [self.steps, self.adapter.len() as u64].map(u64::to_le_bytes).concat();
        [header.as_slice(), &self.adapter, &self.optimizer].concat()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let truncated = || Error::invalid("learner state", format!("{} bytes are too few", bytes.len()));
        let (steps, rest) = bytes.split_first_chunk().ok_or_else(truncated)?;
        let (length, rest) = rest.split_first_chunk().ok_or_else(truncated)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| truncated())?;
        let (adapter, optimizer) = rest.split_at_checked(length).ok_or_else(truncated)?;
        Ok(Self { steps: u64::from_le_bytes(*steps), adapter: adapter.into(), optimizer: optimizer.into() })
    }
}
