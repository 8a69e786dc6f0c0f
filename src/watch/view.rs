//! What is known of a run, as far as it is shown: news go in, pictures are made of it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use addendum_actors::{
    RolloutSample, Scores, StepRecord,
    status::{ActorStatus, PlaceStatus, RunState, RunStatus},
};

use super::rollouts::Rollouts;
use crate::report::{events::Happening, run::Evaluated};

/// Events that one can look back at.
const EVENTS: usize = 500;
/// Steps that the time left is estimated from.
const PACE: usize = 16;
/// A run tells of itself every second, unless it is at work on a large file.
const SILENCE: f64 = 10.0;
/// Without a status there are only steps, which take a while.
const LONG_SILENCE: f64 = 60.0;

/// Values over steps, or over policy versions.
pub type Series = Vec<(f64, f64)>;

/// Something that was not known before.
#[derive(Clone, Debug)]
pub enum Update {
    /// What the settings say.
    Settings {
        method: Option<String>,
        steps: Option<u64>,
    },
    /// All steps are about to be told again: the run was resumed from an earlier one.
    StepsAnew,
    Step(Box<StepRecord>),
    EvaluationsAnew,
    Evaluated(Evaluated),
    RolloutsAnew,
    Rollout(Box<RolloutSample>),
    EventsAnew,
    Event(Happening),
    Status(Box<RunStatus>),
    /// There is a step, or something else new, as of this time in seconds since 1970.
    Sign(f64),
    /// The time in seconds since 1970, and what cannot be read, if something cannot.
    Looked {
        now: f64,
        problem: Option<String>,
    },
}

/// How it stands with a run.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Nothing of it is known yet.
    Waiting,
    Running,
    /// It says that it runs, or has not said how it ended, and has not been heard of for so many seconds.
    Silent(f64),
    Finished,
    Stopped,
    Failed(String),
}

/// A run as it is watched.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The folder or the URL.
    pub source: String,
    pub method: Option<String>,
    /// Of the whole run.
    pub steps: Option<u64>,
    pub done: u64,
    /// The newest step.
    pub record: Option<Box<StepRecord>>,
    curves: BTreeMap<&'static str, Series>,
    /// Means of the unweighted components of the reward.
    pub components: BTreeMap<String, Series>,
    /// Scores on held-out studies by policy version.
    pub held_out: BTreeMap<String, Series>,
    pub rollouts: Rollouts,
    /// Oldest first.
    pub events: VecDeque<Happening>,
    pub status: Option<Box<RunStatus>>,
    /// When it was last heard of; seconds since 1970.
    sign: Option<f64>,
    pub now: f64,
    /// Why the source cannot be read at present.
    pub problem: Option<String>,
    pace: VecDeque<f64>,
}

/// What a step has for a curve; NaN if nothing.
type Value = fn(&StepRecord) -> f64;

/// The curves, by name.
const CURVES: [(&str, Value); 15] = [
    ("sampled", |step| step.reward_sampled),
    ("edited", |step| step.reward_edited),
    ("spread in a group", |step| step.reward_std),
    ("gain of edits", |step| step.edit_gain),
    ("KL", |step| step.stats.kl),
    ("entropy", |step| step.stats.entropy),
    ("loss", |step| step.stats.loss),
    ("gradient norm", |step| step.stats.gradient_norm),
    ("log-prob difference", |step| step.stats.logprob_difference),
    ("clipped", |step| step.stats.clip_fraction),
    ("tokens a report", |step| step.response_length),
    ("tokens a second", |step| step.tokens_per_second),
    ("staleness", |step| step.staleness_mean),
    ("samplers", |step| step.sampler_busy),
    ("learner", |step| step.learner_busy),
];

impl View {
    pub fn new(source: impl Into<String>) -> Self {
        Self { source: source.into(), ..Self::default() }
    }

