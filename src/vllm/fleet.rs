//! All servers together: who is asked, who is down, and what each has loaded.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use addendum_actors::{AsyncSampler, EngineError, Request, Sampled};
use addendum_policy::{Adapter, Policy, SamplingConfig};
use addendum_rewards_remote::Secret;
use serde_json::json;
use tokio::sync::{Notify, OnceCell};

use super::{
    Addresses, Credit, VllmConfig, VllmError,
    adapters::{Adapters, Published},
    probe::{Probe, Verdict},
    question::Question,
    server::Server,
    telemetry, wire,
};

/// Pause after a server's first failure; it doubles with each further one.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often somebody who waits looks whether a pause is over or a file of addresses has changed.
const LOOK: Duration = Duration::from_millis(250);
/// Answers that are not as they must be, or adapters that are not there, before a study has failed.
const WRONG_ANSWERS: u32 = 5;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Servers that share the work of sampling. One per run, behind every sampler actor.
pub struct Fleet {
    addresses: Addresses,
    config: VllmConfig,
    sampling: SamplingConfig,
    policy: Arc<Policy>,
    token: Option<Secret>,
    adapters: Adapters,
    probe: Probe,
    members: Mutex<Members>,
    credit: Mutex<Credit>,
    freed: Notify,
}

#[derive(Default)]
struct Members {
    all: Vec<Arc<Member>>,
    /// Of the file of addresses, when it was read last.
    changed: Option<SystemTime>,
    /// What is wrong with that file, told once.
    problem: Option<String>,
}

/// A server and what is known of it. Its index is that of its account.
struct Member {
    server: Server,
    index: usize,
    state: Mutex<State>,
    /// What it has loaded since it was last down, by name.
    loaded: Mutex<BTreeMap<String, Arc<OnceCell<()>>>>,
    met: tokio::sync::Mutex<Option<Arc<Met>>>,
}

/// What a server that is up told of itself.
struct Met {
    /// How likely the probe's text is to it without an adapter.
    base: Vec<f32>,
}

#[derive(Default)]
struct State {
    /// Whether it is one of the addresses at the moment.
    listed: bool,
    /// Not to be asked before this.
    paused_until: Option<Instant>,
    pause: Duration,
    /// It answers from other weights than it was given, and is not asked again.
    refused: Option<String>,
    last: Option<String>,
}

impl Fleet {
    /// `run_folder` takes the published adapters where the settings name no other folder. `staleness` is the oldest, in
    /// versions, that a ticket asks for. No server need be up yet.
    ///
    /// # Errors
    /// Settings that make no sense; a file of addresses or a token that cannot be read.
    pub fn new(
        addresses: Addresses,
        config: VllmConfig,
        sampling: SamplingConfig,
        policy: Arc<Policy>,
        run_folder: PathBuf,
        base: String,
        staleness: u64,
    ) -> Result<Self, VllmError> {
        addresses.validate()?;
        config.validate()?;
        let listed = addresses.read()?;
        if listed.is_empty() {
            return Err(VllmError::config("urls_file", "names no server"));
        }
        let folder = config.adapters_folder.clone().unwrap_or_else(|| run_folder.join("adapters-published"));
        let unusable = |error| VllmError::Publish { reason: format!("{}: {error}", folder.display()) };
        std::fs::create_dir_all(&folder).map_err(unusable)?;
        let folder = std::path::absolute(&folder).map_err(unusable)?;
        let fleet = Self {
            token: config.token()?,
            adapters: Adapters::new(folder, config.adapters_folder_there.clone(), base, staleness),
            probe: Probe::new(policy.clone()).map_err(|error| VllmError::Publish { reason: error.to_string() })?,
            members: Mutex::default(),
            credit: Mutex::new(Credit::new(config.reports_in_flight)),
            freed: Notify::new(),
            addresses,
            config,
            sampling,
            policy,
        };
        lock(&fleet.members).changed = fleet.addresses.changed();
        fleet.list(&listed);
        Ok(fleet)
    }

