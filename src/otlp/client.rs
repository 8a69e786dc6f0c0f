//! The program's own connections under OpenTelemetry's exporter, in the place of a second HTTP stack.

use std::{
    future::{self, Future},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use addendum_rewards_remote::agent;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use ureq::Agent;

/// Bytes of an answer that are read; a collector's has a few.
const MOST_BYTES: u64 = 1 << 20;

/// Waits for every answer, on the thread that asks.
#[derive(Clone, Debug)]
pub(super) struct Client {
    agent: Agent,
    patience: Duration,
    /// Why there was no answer the last time; the exporter does not say.
    failure: Arc<Mutex<Option<String>>>,
}

impl Client {
    pub fn new(patience: Duration) -> Self {
        Self { agent: agent(), patience, failure: Arc::default() }
    }

    /// Why there was no answer the last time, if there was none.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let request = self.agent.configure_request(request.map(|body| body.to_vec()));
        let request = request.timeout_global(Some(self.patience)).build();
        let (head, mut body) = self.agent.run(request)?.into_parts();
        let body = body.with_config().limit(MOST_BYTES).read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }
}

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let answer = self.send(request);
        let failure = answer.as_ref().err().map(ToString::to_string);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        Box::pin(future::ready(answer.map_err(Into::into)))
    }
}
