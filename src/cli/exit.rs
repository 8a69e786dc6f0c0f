//! Why a command ended, as its exit status.

use std::{
    error::Error,
    fmt::{self, Display},
};

use addendum::{actors::RunError, train::interrupt::Interrupted};
use anyhow::Result;

/// For people, behind every help text.
pub const HELP: &str = "\
Exit status: 0 success; 1 failure while running; 2 wrong usage, settings or input, refused before anything was computed;
3 a run in which nothing moved any more, 4 a run that went wrong and was to stop then, both with a checkpoint; 130, 143
and 129 stopped by Ctrl-C, SIGTERM and SIGHUP.";

/// An error that was found before anything was computed.
#[derive(Debug)]
struct Refused(anyhow::Error);

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// What a command needs before it computes. If that is an error, it is the user's to mend.
pub fn beforehand<T>(prepared: Result<T>) -> Result<T> {
    prepared.map_err(|error| Refused(error).into())
}

/// The exit status of a command that ended in this error.
pub fn status(error: &anyhow::Error) -> u8 {
    if let Some(Interrupted(signal)) = error.downcast_ref() {
        return signal.status();
    }
    match error.downcast_ref() {
        Some(RunError::Stalled { .. }) => 3,
        Some(RunError::Diverged { .. }) => 4,
        _ if error.is::<Refused>() => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use addendum::{
        actors::{Diverging, Sign},
        train::interrupt::Signal,
    };
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn a_status_tells_refusals_failures_and_signals_apart_whatever_their_context() {
        let status_of = |result: Result<()>| status(&result.context("outer").unwrap_err());
        assert_eq!(status_of(Err(anyhow!("disk full"))), 1);
        assert_eq!(status_of(beforehand(Err(anyhow!("no such folder")))), 2);
        let stalled = RunError::Stalled { seconds: 60, report: String::new() };
        assert_eq!(status_of(Err(stalled.into())), 3);
        let found = Diverging { sign: Sign::KlExplosion, value: 9.0, limit: 5.0 };
        assert_eq!(status_of(Err(RunError::Diverged { step: 7, found }.into())), 4);
        for (signal, expected) in [(Signal::Interrupt, 130), (Signal::Terminate, 143), (Signal::Hangup, 129)] {
            assert_eq!(status_of(Err(Interrupted(signal).into())), expected);
        }
    }

    #[test]
    fn a_refusal_reads_as_its_cause() {
        let error = beforehand::<()>(Err(anyhow!("cause").context("what"))).unwrap_err();
        assert_eq!(format!("{error:#}"), "what: cause");
    }
}
