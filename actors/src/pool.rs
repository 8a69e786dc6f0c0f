//! A stage as actors: a ractor factory whose workers share one queue, each with a compute thread.
//!
//! The factory restarts a worker that dies. A group that dies with it returns its ticket.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use addendum_replay::{RolloutGroup, TicketId};
use ractor::{
    ActorCell, ActorProcessingErr, ActorRef,
    factory::{
        Factory, FactoryArguments, FactoryRef, Job, Worker, WorkerId, queues::DefaultQueue, routing::QueuerRouting,
        worker_builder,
    },
};

use crate::{
    Event, Stage, StageError,
    compute::{Compute, Failure, guarded},
    mailbox::Mailbox,
    messages::{PoolMessage, RecorderMessage, Work},
    meter::Meter,
    slot::{Hop, Slot},
    telemetry,
};

/// Builds one instance of a stage.
pub(crate) type BuildStage = Arc<dyn Fn() -> Result<Box<dyn Stage>, StageError> + Send + Sync>;

/// Everything a pool and its workers are made of.
#[derive(Clone)]
pub(crate) struct Pool {
    pub name: Arc<str>,
    pub workers: usize,
    pub threads: usize,
    pub build: BuildStage,
    pub next: Hop,
    pub meter: Arc<Meter>,
    pub recorder: Arc<Mailbox<RecorderMessage>>,
    /// Where the factory can be reached.
    pub slot: Slot<PoolMessage>,
}

type PoolFactory =
    Factory<TicketId, Work, Seat, StageWorker, QueuerRouting<TicketId, Work>, DefaultQueue<TicketId, Work>>;

impl Pool {
    /// Starts the factory and its workers under `supervisor`.
    pub async fn start(&self, supervisor: ActorCell) -> Result<ActorRef<PoolMessage>, ractor::SpawnErr> {
        let (pool, mut seats) = (self.clone(), BTreeMap::new());
        let builder = worker_builder(move |worker: WorkerId| {
            let seat = Seat { pool: pool.clone(), crash: Crash::default() };
            if let Some(former) = seats.insert(worker, seat.crash.clone()) {
                pool.restarted(former.get().map_or("killed", String::as_str));
            }
            (StageWorker, seat)
        });
        let arguments = FactoryArguments::builder()
            .worker_builder(Box::new(builder))
            .num_initial_workers(self.workers)
            .router(QueuerRouting::default())
            .queue(DefaultQueue::default())
            .build();
        let (factory, _) =
            <PoolFactory as ractor::Actor>::spawn_linked(None, PoolFactory::default(), arguments, supervisor).await?;
        self.slot.set(factory.clone());
        Ok(factory)
    }

    fn restarted(&self, reason: &str) {
        self.meter.restarted(&self.name);
        let (actor, reason) = (self.name.to_string(), reason.to_string());
        self.recorder.put(RecorderMessage::Event(Event::Restarted { actor, reason }));
    }
}

/// Why a worker died, if it knew; for its successor, because the factory does not say.
type Crash = Arc<OnceLock<String>>;

/// What a worker is given.
struct Seat {
    pool: Pool,
    crash: Crash,
}

/// One actor of a pool.
struct StageWorker;

struct WorkerState {
    seat: Seat,
    stage: Compute<Box<dyn Stage>>,
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
        let pool = &seat.pool;
        let build = pool.build.clone();
        let stage = Compute::spawn(&format!("{}-{worker}", pool.name), pool.threads, move || build()).await?;
        Ok(WorkerState { seat, stage })
    }

    async fn handle(
        &self,
        _: WorkerId,
        _: &FactoryRef<TicketId, Work>,
        job: Job<TicketId, Work>,
        WorkerState { seat: Seat { pool, crash }, stage }: &mut WorkerState,
    ) -> Result<TicketId, ActorProcessingErr> {
        let Work { group, queued } = job.msg;
        pool.meter.waited(&pool.name, queued.elapsed());
        match stage.run(move |stage| process(stage.as_mut(), group)).await {
            Ok(group) => pool.next.forward(group),
            Err(failure) => {
                telemetry::stage_failed(&pool.name);
                if let Failure::Crashed(_) = failure {
                    let _ = crash.set(failure.to_string());
                    return Err(failure.into());
                }
            }
        }
        Ok(job.key)
    }
}

/// Runs the stage; if it fails, the ticket returns with the reason.
fn process(stage: &mut dyn Stage, mut group: RolloutGroup) -> Result<RolloutGroup, Failure> {
    match guarded(|| stage.process(&mut group)) {
        Ok(()) => Ok(group),
        Err(failure) => {
            group.fail(&failure);
            Err(failure)
        }
    }
}
