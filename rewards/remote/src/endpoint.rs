//! One address that is asked by POST with JSON, with every bound a network needs. Knows nothing of what is asked.

use std::{fmt, io, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ureq::http::{HeaderMap, Response};

use super::{
    Backoff, Error, Malformed, Node, Secret,
    backoff::{self, Failed, GaveUp, Wall},
    node::shortened,
};

/// How a service is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceConfig {
    /// Where the service is, with the path, as in `http://127.0.0.1:5000/predict`; http or https. Proxies are not used, redirections not
    /// followed.
    #[schemars(extend("x-resume" = "free"))]
    pub url: String,
    /// The environment variable that holds the bearer token; no token where absent.
    #[schemars(extend("x-resume" = "free"))]
    pub token_variable: Option<String>,
    /// The file that holds the bearer token; goes before `token_variable`.
    #[schemars(extend("x-resume" = "free"))]
    pub token_file: Option<PathBuf>,
    /// Seconds for one request: connecting, sending, and the whole answer; more than 0 and at most 86400.
    #[schemars(extend("x-resume" = "free"))]
    pub timeout_seconds: f64,
    /// Bytes of the longest answer; longer ones are refused.
    #[schemars(extend("x-resume" = "free"))]
    pub longest_answer_bytes: u64,
    /// Pairs or sentences per request, 1 to 1024. More than one pair is understood by `addendum serve-rewards` only: the EditGRPO
    /// code answers such a request with means.
    #[schemars(extend("x-resume" = "free"))]
    pub batch: usize,
    /// Requests at a time, 1 to 1024.
    #[schemars(extend("x-resume" = "free"))]
    pub parallel: usize,
    /// How often and how long a failed request is made again.
    pub backoff: Backoff,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            token_variable: None,
            token_file: None,
            timeout_seconds: 60.,
            longest_answer_bytes: 64 << 20,
            batch: 1,
            parallel: 4,
            backoff: Backoff::default(),
        }
    }
}

impl ServiceConfig {
    /// Everything at its default but the address.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }
}

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

/// A checked [`ServiceConfig`] with its connections.
pub(super) struct Endpoint {
    url: String,
    agent: ureq::Agent,
    token: Option<Secret>,
    timeout: Duration,
    longest_answer: u64,
    pub batch: usize,
    pub parallel: usize,
    backoff: Backoff,
}

