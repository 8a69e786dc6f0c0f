//! One address that is asked once, by POST with JSON, with every bound a network needs. Knows nothing of what is asked.

use std::{fmt, io, time::Duration};

use serde_json::Value;
use ureq::http::{HeaderMap, Response};

use super::{Error, Malformed, Node, Secret, node::shortened};

/// Connections that use no proxy and follow no redirection, and to which every status is an answer: what is asked of a
/// server reaches that server, or nobody.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("addendum/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// One address with its connections.
pub(super) struct Endpoint {
    url: String,
    agent: ureq::Agent,
    token: Option<Secret>,
    longest_answer: u64,
}

impl Endpoint {
    pub fn new(url: &str, token: Option<Secret>, longest_answer: u64) -> Self {
        Self { url: url.to_owned(), agent: agent(), token, longest_answer }
    }

    /// Sends `body` and reads the JSON of a successful answer by `read`; with an error, the time that the server asks to
    /// wait.
    ///
    /// # Errors
    /// No answer in time, a refusal, and what `read` finds wrong.
    pub fn ask<T>(
        &self,
        body: &[u8],
        timeout: Duration,
        read: &dyn Fn(Node<'_>) -> Result<T, Malformed>,
    ) -> Result<T, (Error, Option<Duration>)> {
        let answer = self.once(body, timeout)?;
        read(Node::root(&answer)).map_err(|reason| (Error::Answer { url: self.url.clone(), reason }, None))
    }

    fn once(&self, body: &[u8], timeout: Duration) -> Result<Value, (Error, Option<Duration>)> {
        let mut request = self.agent.post(&self.url).content_type("application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        let request = request.config().timeout_global(Some(timeout)).build();
        let failed = |error| (self.failure(error, timeout), None);
        let mut response = request.send(body).map_err(failed)?;
        let read = response.body_mut().with_config().limit(self.longest_answer).read_to_vec();
        if !response.status().is_success() {
            // The status matters more than a broken message.
            return Err((self.refused(&response, &read.unwrap_or_default()), wanted_wait(response.headers())));
        }
        let bytes = read.map_err(failed)?;
        let answer: Value = serde_json::from_slice(&bytes)
            .map_err(|error| (Error::NotJson { url: self.url.clone(), reason: error.to_string() }, None))?;
        // A refusal whose status does not say so.
        if answer["result"] == "error" {
            return Err((self.refused(&response, &bytes), None));
        }
        Ok(answer)
    }

    fn failure(&self, error: ureq::Error, timeout: Duration) -> Error {
        let url = || self.url.clone();
        match error {
            ureq::Error::BodyExceedsLimit(limit) => Error::TooLong { url: url(), limit },
            ureq::Error::Timeout(_) => Error::Late { url: url(), seconds: timeout.as_secs_f64() },
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
                Error::Late { url: url(), seconds: timeout.as_secs_f64() }
            }
            other => self.transport(&other),
        }
    }

    fn transport(&self, error: &dyn fmt::Display) -> Error {
        Error::Transport { url: self.url.clone(), reason: error.to_string() }
    }

    /// The reason in whichever shape the services give one, cut short.
    fn refused<T>(&self, response: &Response<T>, body: &[u8]) -> Error {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let root = Node::root(&json);
        let places = [root.get("data").get("message"), root.get("error").get("message"), root.get("message")];
        let message = places.iter().find_map(|place| place.text().ok()).unwrap_or("no reason given");
        Error::Status { url: self.url.clone(), status: response.status().as_u16(), message: shortened(message) }
    }
}

/// `Retry-After` in seconds; its other form, a date, is ignored.
fn wanted_wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
