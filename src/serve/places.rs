//! How many connections there may be, and which one leaves where there is no room.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use crossbeam::atomic::AtomicCell;
use tokio::sync::Notify;

/// So long a client may keep us waiting before its place goes to another.
const GRACE: Duration = Duration::from_secs(1);

/// The place of a connection, free again when it is dropped.
pub(super) struct Place {
    /// Since when we wait for its client: for a request, for the rest of one, or until it has taken its answer. Nothing
    /// while we work for it.
    idle: AtomicCell<Option<Instant>>,
    leave: Notify,
    freed: Arc<Notify>,
}

impl Place {
    /// Keeps the place while `work` goes on.
    pub async fn keep_while<T>(&self, work: impl Future<Output = T>) -> T {
        self.idle.store(None);
        let done = work.await;
        self.idle.store(Some(Instant::now()));
        done
    }

    /// Completes when the place is to go to another.
    pub async fn lost(&self) {
        loop {
            self.leave.notified().await;
            // Work may have begun in the meantime.
            if self.idle.load().is_some() {
                return;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.freed.notify_one();
    }
}

/// The places of a server.
pub(super) struct Places {
    most: usize,
    taken: Vec<Weak<Place>>,
    freed: Arc<Notify>,
}

impl Places {
    pub fn new(most: usize) -> Self {
        Self { most, taken: Vec::new(), freed: Arc::new(Notify::new()) }
    }

    /// A place: a free one, else that of the client that has kept us waiting the longest.
    pub async fn take(&mut self) -> Arc<Place> {
        loop {
            self.taken.retain(|place| place.strong_count() > 0);
            if self.taken.len() < self.most {
                let idle = AtomicCell::new(Some(Instant::now()));
                let place = Arc::new(Place { idle, leave: Notify::new(), freed: self.freed.clone() });
                self.taken.push(Arc::downgrade(&place));
                return place;
            }
            let pause = self.ask_the_idlest();
            // Whether a place was freed or the time is over, it is looked again.
            let _ = tokio::time::timeout(pause, self.freed.notified()).await;
        }
    }

    /// Tells the connection that has been idle the longest to leave, if that is long enough; for how long to wait then.
    fn ask_the_idlest(&self) -> Duration {
        let idle = self.taken.iter().filter_map(Weak::upgrade).filter_map(|place| Some((place.idle.load()?, place)));
        let Some((since, place)) = idle.min_by_key(|(since, _)| *since) else { return GRACE };
        let left = GRACE.saturating_sub(since.elapsed());
        if !left.is_zero() {
            return left;
        }
        place.leave.notify_one();
        GRACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_client_that_kept_us_waiting_the_longest_leaves_and_no_work_is_broken_off() {
        let mut places = Places::new(2);
        let (busy, idle) = (places.take().await, places.take().await);
        let mut work = std::pin::pin!(busy.keep_while(std::future::pending::<()>()));
        tokio::select! {
            biased;
            () = &mut work => panic!("it works on"),
            () = std::future::ready(()) => {}
        }
        let mut next = std::pin::pin!(places.take());
        tokio::select! {
            _ = &mut next => panic!("there is no room"),
            () = &mut work => panic!("it works on"),
            () = busy.lost() => panic!("its work is broken off"),
            () = idle.lost() => {}
        }
        drop(idle);
        next.await;
    }
}
