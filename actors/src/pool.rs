//! A stage to be put into the chain: its name, how to build it, and how it is run.

use std::{sync::Arc, time::Duration};

use addendum_studies::Study;

use crate::{
    AsyncStage, Stage, StageError,
    ahead::Foresee,
    shared::{Await, Shared},
};

/// Builds one instance of a computing stage.
pub(crate) type BuildStage = Arc<dyn Fn() -> Result<Box<dyn Stage>, StageError> + Send + Sync>;

/// What a stage's workers do.
pub(crate) enum Kind {
    Computing(BuildStage),
    Asynchronous(Arc<Shared>),
}

/// A pool of workers that run one stage of the chain.
///
/// ```
/// # use std::time::Duration;
/// # use addendum_actors::{AsyncStage, Pool, StageError};
/// # use addendum_replay::RolloutGroup;
/// /// Asks a service for its opinion of every report.
/// struct Opinion;
///
/// impl AsyncStage for Opinion {
///     async fn process(&self, group: &mut RolloutGroup) -> Result<(), StageError> {
///         for rollout in &mut group.rollouts {
///             let reward = rollout.reward.as_mut().ok_or("runs after the rewards")?;
///             reward.total += ask(&rollout.text).await?;
///         }
///         Ok(())
///     }
/// }
/// # async fn ask(_: &str) -> Result<f64, StageError> { Ok(0.0) }
///
/// // Sixteen groups at a time, ten seconds for each.
/// let pool = Pool::asynchronous("opinion", 16, || Ok(Opinion)).timeout(Duration::from_secs(10));
/// ```
#[must_use]
pub struct Pool {
    pub(crate) name: String,
    pub(crate) workers: usize,
    pub(crate) kind: Kind,
    pub(crate) timeout: Option<Duration>,
    pub(crate) foresee: Option<Foresee>,
}

impl Pool {
    /// A stage that computes, on `workers` threads of its own. `build` makes one instance per worker on its thread, again
    /// after a crash.
    pub fn computing<T: Stage + 'static>(
        name: impl Into<String>,
        workers: usize,
        build: impl Fn() -> Result<T, StageError> + Send + Sync + 'static,
    ) -> Self {
        let build: BuildStage = Arc::new(move || Ok(Box::new(build()?)));
        Self { name: name.into(), workers, kind: Kind::Computing(build), timeout: None, foresee: None }
    }

    /// A stage that waits, for services above all: `in_flight` groups at a time on the runtime. `build` makes the one
    /// instance, another one after a crash.
    pub fn asynchronous<T: AsyncStage + 'static>(
        name: impl Into<String>,
        in_flight: usize,
        build: impl Fn() -> Result<T, StageError> + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared::new(Arc::new(move || Ok(Arc::new(build()?) as Arc<dyn Await>)));
        let kind = Kind::Asynchronous(Arc::new(shared));
        Self { name: name.into(), workers: in_flight, kind, timeout: None, foresee: None }
    }

    /// How long the stage may take for a group. After that the attempt has failed.
    ///
    /// An asynchronous stage is cancelled where it waits. A computing one cannot be: its worker is replaced, the thread
    /// computes on, and its result is dropped. At most twice as many threads as the pool has workers do so at a time;
    /// beyond that a group waits for one of them to end, no longer than the limit, and then fails in its turn.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Has the stage get ready for studies of which there will be groups soon, such as by annotating their references into
    /// a cache; see [`Pipeline::foresee`](crate::Pipeline::foresee).
    pub fn foresee(mut self, get_ready: impl Fn(&Study) + Send + Sync + 'static) -> Self {
        self.foresee = Some(Arc::new(get_ready));
        self
    }

    /// How many threads may compute at a time, those whose result nobody waits for included.
    pub(crate) fn room(&self) -> usize {
        2 * self.workers
    }
}
