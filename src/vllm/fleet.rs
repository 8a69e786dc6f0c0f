//! All servers together: who is asked, and what becomes of a study whose server fails.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use addendum_actors::{AsyncSampler, EngineError, Request, Sampled};
use addendum_policy::{Adapter, Policy, SamplingConfig};
use addendum_rewards_remote::servers::{self, Addresses, LOOK, Pauses, Roster};
use tokio::sync::Notify;

use super::{
    VllmConfig, VllmError,
    adapters::{Adapters, Published},
    member::Member,
    probe::Probe,
    question::Question,
    telemetry, wire,
};

/// For how long a server that failed is left alone.
const PAUSES: Pauses = Pauses { first: Duration::from_secs(1), longest: Duration::from_secs(30) };
/// Answers that are not as they must be, or adapters that are not there, before a study has failed.
const WRONG_ANSWERS: u32 = 5;

type Seat<'a> = servers::Seat<'a, Member>;

/// Servers that share the work of sampling. One per run, behind every sampler actor.
pub struct Fleet {
    config: VllmConfig,
    sampling: SamplingConfig,
    policy: Arc<Policy>,
    adapters: Adapters,
    probe: Probe,
    roster: Roster<Member>,
    freed: Arc<Notify>,
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
        config.validate()?;
        let (token, timeout) = (config.token()?, Duration::from_secs_f64(config.timeout_seconds));
        let freed = Arc::<Notify>::default();
        let free = freed.clone();
        let told = move |url: &str, in_flight, speed| {
            telemetry::load(url, in_flight, speed);
            free.notify_waiters();
        };
        let make = move |url: &str| Member::new(url, token.clone(), timeout);
        let roster = Roster::new(addresses, config.reports_in_flight, make, told)?;
        let folder = config.adapters_folder.clone().unwrap_or_else(|| run_folder.join("adapters-published"));
        let unusable = |error| VllmError::Publish { reason: format!("{}: {error}", folder.display()) };
        std::fs::create_dir_all(&folder).map_err(unusable)?;
        let folder = std::path::absolute(&folder).map_err(unusable)?;
        let adapters = Adapters::new(folder, config.adapters_folder_there.clone(), base, staleness);
        let probe = Probe::new(policy.clone()).map_err(|error| VllmError::Publish { reason: error.to_string() })?;
        Ok(Self { config, sampling, policy, adapters, probe, roster, freed })
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
            let member = seat.member().clone();
            match self.ask(&member.server, &question, &adapter).await {
                Ok(reports) => {
                    member.health().succeeded();
                    telemetry::up(&member.url, true);
                    let tokens = reports.iter().map(|report| report.tokens.len()).sum();
                    telemetry::tokens(&member.url, tokens);
                    seat.answered();
                    let tokenizer = self.policy.tokenizer();
                    return Ok(wire::sampled(reports, request.policy.version, |tokens| tokenizer.decode(tokens)));
                }
                Err(error) => {
                    telemetry::failed(&member.url);
                    keep(&seat, &error);
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
        member.look_at_queue();
        let met = member.meet(self.config.model.as_deref(), &self.sampling, &self.probe).await?;
        member.load(adapter, &met, &self.probe).await?;
        let server = &member.server;
        let answer = server.chat(question.of(&adapter.name)).await?;
        let (prompt, reports) = wire::chat(&answer, question.reports).map_err(|reason| server.malformed(reason))?;
        question.check(server.url(), &prompt)?;
        Ok(reports)
    }

    /// Waits for a server that has credit for so many reports.
    async fn seat(&self, reports: usize) -> Result<Seat<'_>, VllmError> {
        let since = Instant::now();
        let wanted = self.roster.wanted(reports);
        loop {
            let freed = self.freed.notified();
            self.roster.look();
            if let Some(seat) = wanted.take(|_| true) {
                return Ok(seat);
            }
            if let Some(error) = self.given_up(since) {
                return Err(error);
            }
            tokio::select! {
                () = freed => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Why waiting is in vain, if it is.
    fn given_up(&self, since: Instant) -> Option<VllmError> {
        let listed: Vec<_> = self.roster.listed().iter().map(|member| member.health().clone()).collect();
        let refused: Option<Vec<_>> = listed.iter().map(|health| health.refused()).collect();
        if let Some(last) = refused.and_then(|reasons| reasons.first().copied()) {
            return Some(VllmError::NoneLeft { last: last.to_owned() });
        }
        let seconds = since.elapsed().as_secs_f64();
        let nobody = listed.iter().all(|health| health.is_down() || health.refused().is_some());
        let over = nobody && self.config.patience_seconds.is_some_and(|patience| seconds > patience);
        let last = || listed.iter().find_map(|health| health.last()).unwrap_or("none is listed").to_owned();
        over.then(|| VllmError::NobodyAnswers { seconds, last: last() })
    }

    /// Unloads and removes what no ticket can ask for any more, without anybody waiting for it.
    fn forget_outdated(&self) {
        for adapter in self.adapters.outdated() {
            let members = self.roster.all();
            tokio::spawn(async move {
                for member in members {
                    if member.server.forget_adapter(&adapter.name) {
                        member.server.server.unload(&adapter.name).await;
                    }
                }
                adapter.remove();
            });
        }
    }
}

/// Keeps in mind what a server failed at.
fn keep(seat: &Seat<'_>, error: &VllmError) {
    let member = seat.member();
    let mut health = member.health();
    match error {
        VllmError::NotApplied { .. } => health.refuse(error.to_string()),
        VllmError::Down { .. } | VllmError::Answer { .. } => {
            health.failed(PAUSES, seat.began(), Instant::now(), None, error.to_string());
            member.server.forget();
            telemetry::up(&member.url, false);
        }
        _ => health.note(error.to_string()),
    }
    if let VllmError::NoAdapter { adapter, .. } = error {
        member.server.forget_adapter(adapter);
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
