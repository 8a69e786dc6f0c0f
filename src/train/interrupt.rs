//! Ctrl-C: the first one asks the job to stop in good order, the second one ends the process.

use anyhow::{Result, bail};
use tokio::sync::watch;

/// Exit status of a process ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// Whether the user wants the job to stop.
#[derive(Clone)]
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens from now on. Call it once, within a tokio runtime.
    pub fn listen() -> Self {
        let (send, receive) = watch::channel(false);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                eprintln!("stopping after the current step; press Ctrl-C again to end at once");
                send.send_replace(true);
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(INTERRUPTED);
            }
        });
        Self(receive)
    }

    /// Completes when the user wants to stop.
    pub async fn requested(mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            std::future::pending().await
        }
    }

    /// # Errors
    /// The user wants to stop.
    pub fn check(&self) -> Result<()> {
        if *self.0.borrow() {
            bail!("interrupted");
        }
        Ok(())
    }
}
