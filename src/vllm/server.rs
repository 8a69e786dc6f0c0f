//! One vLLM server: its connections, and what became of the last attempt.

use std::{thread, time::Duration};

use addendum_rewards_remote::{Node, Secret, agent};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use ureq::http::StatusCode;

use super::VllmError;
use crate::exposition::Exposition;

/// Bytes of the longest answer that is read: 64 reports of 4,096 tokens take less than a tenth of it.
const LONGEST_ANSWER: u64 = 256 << 20;
/// How long a server may take to say that it is there, or to load an adapter.
const SHORT: Duration = Duration::from_secs(60);

/// A server's address with its connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Server {
    url: String,
    agent: ureq::Agent,
    token: Option<Secret>,
    timeout: Duration,
}

/// What a server has to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Queue {
    pub waiting: f64,
    pub running: f64,
}

impl Server {
    pub fn new(url: String, token: Option<Secret>, timeout: Duration) -> Self {
        Self { url, agent: agent(), token, timeout }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the server is up.
    pub async fn health(&self) -> Result<(), VllmError> {
        self.call("/health", "its health", None, SHORT).await.map(drop)
    }

    /// What it serves: the checkpoint first, then the adapters that it has.
    pub async fn models(&self) -> Result<Vec<String>, VllmError> {
        let answer = self.call("/v1/models", "the list of models", None, SHORT).await?;
        let id = |item: &Node<'_>| item.get("id").text().map(str::to_owned);
        let read = Node::root(&answer).get("data").items().and_then(|items| items.iter().map(id).collect());
        read.map_err(|reason| self.malformed(reason))
    }

    /// Loads the PEFT folder, which is `path` to the server, as `name`; whether it was not there by that name before.
    pub async fn load(&self, name: &str, path: &str) -> Result<bool, VllmError> {
        let body = json!({"lora_name": name, "lora_path": path});
        match self.call("/v1/load_lora_adapter", "to load an adapter", Some(body), SHORT).await {
            // Somebody else did, or the answer to our request was lost.
            Err(VllmError::Refused { message, .. }) if message.contains("already been loaded") => Ok(false),
            other => other.map(|_| true),
        }
    }

    /// Drops the adapter of this name. That it is not there is what is wanted.
    pub async fn unload(&self, name: &str) {
        let body = json!({"lora_name": name});
        if let Err(error) = self.call("/v1/unload_lora_adapter", "to unload an adapter", Some(body), SHORT).await {
            tracing::debug!("{error}");
        }
    }

    /// Asks for `body["n"]` answers to a chat.
    pub async fn chat(&self, body: Value) -> Result<Value, VllmError> {
        self.call("/v1/chat/completions", "a chat", Some(body), self.timeout).await
    }

    /// Asks for the continuation of a prompt of tokens.
    pub async fn complete(&self, body: Value) -> Result<Value, VllmError> {
        self.call("/v1/completions", "a completion", Some(body), self.timeout).await
    }

    /// Requests that wait in the server, and those that it computes, whoever asked; `None` where it does not say.
    pub async fn queue(&self) -> Result<Option<Queue>, VllmError> {
        let text = self.fetch("/metrics", "its metrics", None, SHORT).await?;
        let metrics = Exposition::parse(&String::from_utf8_lossy(&text));
        let queue = Queue {
            waiting: metrics.sum("vllm:num_requests_waiting"),
            running: metrics.sum("vllm:num_requests_running"),
        };
        let told = metrics.all("vllm:num_requests_waiting").next().is_some();
        Ok(Some(queue).filter(|_| told))
    }

    pub fn malformed(&self, reason: addendum_rewards_remote::Malformed) -> VllmError {
        VllmError::Answer { url: self.url.clone(), reason }
    }

    async fn call(
        &self,
        path: &'static str,
        what: &'static str,
        body: Option<Value>,
        timeout: Duration,
    ) -> Result<Value, VllmError> {
        let bytes = self.fetch(path, what, body, timeout).await?;
        // Loading, unloading and health are answered by plain text, or nothing.
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// On a thread of its own, which outlives a caller that no longer waits: a run may end while a server is busy.
    async fn fetch(
        &self,
        path: &'static str,
        what: &'static str,
        body: Option<Value>,
        timeout: Duration,
    ) -> Result<Vec<u8>, VllmError> {
        let (answer, answered) = oneshot::channel();
        let server = self.clone();
        let thread = thread::Builder::new().name("vllm".into());
        let spawned = thread.spawn(move || drop(answer.send(server.ask(path, what, body.as_ref(), timeout))));
        spawned.map_err(|error| self.down(error))?;
        answered.await.unwrap_or_else(|_| Err(self.down("the thread that asked is gone")))
    }

    /// Waits for the answer.
    pub fn ask(
        &self,
        path: &str,
        what: &'static str,
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<Vec<u8>, VllmError> {
        let url = format!("{}{path}", self.url);
        let bearer = self.token.as_ref().map(|token| format!("Bearer {}", token.expose()));
        let sent = match body {
            Some(body) => {
                let mut request = self.agent.post(&url).content_type("application/json");
                if let Some(bearer) = &bearer {
                    request = request.header("authorization", bearer);
                }
                request.config().timeout_global(Some(timeout)).build().send(body.to_string())
            }
            None => {
                let mut request = self.agent.get(&url);
                if let Some(bearer) = &bearer {
                    request = request.header("authorization", bearer);
                }
                request.config().timeout_global(Some(timeout)).build().call()
            }
        };
        let late = |error: ureq::Error| match &error {
            ureq::Error::Timeout(_) => self.down(format!("no answer within {:.0} s", timeout.as_secs_f64())),
            _ => self.down(error),
        };
        let mut response = sent.map_err(late)?;
        let status = response.status();
        let read = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec();
        if !status.is_success() {
            return Err(self.refused(status, what, body, &read.unwrap_or_default()));
        }
        read.map_err(late)
    }

    fn refused(&self, status: StatusCode, what: &'static str, body: Option<&Value>, answer: &[u8]) -> VllmError {
        let json: Value = serde_json::from_slice(answer).unwrap_or_default();
        let root = Node::root(&json);
        let places = [root.get("error").get("message"), root.get("message"), root.get("detail")];
        let message = places.iter().find_map(|place| place.text().ok()).unwrap_or("no reason given");
        let message: String = message.chars().filter(|c| !c.is_control()).take(300).collect();
        let asked_for = body.and_then(|body| body["model"].as_str());
        match status {
            StatusCode::NOT_FOUND if message.contains("does not exist") => {
                VllmError::NoAdapter { url: self.url.clone(), adapter: asked_for.unwrap_or_default().to_owned() }
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                self.down(format!("status {status}: {message}"))
            }
            status if status.is_server_error() => self.down(format!("status {status}: {message}")),
            _ => VllmError::Refused { url: self.url.clone(), what, status: status.as_u16(), message },
        }
    }

    fn down(&self, reason: impl ToString) -> VllmError {
        VllmError::Down { url: self.url.clone(), reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    /// Answers one request with this text.
    fn answering(text: &'static str) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let asked = connection.read(&mut [0; 4096]).unwrap();
            assert!(asked > 0);
            write!(connection, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()).unwrap();
        });
        Server::new(url, None, SHORT)
    }

    #[tokio::test]
    async fn a_queue_is_what_all_engines_of_a_server_have_to_do_and_nothing_where_it_does_not_say() {
        let metrics = "# TYPE vllm:num_requests_waiting gauge\n\
            vllm:num_requests_waiting{engine=\"0\"} 4.0\nvllm:num_requests_waiting{engine=\"1\"} 3.0\n\
            vllm:num_requests_running{engine=\"0\"} 2.0\nvllm:num_requests_running{engine=\"1\"} 0.0\n";
        let queue = answering(metrics).queue().await.unwrap();
        assert_eq!(queue, Some(Queue { waiting: 7.0, running: 2.0 }));
        assert_eq!(answering("no metrics here").queue().await.unwrap(), None);
    }
}
