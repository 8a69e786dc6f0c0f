//! A stage as actors: a ractor factory whose workers share one queue. A worker of a computing stage has a compute
//! thread and an instance; those of an asynchronous one share an instance and await it on the runtime.
//!
//! The factory restarts a worker that dies. A group that dies with it returns its ticket.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use addendum_replay::{RolloutGroup, TicketId};
use ractor::{
    ActorCell, ActorProcessingErr, ActorRef,
    factory::{
        Factory, FactoryArguments, FactoryRef, Job, Worker, WorkerId, queues::DefaultQueue, routing::QueuerRouting,
        worker_builder,
    },
};
use serde_json::json;
use tokio::{sync::Semaphore, time};

use crate::{
    Event, Faults, RunError, Span, Stage, StageError, Track,
    board::Place,
    compute::{Compute, Failure, guarded, guarded_async},
    mailbox::Mailbox,
    messages::{PoolMessage, RecorderMessage, Work},
    meter::Meter,
    outcome::Fuse,
    pool::{Kind, Pool},
    restarts,
    shared::Shared,
    slot::{Hop, Slot},
    telemetry,
};

/// What the workers of all stages are watched with.
#[derive(Clone)]
pub(crate) struct Watch {
    pub faults: Faults,
    pub fuse: Fuse,
    pub max_restarts: u32,
    /// For stages that have none of their own.
    pub limit: Option<Duration>,
}

/// Everything that the workers of a stage are made of.
#[derive(Clone)]
pub(crate) struct Workers {
    pub name: Arc<str>,
    pub pool: Arc<Pool>,
    pub threads: usize,
    /// Who may compute, those that are late included.
    pub room: Arc<Semaphore>,
    pub next: Hop,
    pub meter: Arc<Meter>,
    pub recorder: Arc<Mailbox<RecorderMessage>>,
    pub watch: Watch,
    /// Where the factory can be reached.
    pub slot: Slot<PoolMessage>,
}

type PoolFactory =
    Factory<TicketId, Work, Seat, StageWorker, QueuerRouting<TicketId, Work>, DefaultQueue<TicketId, Work>>;

impl Workers {
    /// Starts the factory and its workers under `supervisor`.
    pub async fn start(&self, supervisor: ActorCell) -> Result<ActorRef<PoolMessage>, ractor::SpawnErr> {
        let (workers, mut seats) = (self.clone(), BTreeMap::new());
        let builder = worker_builder(move |worker: WorkerId| {
            let crash = Crash::default();
            let pause = match seats.insert(worker, crash.clone()) {
                Some(former) => workers.restarted(former.get().map_or("killed", String::as_str)),
                None => Duration::ZERO,
            };
            (StageWorker, Seat { workers: workers.clone(), crash, pause })
        });
        let arguments = FactoryArguments::builder()
            .worker_builder(Box::new(builder))
            .num_initial_workers(self.pool.workers)
            .router(QueuerRouting::default())
            .queue(DefaultQueue::default())
            .build();
        let (factory, _) =
            <PoolFactory as ractor::Actor>::spawn_linked(None, PoolFactory::default(), arguments, supervisor).await?;
        self.slot.set(factory.clone());
        Ok(factory)
    }

    /// How long the one that takes the place of another waits before it works.
    fn restarted(&self, reason: &str) -> Duration {
        let deaths = self.meter.restarted(&self.name);
        let (actor, reason) = (self.name.to_string(), reason.to_string());
        let event = Event::Restarted { actor: actor.clone(), reason: reason.clone() };
        self.recorder.put(RecorderMessage::Event(event));
        if deaths >= self.watch.max_restarts {
            self.watch.fuse.fail(RunError::Restarting { actor, deaths, reason });
        }
        restarts::pause(deaths)
    }
}

/// Why a worker died, if it knew; for its successor, because the factory does not say.
type Crash = Arc<OnceLock<String>>;

/// What a worker is given.
struct Seat {
    workers: Workers,
    crash: Crash,
    pause: Duration,
}

/// One actor of a pool.
struct StageWorker;

struct WorkerState {
    seat: Seat,
    stage: Instance,
    track: Track,
    /// Until the next group.
    waiting: Span,
}

/// What a worker works with.
enum Instance {
    Computing(Compute<Box<dyn Stage>>),
    Asynchronous(Arc<Shared>),
}

impl Worker for StageWorker {
    type Key = TicketId;
    type Message = Work;
    type State = WorkerState;
    type Arguments = Seat;