    /// The reports that the request asks for, from whichever server is first to give them.
    ///
    /// # Errors
    /// A study that cannot be read, or that a server refuses; settings of the servers that do not fit this run; nobody
    /// who answers for longer than the settings say.
    pub async fn sample(&self, request: Request<Adapter>) -> Result<Vec<Sampled>, EngineError> {
        let question = {
            let (processor, config) = (self.policy.clone(), self.config.send_chat_template);
            let (study, prompt, seeds) = (request.study.clone(), request.prompt.clone(), request.seeds.clone());
            let sampling = self.sampling.clone();
            let make = move || Question::new(&study, &prompt, &seeds, processor.processor(), &sampling, config);
            Arc::new(tokio::task::spawn_blocking(make).await??)
        };
        let adapter = self.adapters.publish(&request.policy).await?;
        self.forget_outdated();
        let mut wrong = 0;
        loop {
            let seat = self.seat(question.reports).await?;
            let began = Instant::now();
            match self.ask(&seat.member, &question, &adapter).await {
                Ok(reports) => {
                    let tokens = reports.iter().map(|report| report.tokens.len()).sum();
                    telemetry::tokens(seat.member.server.url(), tokens);
                    seat.done(began.elapsed());
                    let tokenizer = self.policy.tokenizer();
                    return Ok(wire::sampled(reports, request.policy.version, |tokens| tokenizer.decode(tokens)));
                }
                Err(error) => {
                    telemetry::failed(seat.member.server.url());
                    seat.member.failed(&error);
                    drop(seat);
                    wrong += u32::from(!matches!(error, VllmError::Down { .. }));
                    if !error.transient() || wrong >= WRONG_ANSWERS {
                        return Err(error.into());
                    }
                    tracing::warn!("{error}");
                }
            }
        }
    }

    async fn ask(
        &self,
        member: &Member,
        question: &Question,
        adapter: &Published,
    ) -> Result<Vec<wire::Answered>, VllmError> {
        let met = member.meet(self).await?;
        member.load(adapter, &met, &self.probe).await?;
        let server = &member.server;
        let answer = server.chat(question.of(&adapter.name)).await?;
        let (prompt, reports) = wire::chat(&answer, question.reports).map_err(|reason| server.malformed(reason))?;
        question.check(server.url(), &prompt)?;
        member.succeeded();
        Ok(reports)
    }