    pub fn apply(&mut self, update: Update) {
        match update {
            Update::Settings { method, steps } => (self.method, self.steps) = (method, steps),
            Update::StepsAnew => {
                self.curves.clear();
                self.components.clear();
                self.pace.clear();
                (self.record, self.done) = (None, 0);
            }
            Update::Step(record) => self.step(record),
            Update::EvaluationsAnew => self.held_out.clear(),
            Update::Evaluated(Evaluated { version, scores }) => {
                for (name, score) in scores {
                    self.held_out.entry(name).or_default().push((version as f64, score));
                }
            }
            Update::RolloutsAnew => self.rollouts.clear(),
            Update::Rollout(rollout) => self.rollouts.add(*rollout),
            Update::EventsAnew => self.events.clear(),
            Update::Event(event) => {
                self.events.push_back(event);
                if self.events.len() > EVENTS {
                    self.events.pop_front();
                }
            }
            Update::Status(status) => {
                self.steps = Some(status.steps).filter(|steps| *steps > 0).or(self.steps);
                self.sign(status.time);
                self.done = self.done.max(status.version);
                self.status = Some(status);
            }
            Update::Sign(time) => self.sign(time),
            Update::Looked { now, problem } => (self.now, self.problem) = (now, problem),
        }
    }

    fn sign(&mut self, time: f64) {
        self.sign = Some(self.sign.unwrap_or(time).max(time));
    }

    fn step(&mut self, record: Box<StepRecord>) {
        let step = record.step as f64;
        let add = |series: &mut Series, value: f64| {
            if value.is_finite() {
                series.push((step, value));
            }
        };
        for (name, of) in CURVES {
            add(self.curves.entry(name).or_default(), of(&record));
        }
        for (name, mean) in &record.reward_components {
            add(self.components.entry(name.clone()).or_default(), *mean);
        }
        self.pace.push_back(record.seconds);
        if self.pace.len() > PACE {
            self.pace.pop_front();
        }
        self.done = record.step + 1;
        self.record = Some(record);
    }

    /// A curve over steps by its name.
    pub fn curve(&self, name: &str) -> &[(f64, f64)] {
        self.curves.get(name).map_or(&[], Vec::as_slice)
    }

    /// How it stands with the run.
    pub fn state(&self) -> State {
        let silence = self.sign.map(|sign| (self.now - sign).max(0.0));
        let all_done = self.steps.is_some_and(|steps| self.done >= steps);
        match (&self.status, silence) {
            (Some(status), Some(silence)) => match status.state {
                RunState::Running if silence > SILENCE => State::Silent(silence),
                RunState::Running => State::Running,
                RunState::Finished => State::Finished,
                RunState::Stopped => State::Stopped,
                RunState::Failed => State::Failed(status.error.clone().unwrap_or_default()),
            },
            (None, Some(_)) if all_done => State::Finished,
            (None, Some(silence)) if silence <= LONG_SILENCE => State::Running,
            (None, Some(silence)) => State::Silent(silence),
            (_, None) => State::Waiting,
        }
    }

    pub fn is_running(&self) -> bool {
        self.state() == State::Running
    }

    /// For how long nothing has moved in a run that lives.
    pub fn still(&self) -> Duration {
        let still = self.status.as_ref().filter(|_| self.is_running()).map_or(0.0, |status| status.still_seconds);
        Duration::try_from_secs_f64(still).unwrap_or_default()
    }

    /// Actors while the run lives; how they stood at its end means little.
    pub fn actors(&self) -> &[ActorStatus] {
        self.status.as_ref().filter(|_| self.is_running()).map_or(&[], |status| &status.actors)
    }

    /// Places of tickets while the run lives.
    pub fn tickets(&self) -> &[PlaceStatus] {
        self.status.as_ref().filter(|_| self.is_running()).map_or(&[], |status| &status.tickets)
    }

    /// Time per step, over the last ones.
    pub fn pace(&self) -> Option<Duration> {
        let mean = self.pace.iter().sum::<f64>() / self.pace.len() as f64;
        Duration::try_from_secs_f64(mean).ok().filter(|mean| !mean.is_zero())
    }

    /// The time until the last step, of a run that lives.
    pub fn left(&self) -> Option<Duration> {
        let steps = self.steps?.saturating_sub(self.done);
        self.pace().filter(|_| self.is_running() && steps > 0).map(|pace| pace.mul_f64(steps as f64))
    }

