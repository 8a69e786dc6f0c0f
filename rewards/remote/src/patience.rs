//! Back ends whose failed or late calls are made again.
//!
//! Each component of a reward is retried alone. When it has used up its attempts its error reaches the group, whose attempt
//! at a reward fails; no score takes its place. The services of this module retry by themselves and need no more.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Backoff,
    backoff::{self, Clock, Failed, Wall},
};
use addendum_rewards::{Backends, Entity, EntityExtractor, Error, Graph, GraphExtractor, Labeller, Labels, Result};

/// Calls given up as late that may still be running, per back end.
const MOST_LATE: usize = 4;

/// How a back end's failures are met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Patience {
    /// How often and how long a failed call is made again.
    pub backoff: Backoff,
    /// Seconds after which a call has failed, more than 0 and at most 86400; no limit where absent.
    ///
    /// A late call cannot be ended and runs on unheard; while four such calls still run, no other begins. Without a limit calls
    /// are made on the caller's thread, with one in a pool as wide as the caller's.
    #[schemars(extend("x-resume" = "free"))]
    pub limit_seconds: Option<f64>,
}

impl Patience {
    /// # Errors
    /// Names the first value that makes no sense.
    pub fn validate(self) -> Result<()> {
        let problem = match self.limit_seconds {
            Some(seconds) if !(0.001..=86_400.).contains(&seconds) => {
                Some(("limit_seconds", seconds.to_string(), "seconds, more than 0 and at most 86400"))
            }
            _ => self.backoff.problem(),
        };
        match problem {
            None => Ok(()),
            Some((field, value, expected)) => Err(Error::setting(field, value, expected)),
        }
    }

    /// The same back ends, called with patience.
    ///
    /// # Errors
    /// As [`Patience::validate`].
    pub fn with(self, backends: Backends) -> Result<Backends> {
        self.validate()?;
        let Backends { labeller, entities, graphs } = backends;
        Ok(Backends {
            labeller: Arc::new(Patient::new("labeller", labeller, self)),
            entities: Arc::new(Patient::new("entity extractor", entities, self)),
            graphs: Arc::new(Patient::new("graph extractor", graphs, self)),
        })
    }
}

struct Patient<B: ?Sized> {
    name: &'static str,
    inner: Arc<B>,
    patience: Patience,
    late: Arc<AtomicUsize>,
}

