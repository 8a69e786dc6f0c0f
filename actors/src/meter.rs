//! Counts that several actors contribute to, read once per training step.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{board::Board, record::Reading, restarts::Restarts, telemetry, trace::Trace};

/// Shared by all actors of a run.
pub(crate) struct Meter {
    pub trace: Trace,
    pub board: Board,
    restarts: Restarts,
    samplers: usize,
    tally: Mutex<Tally>,
}

struct Tally {
    since: Instant,
    tokens: u64,
    sampling: Duration,
    learning: Duration,
    waits: BTreeMap<String, (Duration, u32)>,
    restarts: u64,
}

impl Meter {
    pub fn new(samplers: usize, board: Board, trace: Trace) -> Self {
        Self { trace, board, restarts: Restarts::default(), samplers, tally: Mutex::new(Tally::new(0)) }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn sampled(&self, tokens: u64) {
        self.tally().tokens += tokens;
    }

    /// A sampler was at work for so long.
    pub fn sampling(&self, busy: Duration) {
        self.board.moved();
        self.tally().sampling += busy;
    }

    pub fn learned(&self, busy: Duration) {
        self.tally().learning += busy;
    }

    pub fn waited(&self, stage: &str, wait: Duration) {
        telemetry::waited(stage, wait);
        let mut tally = self.tally();
        let (sum, count) = tally.waits.entry(stage.to_string()).or_default();
        *sum += wait;
        *count += 1;
    }

    /// How often in a row it was restarted now.
    pub fn restarted(&self, actor: &str) -> u32 {
        telemetry::restarted(actor);
        self.tally().restarts += 1;
        self.restarts.count(actor)
    }

    /// A training step was done.
    pub fn stepped(&self) {
        self.restarts.forget();
    }

    pub fn restarts(&self) -> u64 {
        self.tally().restarts
    }

    /// Reads everything since the last reading and starts over.
    pub fn read(&self) -> Reading {
        let mut tally = self.tally();
        let restarts = tally.restarts;
        let past = std::mem::replace(&mut *tally, Tally::new(restarts));
        let seconds = past.since.elapsed().as_secs_f64().max(1e-9);
        let share = |busy: Duration, actors: usize| (busy.as_secs_f64() / (seconds * actors as f64)).min(1.0);
        Reading {
            seconds,
            tokens_per_second: past.tokens as f64 / seconds,
            sampler_busy: share(past.sampling, self.samplers),
            learner_busy: share(past.learning, 1),
            waits: past
                .waits
                .into_iter()
                .map(|(stage, (sum, count))| (stage, sum.as_secs_f64() / f64::from(count.max(1))))
                .collect(),
            restarts,
        }
    }
}

impl Tally {
    fn new(restarts: u64) -> Self {
        Self {
            since: Instant::now(),
            tokens: 0,
            sampling: Duration::ZERO,
            learning: Duration::ZERO,
            waits: BTreeMap::new(),
            restarts,
        }
    }
}
