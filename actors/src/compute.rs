//! Compute threads: where the work is done that handlers must not do.
//!
//! A [`Compute`] is a rayon pool of its own, one of whose threads owns a value (a model, a stage) and does nothing but
//! its jobs. They reach it over a bounded channel and answer over a oneshot, so an async handler waits without blocking
//! its executor. A panicking job becomes an error; the thread and its value live on.

use std::{
    any::Any,
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use crossbeam::channel;
use tokio::sync::{Semaphore, oneshot};

/// Jobs that may be queued or running on one thread; more wait outside, asynchronously.
const QUEUE: usize = 2;

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// A handle on a compute thread. The thread ends after its current job once the last handle is dropped.
pub struct Compute<T> {
    name: Arc<str>,
    jobs: channel::Sender<Job<T>>,
    room: Arc<Semaphore>,
}

impl<T> Clone for Compute<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), jobs: self.jobs.clone(), room: self.room.clone() }
    }
}

/// Why a job, or a thread, gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The job said no.
    Refused(String),
    /// The job panicked, or its thread is gone.
    Crashed(String),
    /// The job took longer than this.
    Late(Duration),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => f.write_str(reason),
            Self::Crashed(reason) => write!(f, "panicked: {reason}"),
            Self::Late(limit) => write!(f, "no answer within {limit:?}"),
        }
    }
}

impl std::error::Error for Failure {}

/// What a job may fail with: a [`Failure`] is kept as it is, anything else means that the job refused.
pub trait IntoFailure {
    /// The failure as actors hand it on.
    fn into_failure(self) -> Failure;
}

impl IntoFailure for Failure {
    fn into_failure(self) -> Failure {
        self
    }
}

impl IntoFailure for Box<dyn std::error::Error + Send + Sync> {
    fn into_failure(self) -> Failure {
        Failure::Refused(self.to_string())
    }
}

impl IntoFailure for crate::RunError {
    fn into_failure(self) -> Failure {
        Failure::Refused(self.to_string())
    }
}

impl<T: Send + 'static> Compute<T> {
    /// Starts a pool of `threads` threads, called `name` and their number, and builds the value on one of them.
    ///
    /// # Errors
    /// The pool could not be started, or `build` failed or panicked.
    pub async fn spawn<E: IntoFailure>(
        name: &str,
        threads: usize,
        build: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<Self, Failure> {
        let (jobs, queue) = channel::bounded::<Job<T>>(QUEUE);
        let (ready, started) = oneshot::channel();
        let pool = pool(name, threads)?;
        pool.clone().spawn(move || {
            // The other threads of the pool are there as long as this one works.
            let _pool = pool;
            match guarded(build) {
                Ok(mut value) => {
                    let _ = ready.send(Ok(()));
                    queue.into_iter().for_each(|job| job(&mut value));
                }
                Err(failure) => {
                    let _ = ready.send(Err(failure));
                }
            }
        });
        let answer = started.await.unwrap_or_else(|_| Err(gone(name)));
        answer.map(|()| Self { name: name.into(), jobs, room: Arc::new(Semaphore::new(QUEUE)) })
    }

    /// Runs `job` on the thread. If the caller stops waiting, the job is done nevertheless.
    ///
    /// # Errors
    /// The job failed or panicked.
    pub async fn run<R: Send + 'static, E: IntoFailure>(
        &self,
        job: impl FnOnce(&mut T) -> Result<R, E> + Send + 'static,
    ) -> Result<R, Failure> {
        let Ok(permit) = self.room.clone().acquire_owned().await else {
            return Err(gone(&self.name));
        };
        let (reply, answer) = oneshot::channel();
        let job: Job<T> = Box::new(move |value| {
            let result = guarded(|| job(value));
            drop(permit);
            let _ = reply.send(result);
        });
        // The permit guarantees room in the channel: this never blocks.
        if self.jobs.send(job).is_err() {
            return Err(gone(&self.name));
        }
        answer.await.unwrap_or_else(|_| Err(gone(&self.name)))
    }
}

fn pool(name: &str, threads: usize) -> Result<Arc<rayon::ThreadPool>, Failure> {
    let name = name.to_string();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(move |index| format!("{name}.{index}"))
        // Jobs are guarded; a value that panics when it is dropped at their end does no harm.
        .panic_handler(drop)
        .build();
    pool.map(Arc::new).map_err(|error| Failure::Refused(error.to_string()))
}

fn gone(name: &str) -> Failure {
    Failure::Crashed(format!("the thread `{name}` is gone"))
}

/// Runs `work`; a panic in it becomes [`Failure::Crashed`] with the panic's message.
pub fn guarded<R, E: IntoFailure>(work: impl FnOnce() -> Result<R, E>) -> Result<R, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.into_failure()),
        Err(panic) => Err(Failure::Crashed(message(panic.as_ref()))),
    }
}

/// Runs `work` to its end as [`guarded`] does.
pub async fn guarded_async<R, E: IntoFailure>(work: impl Future<Output = Result<R, E>>) -> Result<R, Failure> {
    let mut work = pin!(work);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(result) => result.map(|result| result.map_err(E::into_failure)),
        Err(panic) => Poll::Ready(Err(Failure::Crashed(message(panic.as_ref())))),
    })
    .await
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_string())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn a_panicking_job_is_an_error_and_the_next_job_still_runs() {
        let compute = Compute::spawn("counter", 1, || Ok::<_, Failure>(0)).await.unwrap();
        let crash = compute.run(|_: &mut i32| -> Result<(), Failure> { panic!("no {}", 7) }).await;
        assert_eq!(crash, Err(Failure::Crashed("no 7".into())));
        let count = compute.run(|count| {
            *count += 1;
            Ok::<_, Failure>(*count)
        });
        assert_eq!(count.await, Ok(1));
    }

    #[tokio::test]
    async fn jobs_run_on_a_pool_of_the_named_thread_with_the_asked_size() {
        let compute = Compute::spawn("device-3", 2, || Ok::<_, Failure>(())).await.unwrap();
        let seen = compute.run(|()| {
            let name = thread::current().name().map(str::to_string);
            Ok::<_, Failure>((name, rayon::current_num_threads()))
        });
        let (name, threads) = seen.await.unwrap();
        assert!(name.unwrap().starts_with("device-3."));
        assert_eq!(threads, 2);
    }

    #[tokio::test]
    async fn a_value_that_cannot_be_built_is_reported_to_the_starter() {
        let refused = Compute::<()>::spawn("x", 1, || Err(Failure::Refused("no such file".into()))).await.err();
        assert_eq!(refused, Some(Failure::Refused("no such file".into())));
        let crashed = Compute::<()>::spawn("x", 1, || -> Result<(), Failure> { panic!("boom") }).await.err();
        assert_eq!(crashed, Some(Failure::Crashed("boom".into())));
    }

    #[tokio::test]
    async fn more_jobs_than_the_queue_holds_wait_without_blocking_the_executor() {
        let compute = Compute::spawn("busy", 1, || Ok::<_, Failure>(Vec::new())).await.unwrap();
        let jobs = (0..10).map(|i| {
            let compute = compute.clone();
            async move {
                compute
                    .run(move |seen: &mut Vec<usize>| {
                        thread::sleep(std::time::Duration::from_millis(1));
                        seen.push(i);
                        Ok::<_, Failure>(seen.len())
                    })
                    .await
            }
        });
        let mut tasks = tokio::task::JoinSet::new();
        jobs.for_each(|job| {
            tasks.spawn(job);
        });
        assert_eq!(tasks.join_all().await.into_iter().map(Result::unwrap).max(), Some(10));
    }
}
