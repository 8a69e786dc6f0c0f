//! Waiting without a thread, more precisely than the runtime's timer, which counts in milliseconds.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use crossbeam::channel::{self, Receiver, RecvTimeoutError};
use tokio::sync::oneshot;

/// Wakes whoever waits, from a thread of its own. It ends with the last handle.
#[derive(Clone)]
pub struct Alarm(channel::Sender<Call>);

struct Call {
    at: Instant,
    wake: oneshot::Sender<()>,
}

impl Alarm {
    /// # Errors
    /// The thread could not be started.
    pub fn new() -> std::io::Result<Self> {
        let (calls, queue) = channel::unbounded();
        thread::Builder::new().name("alarm".into()).spawn(move || wake(&queue))?;
        Ok(Self(calls))
    }

    /// Completes when the time has passed; at once if there is none.
    pub async fn wait(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        let (wake, woken) = oneshot::channel();
        // The thread is there as long as a handle is.
        let _ = self.0.send(Call { at: Instant::now() + time, wake });
        let _ = woken.await;
    }
}

fn wake(queue: &Receiver<Call>) {
    let mut waiting = BTreeMap::new();
    let mut calls = 0u64;
    loop {
        let call = match waiting.first_key_value() {
            Some((&(at, _), _)) => queue.recv_deadline(at),
            None => queue.recv().map_err(RecvTimeoutError::from),
        };
        match call {
            Ok(Call { at, wake }) => {
                calls += 1;
                waiting.insert((at, calls), wake);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        while let Some(first) = waiting.first_entry().filter(|first| first.key().0 <= now) {
            // Whoever waited may have been cancelled.
            let _: Result<(), ()> = first.remove().send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_woken_early_and_the_shorter_wait_ends_first() {
        let alarm = Alarm::new().unwrap();
        let started = Instant::now();
        let (long, short) = (Duration::from_millis(30), Duration::from_millis(5));
        let wait = |time| {
            let alarm = alarm.clone();
            async move {
                alarm.wait(time).await;
                assert!(started.elapsed() >= time);
                time
            }
        };
        let mut waits = tokio::task::JoinSet::new();
        [long, short].into_iter().for_each(|time| drop(waits.spawn(wait(time))));
        let mut order = Vec::new();
        while let Some(time) = waits.join_next().await {
            order.push(time.unwrap());
        }
        assert_eq!(order, [short, long]);
    }
}
