//! The root of the supervision tree: starts every actor of a run and replaces what dies.
//!
//! Workers of a stage's pool are replaced by their factory; everything else, factories included, is replaced here.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};

use crate::{
    Event, RunError,
    context::{Context, FINISHED},
    evaluator::{BuildEvaluator, EvaluatorActor},
    learner::LearnerActor,
    messages::RecorderMessage,
    recorder::RecorderActor,
    restarts,
    sampler::{BuildSampler, SamplerActor},
    telemetry,
    workers::Workers,
};

/// The parts of the tree, in the order in which they start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Recorder,
    Evaluator,
    Pool(usize),
    Learner,
    Sampler(usize),
}

/// Who plays which role at the moment, by name; pools are named after their stage.
#[derive(Default)]
pub(crate) struct Roster {
    actors: Mutex<BTreeMap<String, ActorCell>>,
    /// Set when the run is taken down: from then on nothing is replaced.
    closing: AtomicBool,
}

impl Roster {
    pub fn actor(&self, name: &str) -> Option<ActorCell> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

pub(crate) struct Supervisor<S> {
    pub context: Arc<Context<S>>,
    pub roster: Arc<Roster>,
    pub samplers: BuildSampler<S>,
    pub pools: Vec<Workers>,
    pub evaluator: Option<BuildEvaluator<S>>,
}

/// To the supervisor, by itself: put somebody into this role.
pub(crate) struct Fill(Role);

impl<S: Send + Sync + 'static> Actor for Supervisor<S> {
    type Msg = Fill;
    type State = BTreeMap<ActorId, Role>;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Fill>, _: ()) -> Result<Self::State, ActorProcessingErr> {
        let mut children = BTreeMap::new();
        let pools = (0..self.pools.len()).map(Role::Pool);
        let samplers = (0..self.context.config.samplers).map(Role::Sampler);
        let evaluator = self.context.evaluator.as_ref().map(|_| Role::Evaluator);
        let roles = [Role::Recorder].into_iter().chain(evaluator).chain(pools).chain([Role::Learner]).chain(samplers);
        for role in roles {
            self.start(role, &myself, &mut children).await.map_err(|error| self.start_error(role, error))?;
            telemetry::started(&self.name(role));
        }
        Ok(children)
    }

    async fn handle(
        &self,
        myself: ActorRef<Fill>,
        Fill(role): Fill,
        children: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        self.fill(role, &myself, children).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Fill>,
        event: SupervisionEvent,
        children: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let (actor, reason) = match event {
            SupervisionEvent::ActorFailed(actor, error) => (actor, error.to_string()),
            SupervisionEvent::ActorTerminated(actor, _, reason) => (actor, reason.unwrap_or_else(|| "killed".into())),
            _ => return Ok(()),
        };
        let Some(role) = children.remove(&actor.get_id()) else {
            return Ok(());
        };
        if reason == FINISHED || self.roster.closing.load(Ordering::SeqCst) {
            return Ok(());
        }
        let Some(deaths) = self.restarted(role, reason) else { return Ok(()) };
        match restarts::pause(deaths) {
            Duration::ZERO => self.fill(role, &myself, children).await,
            pause => drop(myself.send_after(pause, move || Fill(role))),
        }
        Ok(())
    }
}

impl<S: Send + Sync + 'static> Supervisor<S> {
    /// Tells of a death; how many in a row that makes, unless they are too many for a restart.
    fn restarted(&self, role: Role, reason: String) -> Option<u32> {
        let actor = self.name(role);
        let deaths = self.context.meter.restarted(&actor);
        let event = Event::Restarted { actor: actor.clone(), reason: reason.clone() };
        self.context.recorder.put(RecorderMessage::Event(event));
        if deaths >= self.context.config.max_restarts_in_a_row {
            self.context.fail(RunError::Restarting { actor, deaths, reason });
            return None;
        }
        Some(deaths)
    }

    /// Puts somebody into the role; later, if that does not work.
    async fn fill(&self, role: Role, myself: &ActorRef<Fill>, children: &mut BTreeMap<ActorId, Role>) {
        if self.roster.closing.load(Ordering::SeqCst) {
            return;
        }
        if let Err(error) = self.start(role, myself, children).await
            && let Some(deaths) = self.restarted(role, self.start_error(role, error).to_string())
        {
            drop(myself.send_after(restarts::pause_after_failure(deaths), move || Fill(role)));
        }
    }

    async fn start(
        &self,
        role: Role,
        myself: &ActorRef<Fill>,
        children: &mut BTreeMap<ActorId, Role>,
    ) -> Result<(), SpawnErr> {
        let (context, supervisor) = (self.context.clone(), myself.get_cell());
        let cell = match role {
            Role::Recorder => {
                let (actor, _) = Actor::spawn_linked(None, RecorderActor(context.clone()), (), supervisor).await?;
                context.recorder.belongs_to(actor.clone());
                actor.get_cell()
            }
            Role::Evaluator => {
                let (Some(build), Some(mailbox)) = (self.evaluator.clone(), context.evaluator.clone()) else {
                    return Ok(());
                };
                let evaluator = EvaluatorActor { context, mailbox: mailbox.clone(), build };
                let (actor, _) = Actor::spawn_linked(None, evaluator, (), supervisor).await?;
                mailbox.belongs_to(actor.clone());
                actor.get_cell()
            }
            Role::Pool(index) => self.pools[index].start(supervisor).await?.get_cell(),
            Role::Learner => Actor::spawn_linked(None, LearnerActor(context), (), supervisor).await?.0.get_cell(),
            Role::Sampler(index) => {
                let sampler = SamplerActor { index, context, build: self.samplers.clone() };
                Actor::spawn_linked(None, sampler, (), supervisor).await?.0.get_cell()
            }
        };
        children.insert(cell.get_id(), role);
        self.roster.actors.lock().unwrap_or_else(PoisonError::into_inner).insert(self.name(role), cell);
        Ok(())
    }

    fn name(&self, role: Role) -> String {
        match role {
            Role::Recorder => "recorder".into(),
            Role::Evaluator => "evaluator".into(),
            Role::Pool(index) => self.pools[index].name.to_string(),
            Role::Learner => "learner".into(),
            Role::Sampler(index) => format!("sampler-{index}"),
        }
    }

    fn start_error(&self, role: Role, error: SpawnErr) -> RunError {
        RunError::Start { actor: self.name(role), reason: reason(error) }
    }
}

/// What kept an actor from starting, without the words of those that started it.
fn reason(error: SpawnErr) -> String {
    match error {
        SpawnErr::StartupFailed(error) => match error.downcast::<SpawnErr>() {
            Ok(error) => reason(*error),
            Err(error) => error.to_string(),
        },
        error => error.to_string(),
    }
}

/// Why the supervisor itself did not start: because of one of its own.
pub(crate) fn not_started(error: SpawnErr) -> RunError {
    match error {
        SpawnErr::StartupFailed(error) => match error.downcast::<RunError>() {
            Ok(error) => *error,
            Err(error) => RunError::Start { actor: "the run".into(), reason: error.to_string() },
        },
        error => RunError::Start { actor: "the run".into(), reason: error.to_string() },
    }
}
