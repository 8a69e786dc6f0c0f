//! A stage as actors: a ractor factory whose workers share one queue, each with a compute thread.
//!
//! The factory restarts a worker that dies. A group that dies with it returns its ticket.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use addendum_replay::{RolloutGroup, TicketId};
use ractor::{
    ActorCell, ActorProcessingErr, ActorRef,
    factory::{
        Factory, FactoryArguments, FactoryMessage, FactoryRef, Job, Worker, WorkerId, queues::DefaultQueue,
        routing::QueuerRouting, worker_builder,
    },
};

use crate::{
    Stage, StageError,
    compute::{Compute, Failure, guarded},
    meter::Meter,
    slot::{Hop, Slot},
    telemetry,
};

/// A group on its way to a stage.
#[derive(Debug)]
pub(crate) struct Work {
    group: RolloutGroup,
    queued: Instant,
}

impl Work {
    pub fn new(group: RolloutGroup) -> Self {
        Self { group, queued: Instant::now() }
    }
}

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
    /// Where the factory can be reached.
    pub slot: Slot<PoolMessage>,
}

pub(crate) type PoolMessage = FactoryMessage<TicketId, Work>;

type PoolFactory =
    Factory<TicketId, Work, Pool, StageWorker, QueuerRouting<TicketId, Work>, DefaultQueue<TicketId, Work>>;

impl Pool {
    /// Starts the factory and its workers under `supervisor`.
    pub async fn start(&self, supervisor: ActorCell) -> Result<ActorRef<PoolMessage>, ractor::SpawnErr> {
        let (pool, mut started) = (self.clone(), BTreeSet::new());
        let builder = worker_builder(move |worker: WorkerId| {
            if !started.insert(worker) {
                pool.meter.restarted(&pool.name);
            }
            (StageWorker, pool.clone())
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
}

/// One actor of a pool.
struct StageWorker;

struct WorkerState {
    pool: Pool,
    stage: Compute<Box<dyn Stage>>,
}

impl Worker for StageWorker {
    type Key = TicketId;
    type Message = Work;
    type State = WorkerState;
    type Arguments = Pool;

    async fn pre_start(
        &self,
        worker: WorkerId,
        _: &FactoryRef<TicketId, Work>,
        pool: Pool,
    ) -> Result<WorkerState, ActorProcessingErr> {
        let build = pool.build.clone();
        let stage = Compute::spawn(&format!("{}-{worker}", pool.name), pool.threads, move || build()).await?;
        Ok(WorkerState { pool, stage })
    }

    async fn handle(
        &self,
        _: WorkerId,
        _: &FactoryRef<TicketId, Work>,
        job: Job<TicketId, Work>,
        WorkerState { pool, stage }: &mut WorkerState,
    ) -> Result<TicketId, ActorProcessingErr> {
        let Work { group, queued } = job.msg;
        pool.meter.waited(&pool.name, queued.elapsed());
        match stage.run(move |stage| process(stage.as_mut(), group)).await {
            Ok(group) => pool.next.forward(group),
            Err(failure) => {
                telemetry::stage_failed(&pool.name);
                if let Failure::Crashed(_) = failure {
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
