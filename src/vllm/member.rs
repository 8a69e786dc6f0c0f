//! A server as a run knows it: what it told of itself, and which adapters it has loaded and answers from.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use addendum_policy::SamplingConfig;
use addendum_rewards_remote::Secret;
use serde_json::json;
use tokio::sync::OnceCell;

use super::{
    VllmError,
    adapters::Published,
    probe::{Probe, Verdict},
    server::Server,
    telemetry, wire,
};

/// How often a server's queue is looked at.
const QUEUE_EVERY: Duration = Duration::from_secs(5);

/// A server and what is known of it since it was last down.
pub(super) struct Member {
    pub server: Server,
    /// What it has loaded, by name.
    loaded: Mutex<BTreeMap<String, Arc<OnceCell<()>>>>,
    met: tokio::sync::Mutex<Option<Arc<Met>>>,
    /// When its queue was looked at.
    looked: Mutex<Option<Instant>>,
}

/// What a server that is up told of itself.
pub(super) struct Met {
    /// How likely the probe's text is to it without an adapter.
    base: Vec<f32>,
}

impl Member {
    pub fn new(url: &str, token: Option<Secret>, timeout: Duration) -> Self {
        let server = Server::new(url.to_owned(), token, timeout);
        Self { server, loaded: Mutex::default(), met: tokio::sync::Mutex::default(), looked: Mutex::default() }
    }

    /// Asks a server that is new, or was down, who it is; whoever comes meanwhile waits for the answer. `model` is what it
    /// calls the checkpoint, the first that it lists where not known.
    pub async fn meet(
        &self,
        model: Option<&str>,
        sampling: &SamplingConfig,
        probe: &Probe,
    ) -> Result<Arc<Met>, VllmError> {
        let mut met = self.met.lock().await;
        if let Some(met) = &*met {
            return Ok(met.clone());
        }
        let url = self.server.url();
        self.server.health().await?;
        let models = self.server.models().await?;
        let none = || VllmError::Down { url: url.into(), reason: "it lists no model".into() };
        let model = model.or(models.first().map(String::as_str)).ok_or_else(none)?;
        if !draws_as_it_says(sampling) {
            self.check_mode(model, probe).await?;
        }
        let base = self.judge(model, probe).await?;
        let new = Arc::new(Met { base });
        *met = Some(new.clone());
        tracing::info!("{url} samples for this run");
        Ok(new)
    }

    /// Loads the adapter once, and sees whether the server answers from it.
    pub async fn load(&self, adapter: &Published, met: &Met, probe: &Probe) -> Result<(), VllmError> {
        let cell = self.loaded().entry(adapter.name.clone()).or_default().clone();
        let loading = async {
            let failed = |error: addendum_policy::Error| VllmError::Publish { reason: error.to_string() };
            let ours = probe.log_probs(Some(&adapter.weights)).map_err(failed)?;
            let (url, name) = (self.server.url(), &adapter.name);
            let answers = async || self.judge(name, probe).await.map(|theirs| probe.compare(&ours, &met.base, &theirs));
            let is_new = self.server.load(name, &adapter.there).await?;
            let mut verdict = answers().await?;
            if !is_new && matches!(verdict, Verdict::NotApplied(_)) {
                // What lay there by this name is not what this run wrote.
                self.server.unload(name).await;
                self.server.load(name, &adapter.there).await?;
                verdict = answers().await?;
            }
            match verdict {
                Verdict::Applied => {}
                Verdict::Unclear => tracing::debug!("{url}: {name} changes too little to be told from none"),
                Verdict::NotApplied(slope) => {
                    self.server.unload(name).await;
                    return Err(VllmError::NotApplied { url: url.into(), adapter: name.clone(), slope });
                }
            }
            telemetry::loaded(url, adapter.version.0);
            Ok(())
        };
        cell.get_or_try_init(|| loading).await.map(drop)
    }

    /// Has its queue published, if that was not done lately. Nobody waits for it, and a server that does not tell is none
    /// the worse for it.
    pub fn look_at_queue(&self) {
        let now = Instant::now();
        {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if looked.is_some_and(|before| now.duration_since(before) < QUEUE_EVERY) {
                return;
            }
            *looked = Some(now);
        }
        let server = self.server.clone();
        tokio::spawn(async move {
            match server.queue().await {
                Ok(queue) => queue.into_iter().for_each(|queue| telemetry::queue(server.url(), queue)),
                Err(error) => tracing::debug!("{error}"),
            }
        });
    }

    /// It no longer has this adapter; whether it had.
    pub fn forget_adapter(&self, name: &str) -> bool {
        self.loaded().remove(name).is_some()
    }

    /// What was known of a server that is down may not hold when it is back.
    pub fn forget(&self) {
        self.loaded().clear();
        if let Ok(mut met) = self.met.try_lock() {
            *met = None;
        }
    }

    fn loaded(&self) -> MutexGuard<'_, BTreeMap<String, Arc<OnceCell<()>>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How likely the probe's text is to `model`.
    async fn judge(&self, model: &str, probe: &Probe) -> Result<Vec<f32>, VllmError> {
        let tokens = probe.tokens();
        let body = json!({
            "model": model, "prompt": tokens, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 1,
        });
        let answer = self.server.complete(body).await?;
        let all = wire::prompt_logprobs(&answer, &tokens).map_err(|reason| self.server.malformed(reason))?;
        Ok(probe.of_text(&all).to_vec())
    }

    /// With one candidate left, a token that was drawn is certain; before filters and temperature it is not.
    async fn check_mode(&self, model: &str, probe: &Probe) -> Result<(), VllmError> {
        let body = json!({
            "model": model, "prompt": probe.tokens(), "max_tokens": 1, "temperature": 1.0, "top_k": 1, "logprobs": 0,
        });
        let answer = self.server.complete(body).await?;
        match wire::first_logprob(&answer).map_err(|reason| self.server.malformed(reason))? {
            certain if certain > -1e-4 => Ok(()),
            _ => Err(VllmError::Unprocessed { url: self.server.url().into() }),
        }
    }
}

/// Whether log-probabilities are the same before and after temperature and filters.
fn draws_as_it_says(sampling: &SamplingConfig) -> bool {
    let plain = SamplingConfig { max_new_tokens: sampling.max_new_tokens, ..SamplingConfig::default() };
    let suppressed = sampling.suppressed_tokens.clone();
    *sampling == SamplingConfig { suppressed_tokens: suppressed, ..plain }
}