impl Endpoint {
    /// # Errors
    /// A value of the config that makes no sense, and an unreadable token.
    pub fn new(config: &ServiceConfig) -> Result<Self, Error> {
        let bad =
            |field, value: String, expected| Err(Error::Config { url: config.url.clone(), field, value, expected });
        let host = ["http://", "https://"].into_iter().find_map(|scheme| config.url.strip_prefix(scheme));
        let authority = host.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
        if authority.is_empty() || authority.contains('@') || config.url.parse::<ureq::http::Uri>().is_err() {
            let expected = "http(s)://host[:port]/path, without user or password";
            let shown = if config.url.contains('@') { "an address with `@`".into() } else { config.url.clone() };
            return Err(Error::Config { url: shown.clone(), field: "url", value: shown, expected });
        }
        let seconds = config.timeout_seconds;
        let Some(timeout) = Duration::try_from_secs_f64(seconds).ok().filter(|_| (0.001..=86_400.).contains(&seconds))
        else {
            return bad("timeout_seconds", seconds.to_string(), "seconds, more than 0 and at most 86400");
        };
        for (field, value) in [("batch", config.batch), ("parallel", config.parallel)] {
            if !(1..=1024).contains(&value) {
                return bad(field, value.to_string(), "1 to 1024");
            }
        }
        if let Some((field, value, expected)) = config.backoff.problem() {
            return bad(field, value, expected);
        }
        let token = match (&config.token_file, &config.token_variable) {
            (Some(file), _) => Some(Secret::from_file(file)?),
            (None, Some(name)) => Some(Secret::from_env(name)?),
            (None, None) => None,
        };
        Ok(Self {
            url: config.url.clone(),
            agent: agent(),
            token,
            timeout,
            longest_answer: config.longest_answer_bytes,
            batch: config.batch,
            parallel: config.parallel,
            backoff: config.backoff,
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends `body` and reads the JSON of a successful answer by `read`. Transient failures are tried again.
    ///
    /// # Errors
    /// The last attempt's, and what `read` finds wrong.
    pub fn ask<T>(&self, body: &impl Serialize, read: impl Fn(Node<'_>) -> Result<T, Malformed>) -> Result<T, Error> {
        let body = serde_json::to_vec(body).map_err(|error| self.transport(&error))?;
        let attempt = |left: Duration| {
            self.once(&body, self.timeout.min(left)).map_err(|(error, after)| {
                ::metrics::counter!("addendum_reward_service_failures_total").increment(1);
                Failed { transient: error.transient(), error, after }
            })
        };
        let answer = self.backoff.run(backoff::salt(&body), &Wall::start(), attempt).map_err(gave_up)?;
        read(Node::root(&answer)).map_err(|reason| Error::Answer { url: self.url.clone(), reason })
    }

    /// One attempt; with an error, the time that the server asks to wait.
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

fn gave_up(GaveUp { error, attempts, elapsed }: GaveUp<Error>) -> Error {
    match attempts {
        1 => error,
        _ => Error::GaveUp { attempts, seconds: elapsed.as_secs_f64(), last: Box::new(error) },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Scripted, quick};

    fn number(answer: Node) -> Result<f64, Malformed> {
        answer.get("n").number()
    }

    fn ask(config: &ServiceConfig) -> Result<f64, Error> {
        Endpoint::new(config)?.ask(&json!({"question": 1}), number)
    }

    #[test]
    fn impossible_configs_are_refused_by_field() {
        let refusal = |change: &dyn Fn(&mut ServiceConfig)| {
            let mut config = ServiceConfig::at("http://127.0.0.1:1/predict");
            change(&mut config);
            Endpoint::new(&config).err().unwrap().to_string()
        };
        for url in ["", "127.0.0.1:5000", "ftp://host/", "http://", "http:///predict", "http://a b/"] {
            assert!(refusal(&|config| config.url = url.into()).contains("`url`"), "{url}");
        }
        let with_password = refusal(&|config| config.url = "http://user:hunter2@host/".into());
        assert!(with_password.contains("without user") && !with_password.contains("hunter2"), "{with_password}");
        assert!(refusal(&|config| config.timeout_seconds = 0.).contains("`timeout_seconds` is 0"));
        assert!(refusal(&|config| config.timeout_seconds = f64::INFINITY).contains("timeout_seconds"));
        assert!(refusal(&|config| config.batch = 0).contains("`batch` is 0"));
        assert!(refusal(&|config| config.parallel = 5000).contains("`parallel` is 5000"));
        assert!(refusal(&|config| config.backoff.attempts = 0).contains("backoff.attempts"));
        assert!(refusal(&|config| config.token_file = Some("/no/such/token".into())).contains("/no/such/token"));
    }

    #[test]
    fn overload_is_tried_again_and_a_refusal_is_not() {
        let server =
            Scripted::new(vec![(503, r#"{"result":"error","data":{"message":"busy"}}"#), (200, r#"{"n": 4}"#)]);
        assert_eq!(ask(&quick(&server.url)).unwrap(), 4.);
        assert_eq!(server.requests().len(), 2);

        let server = Scripted::new(vec![(400, r#"{"result":"error","data":{"message":"no 'hyps'"}}"#)]);
        let message = ask(&quick(&server.url)).unwrap_err().to_string();
        assert!(message.contains(&server.url) && message.contains("status 400: no 'hyps'"), "{message}");

        let server = Scripted::new(vec![(200, r#"{"result":"error","data":{"message":"model not loaded"}}"#)]);
        let message = ask(&quick(&server.url)).unwrap_err().to_string();
        assert!(message.contains("status 200: model not loaded"), "{message}");
    }

    #[test]
    fn attempts_end_and_the_last_reason_is_told() {
        let server = Scripted::new(vec![(500, "<html>"), (502, "{}"), (500, r#"{"status":"error","message":"OOM"}"#)]);
        let message = ask(&quick(&server.url)).unwrap_err().to_string();
        assert!(message.contains("status 500: OOM (tried 3 times"), "{message}");
    }

    #[test]
    fn answers_that_are_not_as_expected_name_address_and_field() {
        let cases = [
            ("{\"n\": ", "not JSON"),
            ("[]", "`n` is missing, expected a number"),
            (r#"{"n": "4"}"#, "`n` is a string"),
            (r#"{"n": NaN}"#, "not JSON"),
            (r#"{"n": 1e999}"#, "not JSON"),
        ];
        for (body, expected) in cases {
            let server = Scripted::new(vec![(200, body)]);
            let message = ask(&quick(&server.url)).unwrap_err().to_string();
            assert!(message.contains(&server.url) && message.contains(expected), "{body}: {message}");
        }
    }

    #[test]
    fn a_long_answer_is_not_read_to_its_end() {
        let body = format!(r#"{{"n": 1, "padding": "{}"}}"#, "x".repeat(5000));
        let server = Scripted::new(vec![(200, &body)]);
        let message = ask(&ServiceConfig { longest_answer_bytes: 1000, ..quick(&server.url) }).unwrap_err().to_string();
        assert!(message.contains("longer than 1000 bytes"), "{message}");
    }

    #[test]
    fn silence_is_late_and_a_closed_port_is_told() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/predict", listener.local_addr().unwrap());
        let mut config = ServiceConfig { timeout_seconds: 0.1, ..quick(&url) };
        config.backoff.attempts = 1;
        let message = ask(&config).unwrap_err().to_string();
        assert!(message.contains("no answer within 0.1 s"), "{message}");
        drop(listener);
        assert!(matches!(ask(&config), Err(Error::Transport { .. })));
    }

    #[test]
    fn the_token_is_sent_and_redirections_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "s3cret\n").unwrap();
        let server = Scripted::new(vec![(307, "{}")]);
        let config = ServiceConfig { token_file: Some(file), ..quick(&server.url) };
        let message = ask(&config).unwrap_err().to_string();
        assert!(message.contains("status 307") && !message.contains("s3cret"), "{message}");
        assert!(server.requests()[0].to_lowercase().contains("authorization: bearer s3cret"));
    }
}