    async fn pre_start(
        &self,
        worker: WorkerId,
        _: &FactoryRef<TicketId, Work>,
        seat: Seat,
    ) -> Result<WorkerState, ActorProcessingErr> {
        let Workers { name, pool, threads, meter, .. } = &seat.workers;
        let stage = match &pool.kind {
            Kind::Computing(build) => {
                let build = build.clone();
                Instance::Computing(Compute::spawn(&format!("{name}-{worker}"), *threads, move || build()).await?)
            }
            Kind::Asynchronous(shared) => {
                shared.get().await?;
                Instance::Asynchronous(shared.clone())
            }
        };
        let track = meter.trace.track(&format!("{name}-{worker}"));
        Ok(WorkerState { waiting: track.span("waiting"), track, seat, stage })
    }

    async fn handle(
        &self,
        _: WorkerId,
        _: &FactoryRef<TicketId, Work>,
        job: Job<TicketId, Work>,
        WorkerState { seat: Seat { workers, crash, pause }, stage, track, waiting }: &mut WorkerState,
    ) -> Result<TicketId, ActorProcessingErr> {
        let Work { group, queued } = job.msg;
        if !pause.is_zero() {
            time::sleep(std::mem::take(pause)).await;
        }
        workers.meter.board.at(group.ticket.id(), Place::In(workers.name.clone()));
        workers.meter.waited(&workers.name, queued.elapsed());
        drop(std::mem::take(waiting));
        let ticket = group.ticket.id().0;
        let span = track.span("processing").about(|| json!({"ticket": ticket}));
        let result = match stage {
            Instance::Computing(compute) => workers.compute(compute, group).await,
            Instance::Asynchronous(shared) => workers.wait_for(shared, group).await.map_err(Given::Up),
        };
        drop(span);
        *waiting = track.span("waiting");
        match result {
            Ok(group) => {
                workers.meter.trace.passed(&group, &workers.name);
                workers.next.forward(group, &workers.meter);
            }
            Err(given) => {
                telemetry::stage_failed(&workers.name);
                if let Given::Up(failure @ Failure::Crashed(_)) | Given::Over(failure) = given {
                    let _ = crash.set(failure.to_string());
                    return Err(failure.into());
                }
            }
        }
        Ok(job.key)
    }
}

/// How a group was lost to a stage.
enum Given {
    /// Its ticket is back.
    Up(Failure),
    /// Its ticket is back, and the thread still computes.
    Over(Failure),
}

impl Workers {
    fn limit(&self) -> Option<Duration> {
        self.pool.timeout.or(self.watch.limit)
    }

    /// Computes on a thread that is not waited for longer than the stage's time limit.
    async fn compute(&self, thread: &Compute<Box<dyn Stage>>, group: RolloutGroup) -> Result<RolloutGroup, Given> {
        let (name, faults) = (self.name.clone(), self.watch.faults.clone());
        let work = move |stage: &mut Box<dyn Stage>, group| process(stage.as_mut(), group, &name, &faults);
        let Some(limit) = self.limit() else {
            return thread.run(move |stage| work(stage, group)).await.map_err(Given::Up);
        };
        let Ok(Ok(room)) = time::timeout(limit, self.room.clone().acquire_owned()).await else {
            let failure = Failure::Refused(format!("no room within {limit:?}: too many earlier groups are still late"));
            group.fail(&failure);
            return Err(Given::Up(failure));
        };
        let recall = group.ticket.recall();
        let job = thread.run(move |stage| {
            let _room = room;
            work(stage, group)
        });
        match time::timeout(limit, job).await {
            Ok(result) => result.map_err(Given::Up),
            Err(_) => {
                let late = Failure::Late(limit);
                recall.fail(&late);
                Err(Given::Over(late))
            }
        }
    }

    /// Awaits the stage, and cancels it at its time limit.
    async fn wait_for(&self, shared: &Shared, mut group: RolloutGroup) -> Result<RolloutGroup, Failure> {
        let result = async {
            let stage = shared.get().await?;
            let work = guarded_async(async {
                self.watch.faults.strike_async(&self.name).await.map_err(|()| fault(&self.name))?;
                stage.process(&mut group).await
            });
            let result = match self.limit() {
                Some(limit) => time::timeout(limit, work).await.unwrap_or(Err(Failure::Late(limit))),
                None => work.await,
            };
            if let Err(Failure::Crashed(_)) = &result {
                shared.replace(&stage).await;
            }
            result
        };
        match result.await {
            Ok(()) => Ok(group),
            Err(failure) => {
                group.fail(&failure);
                Err(failure)
            }
        }
    }
}

/// Runs the stage; if it fails, the ticket returns with the reason.
fn process(
    stage: &mut dyn Stage,
    mut group: RolloutGroup,
    name: &str,
    faults: &Faults,
) -> Result<RolloutGroup, Failure> {
    let work = || {
        faults.strike_stage(name).map_err(|()| fault(name))?;
        stage.process(&mut group)
    };
    match guarded(work) {
        Ok(()) => Ok(group),
        Err(failure) => {
            group.fail(&failure);
            Err(failure)
        }
    }
}

fn fault(stage: &str) -> StageError {
    format!("a fault was put at `{stage}`").into()
}
