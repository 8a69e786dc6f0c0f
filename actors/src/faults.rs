//! Faults on purpose, at named places of a run, to try what it endures.
//!
//! `editor=panic@0.01` has a hundredth of the editor's groups panic; `checkpoint.rename=abort#2` ends the process the
//! second time that a checkpoint is about to take its place. Which times are struck depends on the seed and on how often
//! the place was reached, not on the clock.

use std::{
    fmt,
    future::pending,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// How long a slow place takes.
const SLOW: Duration = Duration::from_millis(50);

/// The faults of a run; none by default, which costs nothing.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<[Fault]>>);

struct Fault {
    place: String,
    action: Action,
    times: Times,
    seed: u64,
    reached: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Panic,
    Error,
    Slow,
    Hang,
    Abort,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Times {
    /// So often on the average, from 0 to 1.
    Share(f64),
    /// The n-th time only, counted from one.
    Nth(u64),
}

/// The error of a place that was to fail.
#[derive(Debug, thiserror::Error)]
#[error("a fault was put at `{0}`")]
pub(crate) struct Struck(&'static str);

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |fault: &Fault| format!("{}={:?}", fault.place, fault.action);
        f.debug_list().entries(self.0.iter().flat_map(|faults| faults.iter()).map(named)).finish()
    }
}

impl Faults {
    /// Where a fault can be put, besides the stages by their names.
    pub const PLACES: [(&str, &str); 10] = [
        ("dataset", "a study is read for a ticket"),
        ("sampler", "a sampler computes for the tickets it holds"),
        ("learner", "the learner begins a step"),
        ("publish", "a step is done, and not published yet"),
        ("evaluator", "an evaluation begins"),
        ("metrics", "a step is about to be recorded"),
        ("checkpoint", "a checkpoint is about to be written"),
        ("checkpoint.file", "one of its files is about to be written"),
        ("checkpoint.rename", "all of it is written, and has not taken its place"),
        ("checkpoint.prune", "it has taken its place, and older ones have not gone"),
    ];

    /// Reads `PLACE=ACTION@SHARE` or `PLACE=ACTION#N`, several of them separated by commas. Actions are `panic`, `error`
    /// (of a file: that the disk is full), `slow` (50 ms), `hang` (for ever) and `abort` (of the process, as kill -9 would).
    ///
    /// # Errors
    /// What is none of these, quoted.
    pub fn parse(text: &str, seed: u64) -> Result<Self, String> {
        let faults: Vec<Fault> = text
            .split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty())
            .map(|one| {
                let fault = Fault::parse(one, seed);
                fault.ok_or_else(|| format!("fault `{one}`: expected PLACE=ACTION@SHARE or PLACE=ACTION#N"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self((!faults.is_empty()).then(|| faults.into())))
    }

    /// The first place that is neither one of [`Faults::PLACES`] nor a stage.
    pub(crate) fn unknown(&self, stages: &[&str]) -> Option<&str> {
        let known = |place: &str| stages.contains(&place) || Self::PLACES.iter().any(|(name, _)| *name == place);
        self.0.iter().flat_map(|faults| faults.iter()).map(|fault| fault.place.as_str()).find(|place| !known(place))
    }

    fn due(&self, place: &str) -> Option<Action> {
        let here = self.0.as_ref()?.iter().filter(|fault| fault.place == place);
        // All of them count, whichever strikes.
        here.fold(None, |struck, fault| fault.due().or(struck))
    }

    /// What happens at a place on a thread of its own.
    pub(crate) fn strike(&self, place: &'static str) -> Result<(), Struck> {
        self.strike_stage(place).map_err(|()| Struck(place))
    }

    /// As [`Faults::strike`], where the place is a stage.
    pub(crate) fn strike_stage(&self, place: &str) -> Result<(), ()> {
        match self.due(place) {
            None => Ok(()),
            Some(Action::Slow) => {
                thread::sleep(SLOW);
                Ok(())
            }
            Some(Action::Hang) => loop {
                thread::park();
            },
            Some(action) => action.at_once(place),
        }
    }

    /// As [`Faults::strike_stage`], within the runtime.
    pub(crate) async fn strike_async(&self, place: &str) -> Result<(), ()> {
        match self.due(place) {
            None => Ok(()),
            Some(Action::Slow) => {
                tokio::time::sleep(SLOW).await;
                Ok(())
            }
            Some(Action::Hang) => pending().await,
            Some(action) => action.at_once(place),
        }
    }

    /// As [`Faults::strike`], where the disk may be full.
    pub(crate) fn strike_file(&self, place: &'static str) -> io::Result<()> {
        self.strike(place).map_err(|struck| io::Error::new(io::ErrorKind::StorageFull, struck))
    }
}

impl Fault {
    fn parse(text: &str, seed: u64) -> Option<Self> {
        let (place, rest) = text.split_once('=')?;
        let (action, times) = match (rest.split_once('@'), rest.split_once('#')) {
            (Some((action, share)), None) => (action, Times::Share(share.parse().ok()?)),
            (None, Some((action, n))) => (action, Times::Nth(n.parse().ok()?)),
            _ => return None,
        };
        let action = match action {
            "panic" => Action::Panic,
            "error" => Action::Error,
            "slow" => Action::Slow,
            "hang" => Action::Hang,
            "abort" => Action::Abort,
            _ => return None,
        };
        let possible = match times {
            Times::Share(share) => (0.0..=1.0).contains(&share),
            Times::Nth(n) => n > 0,
        };
        possible.then(|| Self { place: place.into(), action, times, seed, reached: AtomicU64::new(0) })
    }

    fn due(&self) -> Option<Action> {
        let n = self.reached.fetch_add(1, Ordering::Relaxed) + 1;
        let struck = match self.times {
            Times::Nth(nth) => n == nth,
            Times::Share(share) => {
                let mut hasher = DefaultHasher::new();
                (self.seed, &self.place, self.action, n).hash(&mut hasher);
                // The upper 53 bits as a number from 0 to 1, without 1.
                ((hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64) < share
            }
        };
        struck.then_some(self.action)
    }
}

impl Action {
    fn at_once(self, place: &str) -> Result<(), ()> {
        match self {
            Self::Panic => panic!("a fault was put at `{place}`"),
            Self::Abort => std::process::abort(),
            Self::Error | Self::Slow | Self::Hang => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_strikes_the_same_times_about_as_often_as_asked_for() {
        let times = |seed| {
            let faults = Faults::parse("editor=error@0.1, learner=error#3", seed).unwrap();
            (0..1000).map(|_| faults.strike_stage("editor").is_err()).collect::<Vec<_>>()
        };
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
        let struck = times(1).into_iter().filter(|struck| *struck).count();
        assert!((70..130).contains(&struck), "{struck} of 1000");
    }

    #[test]
    fn the_nth_time_is_struck_and_no_other_place() {
        let faults = Faults::parse("learner=error#3", 0).unwrap();
        let struck: Vec<_> = (0..5).map(|_| faults.strike("learner").is_err()).collect();
        assert_eq!(struck, [false, false, true, false, false]);
        assert!(faults.strike("publish").is_ok());
        let full = Faults::parse("metrics=error@1", 0).unwrap().strike_file("metrics").unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn what_is_no_fault_is_quoted_and_an_unknown_place_found() {
        for wrong in ["editor", "editor=panic", "editor=explode@1", "editor=panic@2", "editor=panic#0", "=a@b#c"] {
            let error = Faults::parse(wrong, 0).unwrap_err();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
        let faults = Faults::parse("dataset=slow@1,editor=slow@1,editr=slow@1", 0).unwrap();
        assert_eq!(faults.unknown(&["editor"]), Some("editr"));
        assert_eq!(Faults::parse("", 0).unwrap().unknown(&[]), None);
    }
}