impl<B: ?Sized + Send + Sync + 'static> Patient<B> {
    fn new(name: &'static str, inner: Arc<B>, patience: Patience) -> Self {
        Self { name, inner, patience, late: Arc::default() }
    }

    fn call<T: Send + 'static>(&self, texts: &[&str], method: fn(&B, &[&str]) -> Result<T>) -> Result<T> {
        let salt = texts.iter().fold(0, |salt, text| salt ^ backoff::salt(text.as_bytes()));
        let clock = Wall::start();
        let attempt = |left: Duration| {
            let limit = self.patience.limit_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let result = match limit {
                None => method(&self.inner, texts),
                Some(limit) => self.limited(texts, method, limit.min(left)),
            };
            result.map_err(|error| {
                ::metrics::counter!("addendum_reward_failures_total", "component" => self.name).increment(1);
                Failed { error, transient: true, after: None }
            })
        };
        self.patience.backoff.run(salt, &clock, attempt).map_err(|gave_up| match gave_up.attempts {
            1 => gave_up.error,
            attempts => self.error(format!(
                "{} (tried {attempts} times in {:.1} s)",
                gave_up.error,
                clock.elapsed().as_secs_f64()
            )),
        })
    }

    /// Calls in a pool of its own and listens for `limit`.
    ///
    /// The caller's pool will not do: its thread waits here, maybe its only one, and a late call would keep the others.
    /// The new pool is as wide and has its name, so a stage computes with the threads that it was given, whether or not
    /// its calls are limited.
    fn limited<T: Send + 'static>(
        &self,
        texts: &[&str],
        method: fn(&B, &[&str]) -> Result<T>,
        limit: Duration,
    ) -> Result<T> {
        let running = self.late.load(Ordering::Acquire);
        if running >= MOST_LATE {
            return Err(self.error(format!("{running} late calls are still running")));
        }
        let (inner, late) = (self.inner.clone(), self.late.clone());
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        // Without a buffer: a result is either heard or known to be unheard.
        let (send, receive) = mpsc::sync_channel(0);
        let work = move || {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let result = catch_unwind(AssertUnwindSafe(|| method(&inner, &texts)));
            if send.send(result).is_err() {
                late.fetch_sub(1, Ordering::AcqRel);
            }
        };
        let name = thread::current().name().unwrap_or(self.name).to_owned();
        rayon::ThreadPoolBuilder::new()
            .num_threads(rayon::current_num_threads())
            .thread_name(move |index| format!("{name}.{index}"))
            .build()
            .map_err(|error| self.error(error.to_string()))?
            .spawn(work);
        let reason = match receive.recv_timeout(limit) {
            Ok(Ok(result)) => return result,
            Ok(Err(panic)) => format!("panicked: {}", message(panic.as_ref())),
            Err(RecvTimeoutError::Timeout) => {
                self.late.fetch_add(1, Ordering::AcqRel);
                format!("no answer within {} s", limit.as_secs_f64())
            }
            Err(RecvTimeoutError::Disconnected) => "ended without an answer".into(),
        };
        // Only now, so that a late call is counted before it can notice.
        drop(receive);
        Err(self.error(reason))
    }

    fn error(&self, reason: String) -> Error {
        Error::Component { component: self.name, reason }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

impl Labeller for Patient<dyn Labeller> {
    fn label(&self, reports: &[&str]) -> Result<Vec<Labels>> {
        self.call(reports, |inner, reports| inner.label(reports))
    }
}

impl EntityExtractor for Patient<dyn EntityExtractor> {
    fn extract(&self, sentences: &[&str]) -> Result<Vec<Vec<Entity>>> {
        self.call(sentences, |inner, sentences| inner.extract(sentences))
    }

    fn split<'a>(&self, report: &'a str) -> Vec<&'a str> {
        self.inner.split(report)
    }
}

impl GraphExtractor for Patient<dyn GraphExtractor> {
    fn graph(&self, reports: &[&str]) -> Result<Vec<Graph>> {
        self.call(reports, |inner, reports| inner.graph(reports))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Mutex};

    use super::*;
    use addendum_rewards::{Lexicon, RewardConfig, Scorer};

    /// What a call of [`Moody`] does before it answers.
    #[derive(Clone, Copy, Debug)]
    enum Mood {
        Well,
        Failing,
        Panicking,
        Slow,
    }

    /// A lexicon with moods, one per call; well when they are used up.
    struct Moody {
        lexicon: Lexicon,
        moods: Mutex<Vec<Mood>>,
        calls: AtomicUsize,
    }

    impl Labeller for Moody {
        fn label(&self, reports: &[&str]) -> Result<Vec<Labels>> {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let mood = self.moods.lock().unwrap().pop().unwrap_or(Mood::Well);
            match mood {
                Mood::Well => {}
                Mood::Failing => return Err(Error::Component { component: "moody", reason: "not now".into() }),
                Mood::Panicking => panic!("never again"),
                Mood::Slow => thread::sleep(Duration::from_secs(5)),
            }
            self.lexicon.label(reports)
        }
    }

    fn moody(moods: &[Mood], limit_seconds: Option<f64>) -> (Arc<Moody>, Scorer) {
        let moods = Mutex::new(moods.iter().rev().copied().collect());
        let moody = Arc::new(Moody { lexicon: Lexicon::new(), moods, calls: AtomicUsize::new(0) });
        let backends = Backends { labeller: moody.clone(), ..Backends::lexicon() };
        let backoff =
            Backoff { attempts: 3, first_delay_seconds: 0.001, longest_delay_seconds: 0.002, deadline_seconds: 10. };
        let backends = Patience { backoff, limit_seconds }.with(backends).unwrap();
        (moody, Scorer::new(backends, &RewardConfig::default()).unwrap())
    }

    const REFERENCE: &str = "Small left pleural effusion. No pneumothorax.";
    const HYPOTHESES: [&str; 2] = ["Left pleural effusion.", "No pneumothorax. Mild edema."];

