//! Ctrl-C and its like: the first one asks the job to stop in good order, the second one ends the process.

use std::{io, sync::mpsc, thread};

use anyhow::Result;
use tokio::sync::watch;

/// What asks a process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C, SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal is gone.
    Hangup,
}

impl Signal {
    /// The exit status of a process that it ended: 128 and the signal's number.
    pub fn status(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::Hangup => 129,
        }
    }
}

/// The error of a job that was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted(pub Signal);

/// Whether the user wants the job to stop.
#[derive(Clone)]
pub struct Interrupt(Option<watch::Receiver<Option<Signal>>>);

impl Interrupt {
    /// Listens from now on, on a thread of its own. Call it once.
    ///
    /// A process that was started with SIGHUP ignored, as `nohup` does, goes on ignoring it.
    ///
    /// # Errors
    /// The system refuses to tell of signals.
    pub fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (send, receive) = watch::channel(None);
        let (ready, is_ready) = mpsc::channel();
        let listening = move || {
            runtime.block_on(async move {
                let mut signals = match Signals::new() {
                    Ok(signals) => signals,
                    // The listener is gone only if the thread that waits for it is.
                    Err(error) => return drop(ready.send(Err(error))),
                };
                let _ = ready.send(Ok(()));
                let first = signals.next().await;
                tracing::warn!("stopping in good order; press Ctrl-C again to end at once");
                send.send_replace(Some(first));
                std::process::exit(signals.next().await.status().into());
            });
        };
        thread::Builder::new().name("signals".into()).spawn(listening)?;
        is_ready.recv().map_err(io::Error::other)??;
        Ok(Self(Some(receive)))
    }

    /// Hears of nothing: for programs that mind signals themselves, or not at all.
    pub fn never() -> Self {
        Self(None)
    }

    /// Completes when the user wants to stop.
    pub async fn requested(self) {
        if let Some(mut receive) = self.0
            && receive.wait_for(Option::is_some).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }

    /// # Errors
    /// [`Interrupted`]: the user wants to stop.
    pub fn check(&self) -> Result<()> {
        match self.0.as_ref().and_then(|receive| *receive.borrow()) {
            Some(signal) => Err(Interrupted(signal).into()),
            None => Ok(()),
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            () = hangup => Signal::Hangup,
        }
    }
}

/// Whether whoever started the process wants it to outlive the terminal. Known on Linux only.
#[cfg(unix)]
pub fn ignores_hangup() -> bool {
    const HANGUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & HANGUP != 0)
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Interrupt,
            Err(_) => std::future::pending().await,
        }
    }
}
