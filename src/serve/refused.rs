//! Requests that get no scores.

use addendum_rewards_remote::wire::Refusal;
use axum::http::StatusCode;

/// A request that gets no scores, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// 4xx for what is wrong with the request, 5xx for what is wrong here.
    pub status: StatusCode,
    /// The reason, for whoever asked.
    pub message: String,
}

impl Refused {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// The JSON in the shape of the EditGRPO code.
    pub(super) fn body(&self) -> Vec<u8> {
        serde_json::to_vec(&Refusal::new(&self.message)).unwrap_or_default()
    }
}

impl From<addendum_rewards::Error> for Refused {
    fn from(error: addendum_rewards::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}