    /// Waits for a server that has credit for so many reports.
    async fn seat(&self, reports: usize) -> Result<Seat<'_>, VllmError> {
        let since = Instant::now();
        loop {
            let freed = self.freed.notified();
            self.reread();
            let members = lock(&self.members).all.clone();
            let taken = {
                let mut credit = lock(&self.credit);
                for member in &members {
                    credit.set_open(member.index, member.is_open());
                }
                credit.take(reports)
            };
            if let Some(index) = taken {
                return Ok(Seat { fleet: self, member: members[index].clone(), reports, took: None });
            }
            if let Some(error) = self.given_up(&members, since) {
                return Err(error);
            }
            tokio::select! {
                () = freed => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Why waiting is in vain, if it is.
    fn given_up(&self, members: &[Arc<Member>], since: Instant) -> Option<VllmError> {
        let states: Vec<_> = members.iter().map(|member| lock(&member.state)).collect();
        let listed = || states.iter().filter(|state| state.listed);
        let last = || listed().find_map(|state| state.last.clone()).unwrap_or_else(|| "none is listed".into());
        let seconds = since.elapsed().as_secs_f64();
        if let Some(last) = listed().find_map(|state| state.refused.clone())
            && listed().all(|state| state.refused.is_some())
        {
            return Some(VllmError::NoneLeft { last });
        }
        let nobody = listed().all(|state| state.paused_until.is_some());
        let over = nobody && self.config.patience_seconds.is_some_and(|patience| seconds > patience);
        over.then(|| VllmError::NobodyAnswers { seconds, last: last() })
    }

    /// Reads the file of addresses if it has changed.
    fn reread(&self) {
        let changed = self.addresses.changed();
        if std::mem::replace(&mut lock(&self.members).changed, changed) == changed {
            return;
        }
        match self.addresses.read() {
            Ok(addresses) => self.list(&addresses),
            // The servers from before stay.
            Err(error) => {
                let problem = Some(error.to_string());
                if std::mem::replace(&mut lock(&self.members).problem, problem.clone()) != problem {
                    tracing::warn!("{error}");
                }
            }
        }
    }

    /// These addresses from now on; what is known of others is kept, should they come back.
    fn list(&self, addresses: &[String]) {
        let mut members = lock(&self.members);
        for url in addresses {
            if !members.all.iter().any(|member| member.server.url() == url) {
                let timeout = Duration::from_secs_f64(self.config.timeout_seconds);
                let index = members.all.len();
                members.all.push(Arc::new(Member {
                    server: Server::new(url.clone(), self.token.clone(), timeout),
                    index,
                    state: Mutex::default(),
                    loaded: Mutex::default(),
                    met: tokio::sync::Mutex::default(),
                }));
            }
        }
        for member in &members.all {
            lock(&member.state).listed = addresses.iter().any(|url| url == member.server.url());
        }
        lock(&self.credit).grow(members.all.len());
    }

    /// Unloads and removes what no ticket can ask for any more, without anybody waiting for it.
    fn forget_outdated(&self) {
        for adapter in self.adapters.outdated() {
            let members = lock(&self.members).all.clone();
            tokio::spawn(async move {
                for member in members {
                    if lock(&member.loaded).remove(&adapter.name).is_some() {
                        member.server.unload(&adapter.name).await;
                    }
                }
                adapter.remove();
            });
        }
    }
}

impl Member {
    fn is_open(&self) -> bool {
        let state = lock(&self.state);
        let paused = state.paused_until.is_some_and(|until| Instant::now() < until);
        state.listed && state.refused.is_none() && !paused
    }

    fn succeeded(&self) {
        let mut state = lock(&self.state);
        (state.paused_until, state.pause) = (None, Duration::ZERO);
        telemetry::up(self.server.url(), true);
    }

    /// Keeps in mind what happened. What was known of a server that is down may not hold when it is back.
    fn failed(&self, error: &VllmError) {
        let mut state = lock(&self.state);
        state.last = Some(error.to_string());
        match error {
            VllmError::NoAdapter { adapter, .. } => drop(lock(&self.loaded).remove(adapter)),
            VllmError::NotApplied { .. } => state.refused = state.last.clone(),
            VllmError::Down { .. } | VllmError::Answer { .. } => {
                state.pause = if state.pause.is_zero() { PAUSE } else { (2 * state.pause).min(LONGEST_PAUSE) };
                state.paused_until = Some(Instant::now() + state.pause);
                lock(&self.loaded).clear();
                if let Ok(mut met) = self.met.try_lock() {
                    *met = None;
                }
                telemetry::up(self.server.url(), false);
            }
            _ => {}
        }
    }

    /// Asks a server that is new, or was down, who it is; whoever comes meanwhile waits for the answer.
    async fn meet(&self, fleet: &Fleet) -> Result<Arc<Met>, VllmError> {
        let mut met = self.met.lock().await;
        if let Some(met) = &*met {
            return Ok(met.clone());
        }
        self.server.health().await?;
        let models = self.server.models().await?;
        let model = match &fleet.config.model {
            Some(name) => name.clone(),
            None => models
                .first()
                .cloned()
                .ok_or_else(|| VllmError::Down { url: self.server.url().into(), reason: "it lists no model".into() })?,
        };
        if !draws_as_it_says(&fleet.sampling) {
            self.check_mode(&model, &fleet.probe).await?;
        }
        let base = self.judge(&model, &fleet.probe).await?;
        let new = Arc::new(Met { base });
        *met = Some(new.clone());
        tracing::info!("{} samples for this run", self.server.url());
        Ok(new)
    }

    /// Loads the adapter once, and sees whether the server answers from it.
    async fn load(&self, adapter: &Published, met: &Met, probe: &Probe) -> Result<(), VllmError> {
        let cell = lock(&self.loaded).entry(adapter.name.clone()).or_default().clone();
        let loading = async {
            self.server.load(&adapter.name, &adapter.there).await?;
            let failed = |error: addendum_policy::Error| VllmError::Publish { reason: error.to_string() };
            let ours = probe.log_probs(Some(&adapter.weights)).map_err(failed)?;
            let theirs = self.judge(&adapter.name, probe).await?;
            let url = self.server.url();
            match probe.compare(&ours, &met.base, &theirs) {
                Verdict::Applied => {}
                Verdict::Unclear => tracing::debug!("{url}: {} changes too little to be told from none", adapter.name),
                Verdict::NotApplied(slope) => {
                    return Err(VllmError::NotApplied { url: url.into(), adapter: adapter.name.clone(), slope });
                }
            }
            telemetry::loaded(url, adapter.version.0);
            Ok(())
        };
        cell.get_or_try_init(|| loading).await.map(drop)
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

/// Credit that was taken, and comes back whatever happens.
struct Seat<'a> {
    fleet: &'a Fleet,
    member: Arc<Member>,
    reports: usize,
    took: Option<Duration>,
}

impl Seat<'_> {
    fn done(mut self, took: Duration) {
        self.took = Some(took);
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut credit = lock(&self.fleet.credit);
        credit.give_back(self.member.index, self.reports, self.took);
        let (in_flight, speed) = (credit.in_flight(self.member.index), credit.speed(self.member.index));
        telemetry::load(self.member.server.url(), in_flight, speed);
        drop(credit);
        self.fleet.freed.notify_waiters();
    }
}

/// Samples from a [`Fleet`].
pub struct VllmSampler {
    fleet: Arc<Fleet>,
    capacity: usize,
}

impl VllmSampler {
    /// `capacity` studies at the same time; who of the servers gets how many is the fleet's.
    pub fn new(fleet: Arc<Fleet>, capacity: usize) -> Self {
        Self { fleet, capacity }
    }
}

impl AsyncSampler<Adapter> for VllmSampler {
    fn capacity(&self) -> usize {
        self.capacity.max(1)
    }

    async fn sample(&self, request: Request<Adapter>) -> Result<Vec<Sampled>, EngineError> {
        self.fleet.sample(request).await
    }
}
