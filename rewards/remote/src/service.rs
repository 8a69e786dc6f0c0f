//! A service on one server, or on several that are the same. Knows nothing of what is asked.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    Backoff, Error, Malformed, Node, ServiceConfig,
    backoff::{self, Failed, GaveUp, Wall},
    error::Blame,
    parallel,
    pool::{Pool, Seat},
    probe::Probe,
    servers::Form,
    telemetry,
    tries::Tries,
};

type Read<'a, T> = dyn Fn(Node<'_>) -> Result<T, Malformed> + 'a;

/// A checked [`ServiceConfig`] with its servers.
pub(super) struct Service {
    pool: Arc<Pool>,
    /// One address, and no file that may name others.
    alone: bool,
    name: String,
    timeout: Duration,
    pub batch: usize,
    parallel: usize,
    backoff: Backoff,
}

impl Service {
    /// # Errors
    /// A value of the config that makes no sense, and an unreadable token.
    pub fn new(config: &ServiceConfig, form: Form, probe: Probe) -> Result<Self, Error> {
        config.validate()?;
        let pool = Pool::new(config, form, probe)?;
        let alone = config.is_alone();
        Ok(Self {
            alone,
            name: if alone { pool.first() } else { config.name() },
            pool,
            timeout: config.timeout(),
            batch: config.batch,
            parallel: config.parallel,
            backoff: config.backoff,
        })
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls `work`, which asks once, for each item, as many at a time as servers may be asked. Results are in the order of
    /// the items.
    ///
    /// # Errors
    /// Of several failures the first item's.
    pub fn each<I: Sync, R: Send, E: Send>(
        &self,
        items: &[I],
        work: impl Fn(&I) -> Result<R, E> + Sync,
    ) -> Result<Vec<R>, E> {
        let wanted = self.pool.wanted(items.len());
        parallel::each(items, self.parallel.saturating_mul(self.pool.servers().max(1)), |item| {
            wanted.passed_on();
            work(item)
        })
    }

    /// Sends `body` and reads the JSON of a successful answer by `read`. Transient failures are tried again, and whatever a
    /// server is to blame for at another one.
    ///
    /// # Errors
    /// The last attempt's, and what `read` finds wrong.
    pub fn ask<T>(&self, body: &impl Serialize, read: impl Fn(Node<'_>) -> Result<T, Malformed>) -> Result<T, Error> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Error::Transport { url: self.name.clone(), reason: error.to_string() })?;
        if self.alone { self.ask_it(&body, &read) } else { self.ask_any(&body, &read) }
    }

    /// Asks the only server, which cannot be given up.
    fn ask_it<T>(&self, body: &[u8], read: &Read<'_, T>) -> Result<T, Error> {
        let attempt = |left: Duration| {
            let failed = |error: Error, after| Failed { transient: error.transient(), error: Box::new(error), after };
            let seat = self.pool.seat(&mut Tries::new(self.backoff)).map_err(|error| failed(error, None))?;
            let Unanswered { seat, error, after } = match self.attempt(seat, body, self.timeout.min(left), read) {
                Ok(answer) => return Ok(answer),
                Err(failure) => *failure,
            };
            telemetry::up(&seat.member().url, error.blame() == Blame::Request);
            Err(failed(error, after))
        };
        self.backoff.run(backoff::salt(body), &Wall::start(), attempt).map_err(|GaveUp { error, attempts, elapsed }| {
            match attempts {
                1 => *error,
                _ => Error::GaveUp { attempts, seconds: elapsed.as_secs_f64(), last: error },
            }
        })
    }

    /// Asks whoever will be done first, and others as long as servers are to blame.
    fn ask_any<T>(&self, body: &[u8], read: &Read<'_, T>) -> Result<T, Error> {
        let mut tries = Tries::new(self.backoff);
        loop {
            let seat = self.pool.seat(&mut tries)?;
            let index = seat.member().index();
            match self.attempt(seat, body, self.timeout, read) {
                Ok(answer) => return Ok(answer),
                Err(failure) => {
                    let Unanswered { seat, error, after } = *failure;
                    let blame = error.blame();
                    if blame == Blame::Request {
                        return Err(error);
                    }
                    self.pool.failed(seat, &error, after);
                    tries.failed(index, error);
                }
            }
        }
    }

    fn attempt<'a, T>(
        &'a self,
        seat: Seat<'a>,
        body: &[u8],
        timeout: Duration,
        read: &Read<'_, T>,
    ) -> Result<T, Box<Unanswered<'a>>> {
        match seat.member().server.endpoint.ask(body, timeout, read) {
            Ok(answer) => {
                self.pool.answered(seat);
                Ok(answer)
            }
            Err((error, after)) => {
                telemetry::failed(&seat.member().url);
                Err(Box::new(Unanswered { seat, error, after }))
            }
        }
    }
}

/// A request that a server failed at.
struct Unanswered<'a> {
    seat: Seat<'a>,
    error: Error,
    /// The least time to wait, if the server told.
    after: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Scripted, quick};

    fn number(answer: Node) -> Result<f64, Malformed> {
        answer.get("n").number()
    }

    fn service(config: &ServiceConfig) -> Result<Service, Error> {
        let probe = Probe::new(&json!({"question": 0}), |answer| Ok(vec![number(answer)?]));
        Service::new(config, Form::Path("/path"), probe)
    }

    fn ask(config: &ServiceConfig) -> Result<f64, Error> {
        service(config)?.ask(&json!({"question": 1}), number)
    }

    #[test]
    fn impossible_configs_are_refused_by_field() {
        let refusal = |change: &dyn Fn(&mut ServiceConfig)| {
            let mut config = ServiceConfig::at("http://127.0.0.1:1/predict");
            change(&mut config);
            service(&config).err().unwrap().to_string()
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