    /// The held-out scores worth a curve: averages, by their set; the first few scores where there are none.
    pub fn averages(&self) -> Vec<(&str, &[(f64, f64)])> {
        let some = self.held_out.keys().any(|name| is_average(name));
        let chosen = self.held_out.iter().filter(|(name, _)| !some || is_average(name));
        chosen.take(6).map(|(name, series)| (set(name), series.as_slice())).collect()
    }
}

fn is_average(name: &str) -> bool {
    name.rsplit('/').next() == Some("average")
}

/// The set that an average is of; any other score stays as it is called.
fn set(name: &str) -> &str {
    name.strip_suffix("/average").unwrap_or(name)
}

/// The averages among the scores in points of 100, or all of them.
pub fn summary(scores: &Scores) -> String {
    let some = scores.keys().any(|name| is_average(name));
    let chosen = scores.iter().filter(|(name, _)| !some || is_average(name));
    chosen.map(|(name, score)| format!("{} {:.1}", set(name), 100.0 * score)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A run under way, with everything in it.
    pub(crate) fn full() -> View {
        let mut view = View::new("runs/train-7");
        view.apply(Update::Settings { method: Some("editgrpo".into()), steps: Some(250) });
        for step in 0..142 {
            view.apply(Update::Step(Box::new(record(step))));
        }
        for version in [0, 50, 100] {
            let scores = [("validation/average".into(), 0.5 + version as f64 / 500.0)].into();
            view.apply(Update::Evaluated(Evaluated { version, scores }));
        }
        for (id, source, text) in [
            (0, None, "The lungs are clear. The heart is enlarged. No effusion."),
            (1, Some(0), "The lungs are clear. Heart size is normal. No effusion."),
        ] {
            view.apply(Update::Rollout(Box::new(rollout(id, source, text))));
        }
        for (kind, text, step) in [("started", "Addendum 0.1.0", 0), ("restarted", "panicked: out of memory", 77)] {
            let (kind, text, actor) = (kind.to_string(), text.to_string(), (step > 0).then(|| "sampler-0".to_string()));
            view.apply(Update::Event(Happening {
                kind,
                text,
                actor,
                step,
                unix: 1e9 + step as f64,
                ..Happening::default()
            }));
        }
        view.apply(Update::Status(Box::new(status())));
        view.apply(Update::Looked { now: 1e9 + 200.5, problem: None });
        view
    }

    pub(crate) fn record(step: u64) -> StepRecord {
        let rise = step as f64 / 142.0;
        let mut record = StepRecord {
            step,
            version: step + 1,
            seconds: 3.1,
            reward_sampled: 2.0 + 0.7 * rise,
            reward_edited: 2.2 + 0.6 * rise,
            edit_gain: 0.2 - 0.1 * rise,
            reward_components: [("chexbert".into(), 0.6 + 0.2 * rise), ("radgraph".into(), 0.7 + 0.1 * rise)].into(),
            response_length: 54.0,
            tokens_per_second: 4300.0,
            sampler_busy: 0.54,
            learner_busy: 0.91,
            ..StepRecord::default()
        };
        (record.stats.kl, record.stats.entropy, record.stats.gradient_norm) = (0.02 * rise, 0.23, f64::NAN);
        record
    }

    pub(crate) fn rollout(id: usize, source: Option<usize>, text: &str) -> RolloutSample {
        let edit = serde_json::json!({
            "operation": "replace", "rule": "conflict", "position": 1, "source": "The heart is enlarged.",
            "target": "Heart size is normal.", "triggers": ["heart is enlarged"],
        });
        let edits: Vec<_> = source.map(|_| edit).into_iter().collect();
        serde_json::from_value(serde_json::json!({
            "step": 141, "ticket": 1130, "study": "phantom-0-A-train-000391", "rollout": id, "source": source,
            "edits": edits, "origin": if source.is_some() { "edited" } else { "sampled" },
            "reward": 1.5 + id as f64, "components": {"chexbert": 0.5 + 0.5 * id as f64}, "text": text,
        }))
        .unwrap()
    }

    pub(crate) fn status() -> RunStatus {
        let actor = |name: &str, workers, busy, starved, blocked| ActorStatus {
            name: name.into(),
            workers,
            tickets: 1,
            busy,
            starved,
            blocked,
        };
        let place = |place: &str, waiting, inside| PlaceStatus { place: place.into(), waiting, inside };
        RunStatus {
            time: 1e9 + 200.0,
            version: 142,
            steps: 250,
            actors: vec![
                actor("sampler-0", 1, 0.54, 0.0, 0.46),
                actor("editor", 2, 0.05, 0.95, 0.0),
                actor("learner", 1, 0.91, 0.09, 0.0),
            ],
            tickets: vec![place("sampler", 1, 6), place("editor", 0, 1), place("replay", 3, 0), place("learner", 0, 8)],
            tickets_at_most: 24,
            ..RunStatus::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::*, *};

    fn looked(view: &mut View, now: f64) -> State {
        view.apply(Update::Looked { now, problem: None });
        view.state()
    }

    #[test]
    fn a_run_that_is_not_heard_of_is_told_from_one_that_lives_and_one_that_ended() {
        let mut view = View::new("a");
        assert_eq!(looked(&mut view, 5.0), State::Waiting);
        view.apply(Update::Status(Box::new(RunStatus { time: 100.0, steps: 9, ..RunStatus::default() })));
        assert_eq!(looked(&mut view, 101.0), State::Running);
        assert_eq!(looked(&mut view, 99.0), State::Running, "clocks differ");
        assert_eq!(looked(&mut view, 160.0), State::Silent(60.0));
        for (state, expected) in [
            (RunState::Finished, State::Finished),
            (RunState::Stopped, State::Stopped),
            (RunState::Failed, State::Failed("disk full".into())),
        ] {
            let error = Some("disk full".to_string());
            view.apply(Update::Status(Box::new(RunStatus { state, error, time: 100.0, ..RunStatus::default() })));
            assert_eq!(looked(&mut view, 1e6), expected);
        }
    }

    #[test]
    fn a_run_of_before_there_was_a_status_has_ended_when_all_its_steps_are_done() {
        let mut view = View::new("a");
        view.apply(Update::Settings { method: None, steps: Some(2) });
        view.apply(Update::Sign(100.0));
        view.apply(Update::Step(Box::new(record(0))));
        assert_eq!(looked(&mut view, 130.0), State::Running);
        assert_eq!(looked(&mut view, 500.0), State::Silent(400.0));
        view.apply(Update::Step(Box::new(record(1))));
        assert_eq!(view.state(), State::Finished);
        assert_eq!(view.left(), None);
    }

    #[test]
    fn the_time_left_is_that_of_the_last_steps_and_a_resume_forgets_what_it_undid() {
        let mut view = full();
        let seconds = |view: &View| view.left().map(|left| left.as_secs_f64().round());
        assert_eq!(seconds(&view), Some((108.0 * 3.1_f64).round()));
        for step in 142..200 {
            view.apply(Update::Step(Box::new(StepRecord { seconds: 2.0, ..record(step) })));
        }
        assert_eq!(seconds(&view), Some(100.0));
        view.apply(Update::StepsAnew);
        assert_eq!((view.done, view.curve("sampled").len(), seconds(&view)), (0, 0, None));
        view.apply(Update::Step(Box::new(record(0))));
        assert_eq!((view.done, view.curve("sampled").len(), view.curve("gradient norm").len()), (1, 1, 0));
    }

    #[test]
    fn averages_stand_for_the_scores_of_their_sets() {
        let mut view = View::new("a");
        let scores = |names: &[&str]| names.iter().map(|name| (name.to_string(), 0.5)).collect::<Scores>();
        view.apply(Update::Evaluated(Evaluated { version: 0, scores: scores(&["a/rate", "a/average", "b/average"]) }));
        assert_eq!(view.averages().iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(summary(&scores(&["a/rate", "a/average"])), "a 50.0");
        assert_eq!(summary(&scores(&["rate"])), "rate 50.0");
    }
}