    #[test]
    fn failures_panics_and_lateness_that_pass_change_no_reward() {
        let expected = moody(&[], None).1.score(REFERENCE, &HYPOTHESES).unwrap();
        let limited = |first| moody(&[first, Mood::Failing], Some(1.));
        for (moody, scorer) in
            [moody(&[Mood::Failing, Mood::Failing], None), limited(Mood::Slow), limited(Mood::Panicking)]
        {
            assert_eq!(scorer.score(REFERENCE, &HYPOTHESES).unwrap(), expected);
            // The reference's three attempts, then the hypotheses' one.
            assert_eq!(moody.calls.load(Ordering::SeqCst), 4);
        }
    }

    #[test]
    fn a_component_that_stays_broken_fails_the_group_with_its_reason() {
        let (moody, scorer) = moody(&[Mood::Failing; 3], None);
        let message = scorer.score(REFERENCE, &HYPOTHESES).unwrap_err().to_string();
        assert!(message.contains("labeller: moody: not now (tried 3 times"), "{message}");
        assert_eq!(moody.calls.load(Ordering::SeqCst), 3);
        // The group's next attempt finds it well.
        assert!(scorer.score(REFERENCE, &HYPOTHESES).is_ok());
    }

    #[test]
    fn a_limited_call_computes_with_as_many_threads_as_its_caller_and_not_with_everybodys() {
        type Seen = (usize, Option<String>);
        struct Watching(Mutex<BTreeSet<Seen>>);
        impl Labeller for Watching {
            fn label(&self, reports: &[&str]) -> Result<Vec<Labels>> {
                let seen = || (rayon::current_num_threads(), thread::current().name().map(str::to_owned));
                let (one, other) = rayon::join(seen, seen);
                self.0.lock().unwrap().extend([one, other]);
                Lexicon::new().label(reports)
            }
        }
        for threads in [1, 3] {
            let watching = Arc::new(Watching(Mutex::default()));
            let backends = Backends { labeller: watching.clone(), ..Backends::lexicon() };
            let patience = Patience { limit_seconds: Some(60.), ..Patience::default() };
            let scorer = Scorer::new(patience.with(backends).unwrap(), &RewardConfig::default()).unwrap();
            let stage = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("stage.{i}"));
            stage.build().unwrap().install(|| scorer.score(REFERENCE, &HYPOTHESES)).unwrap();
            let seen = watching.0.lock().unwrap().clone();
            assert!(!seen.is_empty());
            for (width, name) in seen {
                assert_eq!(width, threads);
                assert!(name.as_ref().is_some_and(|name| name.starts_with("stage.")), "{name:?}");
            }
        }
    }

    #[test]
    fn late_calls_do_not_pile_up() {
        let (moody, scorer) = moody(&[Mood::Slow; 5], Some(0.01));
        let message = |scorer: &Scorer| scorer.score(REFERENCE, &HYPOTHESES).unwrap_err().to_string();
        assert!(message(&scorer).contains("no answer within 0.01 s (tried 3 times"));
        assert!(message(&scorer).contains("4 late calls are still running"));
        // A call that is late already may not have begun yet.
        for _ in 0..500 {
            if moody.calls.load(Ordering::SeqCst) == 4 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(moody.calls.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn an_extractor_keeps_its_own_sentences() {
        struct Lines;
        impl EntityExtractor for Lines {
            fn extract(&self, sentences: &[&str]) -> Result<Vec<Vec<Entity>>> {
                Lexicon::new().extract(sentences)
            }

            fn split<'a>(&self, report: &'a str) -> Vec<&'a str> {
                report.lines().collect()
            }
        }
        let backends = Backends { entities: Arc::new(Lines), ..Backends::lexicon() };
        let patient = Patience::default().with(backends).unwrap();
        assert_eq!(patient.entities.split("No effusion. Edema.\nNo"), ["No effusion. Edema.", "No"]);
    }

    #[test]
    fn a_limit_without_sense_is_refused() {
        let patience = Patience { limit_seconds: Some(0.), ..Patience::default() };
        let message = patience.with(Backends::lexicon()).err().unwrap().to_string();
        assert!(message.contains("`limit_seconds` is 0"), "{message}");
    }
}
