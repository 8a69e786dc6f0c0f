//! Threads for computing, with a bounded queue in front. Knows nothing of requests.

use std::{io, panic, thread, time::Duration};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Why a job has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The queue is full; the job was not begun.
    Full,
    /// It took too long. If it was begun it runs on, unheard, until it asks whether anybody waits.
    Late,
    /// It panicked.
    Crashed,
}

/// The threads end when the pool is dropped and their jobs are done.
pub(super) struct Pool {
    jobs: Sender<Job>,
}

impl Pool {
    /// # Errors
    /// A thread cannot be started.
    pub fn new(threads: usize, queue: usize) -> io::Result<Self> {
        let (jobs, waiting): (_, Receiver<Job>) = bounded(queue);
        for i in 0..threads {
            let waiting = waiting.clone();
            let work = move || {
                for job in waiting {
                    // The panic hook has told; the one who waits hears of it by the closed channel.
                    let _ = panic::catch_unwind(panic::AssertUnwindSafe(job));
                }
            };
            thread::Builder::new().name(format!("rewards-{i}")).spawn(work)?;
        }
        Ok(Self { jobs })
    }

    /// Runs `job` on one of the threads. A job whose caller has gone before it began is skipped; what it is given tells
    /// whether the caller still waits.
    pub async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        job: impl FnOnce(&dyn Fn() -> bool) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (send, receive) = oneshot::channel();
        let job = move || {
            if !send.is_closed() {
                let result = job(&|| !send.is_closed());
                // Nobody waits any longer if this fails.
                let _ = send.send(result);
            }
        };
        match self.jobs.try_send(Box::new(job)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(Lost::Full),
            Err(TrySendError::Disconnected(_)) => return Err(Lost::Crashed),
        }
        match tokio::time::timeout(limit, receive).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(Lost::Crashed),
            Err(_) => Err(Lost::Late),
        }
    }

    /// Jobs that wait.
    pub fn waiting(&self) -> usize {
        self.jobs.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_late_job_is_given_up() {
        let pool = Pool::new(1, 1).unwrap();
        let (release, held) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let hold = move |_: &dyn Fn() -> bool| {
            begun.send(()).unwrap();
            let _ = held.recv();
        };
        let mut first = std::pin::pin!(pool.run(LONG, hold));
        tokio::select! {
            biased;
            _ = &mut first => panic!("it is held"),
            () = tokio::task::yield_now() => {}
        }
        begins.recv().unwrap();
        // The thread is held: one job waits, and is given up by its caller; the next finds no place.
        let short = Duration::from_millis(20);
        assert_eq!(pool.run::<()>(short, |_| panic!("skipped, as nobody waits")).await, Err(Lost::Late));
        assert_eq!(pool.run(LONG, |_| ()).await, Err(Lost::Full));
        assert_eq!(pool.waiting(), 1);
        release.send(()).unwrap();
        assert_eq!(first.await, Ok(()));
        let mut answer = Err(Lost::Full);
        while answer == Err(Lost::Full) {
            tokio::task::yield_now().await;
            answer = pool.run(LONG, |_| 7).await;
        }
        assert_eq!(answer, Ok(7));
    }

    #[tokio::test]
    async fn a_job_is_told_that_its_caller_has_gone() {
        let pool = Pool::new(1, 4).unwrap();
        let (tell, told) = mpsc::channel();
        let unending = move |waits: &dyn Fn() -> bool| {
            tell.send(waits()).unwrap();
            while waits() {
                thread::yield_now();
            }
        };
        assert_eq!(pool.run(Duration::from_millis(500), unending).await, Err(Lost::Late));
        assert_eq!(told.recv(), Ok(true));
        // The only thread is free again.
        assert_eq!(pool.run(LONG, |waits| waits()).await, Ok(true));
    }

    #[tokio::test]
    async fn a_panic_costs_one_job() {
        let pool = Pool::new(1, 4).unwrap();
        assert_eq!(pool.run::<()>(LONG, |_| panic!("one job")).await, Err(Lost::Crashed));
        assert_eq!(pool.run(LONG, |_| 3).await, Ok(3));
    }
}
