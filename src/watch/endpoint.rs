//! A metrics endpoint as a source: what it shows at the moment, so the past begins when one begins to watch.
//!
//! It knows no texts, hence no rollouts.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use addendum_actors::{
    StepRecord,
    status::{ActorStatus, PlaceStatus, RunStatus},
};
use addendum_rewards_remote::agent;
use ureq::Agent;

use super::{error::SourceError, view::Update};
use crate::exposition::Exposition;
use crate::report::{events::Happening, run::Evaluated};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Counters whose rise is an event: its kind, and the label that says more.
const EVENTS: [(&str, &str, &str); 9] = [
    ("addendum_supervisor_restarts_total", "restarted", "actor"),
    ("addendum_supervisor_stalls_total", "stalled", "outcome"),
    ("addendum_learner_divergences_total", "diverging", "sign"),
    ("addendum_recorder_checkpoints_total", "checkpoint", ""),
    ("addendum_learner_skipped_steps_total", "skipped", ""),
    ("addendum_learner_out_of_memory_total", "out of memory", ""),
    ("addendum_stage_failures_total", "failed group", "stage"),
    ("addendum_replay_dead_letters", "gave up", ""),
    ("addendum_evaluator_evaluations_total", "evaluated", "outcome"),
];

/// The metrics of a run over HTTP.
pub struct Endpoint {
    url: String,
    agent: Agent,
    /// What was shown when the last step was told, and when that was.
    stepped: Option<(Exposition, Instant)>,
    /// What was shown the last time.
    shown: Option<Exposition>,
    started: Instant,
}

impl Endpoint {
    /// # Errors
    /// Nobody answers, or what answers is no run.
    pub(super) fn open(target: &str) -> Result<Self, SourceError> {
        let url = with_path(target);
        let endpoint = Self { url, agent: agent(), stepped: None, shown: None, started: Instant::now() };
        let text = endpoint.fetch().map_err(|reason| SourceError::Unreachable { url: endpoint.url.clone(), reason })?;
        match text.contains("addendum_") {
            true => Ok(endpoint),
            false => Err(SourceError::NoMetrics { url: endpoint.url }),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn fetch(&self) -> Result<String, String> {
        let request = self.agent.get(&self.url).config().timeout_global(Some(PATIENCE)).build();
        let mut answer = request.call().map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("status {}", answer.status()));
        }
        answer.body_mut().read_to_string().map_err(|error| error.to_string())
    }

    pub(super) fn news(&mut self) -> Vec<Update> {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
        match self.fetch() {
            Ok(text) => {
                let mut news = self.read(Exposition::parse(&text), now, Instant::now());
                news.push(Update::Looked { now, problem: None });
                news
            }
            Err(reason) => vec![Update::Looked { now, problem: Some(reason) }],
        }
    }

    fn read(&mut self, shown: Exposition, now: f64, at: Instant) -> Vec<Update> {
        let version = |of: &Exposition| of.value("addendum_learner_policy_version");
        let mut news = Vec::new();
        if self.shown.as_ref().is_some_and(|before| version(&shown) < version(before)) {
            // Another process answers.
            (self.shown, self.stepped) = (None, None);
            news.extend([Update::StepsAnew, Update::EvaluationsAnew]);
        }
        if let Some(before) = &self.shown {
            let seconds = at.saturating_duration_since(self.started).as_secs_f64();
            news.extend(events(before, &shown, now, seconds).into_iter().map(Update::Event));
        }
        let known = self.stepped.as_ref().map_or(0.0, |(of, _)| version(of));
        if version(&shown) > known {
            news.push(Update::Step(Box::new(step(&shown, self.stepped.as_ref(), at))));
            self.stepped = Some((shown.clone(), at));
        }
        let scores = shown.by("addendum_evaluation_score", "metric");
        let evaluations = |of: &Exposition| of.sum("addendum_evaluator_evaluations_total");
        let is_new = self.shown.as_ref().is_none_or(|before| evaluations(&shown) > evaluations(before));
        if is_new && !scores.is_empty() {
            news.push(Update::Evaluated(Evaluated { version: version(&shown) as u64, scores }));
        }
        news.push(Update::Status(Box::new(status(&shown, now))));
        self.shown = Some(shown);
        news
    }
}

fn with_path(target: &str) -> String {
    let host = target.split_once("://").map_or(target, |(_, host)| host);
    match host.trim_end_matches('/').contains('/') {
        true => target.to_owned(),
        false => format!("{}/metrics", target.trim_end_matches('/')),
    }
}

/// A step from the gauges after it, and from what histograms have gained since the one before.
fn step(shown: &Exposition, before: Option<&(Exposition, Instant)>, at: Instant) -> StepRecord {
    let value = |name| shown.value(name);
    let reward = |origin| shown.labelled("addendum_reward_batch_mean_score", "origin", origin);
    let past = before.map(|(shown, _)| shown);
    let version = value("addendum_learner_policy_version") as u64;
    let steps = version.saturating_sub(past.map_or(0, |past| past.value("addendum_learner_policy_version") as u64));
    let seconds = before.map_or(0.0, |(_, then)| at.saturating_duration_since(*then).as_secs_f64());
    let mut record = StepRecord {
        step: version.saturating_sub(1),
        version,
        seconds: seconds / steps.max(1) as f64,
        reward_mean: reward("all"),
        reward_sampled: reward("sampled"),
        reward_edited: reward("edited"),
        reward_components: means(shown, past, "addendum_reward_component_score", "component"),
        edit_gain: mean(shown, past, "addendum_editor_gain_score"),
        reward_std: value("addendum_learner_reward_std_score"),
        response_length: mean(shown, past, "addendum_sampler_response_length_tokens"),
        truncated_share: value("addendum_sampler_truncated_ratio"),
        staleness_mean: mean(shown, past, "addendum_replay_staleness_versions"),
        tokens_per_second: value("addendum_sampler_throughput_tokens_per_second"),
        sampler_busy: value("addendum_sampler_busy_ratio"),
        learner_busy: value("addendum_learner_busy_ratio"),
        restarts: shown.sum("addendum_supervisor_restarts_total") as u64,
        retries: shown.sum("addendum_replay_retries_total") as u64,
        evictions: shown.sum("addendum_replay_evictions_total") as u64,
        dead_letters: shown.sum("addendum_replay_dead_letters") as u64,
        ..StepRecord::default()
    };
    record.stats.loss = value("addendum_learner_policy_loss_nats");
    record.stats.kl = value("addendum_learner_reference_kl_nats");
    record.stats.entropy = value("addendum_learner_entropy_nats");
    record.stats.gradient_norm = value("addendum_learner_gradient_norm");
    record.stats.clip_fraction = value("addendum_learner_clip_fraction_ratio");
    record.stats.logprob_difference = value("addendum_learner_logprob_difference_nats");
    record
}

/// The mean of what a histogram has gained, by a label.
fn means(shown: &Exposition, past: Option<&Exposition>, name: &str, label: &str) -> BTreeMap<String, f64> {
    let gained = |suffix: &str| {
        let name = format!("{name}_{suffix}");
        let mut gained = shown.by(&name, label);
        for (key, before) in past.map(|past| past.by(&name, label)).unwrap_or_default() {
            gained.entry(key).and_modify(|value| *value -= before);
        }
        gained
    };
    let counts = gained("count");
    let mean =
        |(key, sum): (String, f64)| counts.get(&key).filter(|count| **count > 0.0).map(|count| (key, sum / count));
    gained("sum").into_iter().filter_map(mean).collect()
}

/// The same of one without labels; NaN if it has gained nothing.
fn mean(shown: &Exposition, past: Option<&Exposition>, name: &str) -> f64 {
    means(shown, past, name, "").into_values().next().unwrap_or(f64::NAN)
}

fn events(before: &Exposition, shown: &Exposition, now: f64, seconds: f64) -> Vec<Happening> {
    let mut events = Vec::new();
    for (name, kind, label) in EVENTS {
        let known = before.by(name, label);
        for (of, count) in shown.by(name, label) {
            if count > known.get(&of).copied().unwrap_or(0.0) {
                let text = if of.is_empty() { format!("{count} by now") } else { format!("{of}, {count} by now") };
                let step = shown.value("addendum_learner_policy_version") as u64;
                let kind = kind.to_string();
                events.push(Happening { kind, step, seconds, unix: now, text, ..Happening::default() });
            }
        }
    }
    events
}

fn status(shown: &Exposition, now: f64) -> RunStatus {
    let mut actors: Vec<ActorStatus> = Vec::new();
    for sample in shown.all("addendum_actor_state_ratio") {
        let name = sample.label("actor");
        if !actors.iter().any(|actor| actor.name == name) {
            actors.push(ActorStatus { name: name.into(), workers: 1, ..ActorStatus::default() });
        }
        if let Some(actor) = actors.iter_mut().find(|actor| actor.name == name) {
            match sample.label("state") {
                "busy" => actor.busy = sample.value,
                "starved" => actor.starved = sample.value,
                "blocked" => actor.blocked = sample.value,
                _ => {}
            }
        }
    }
    let mut tickets: Vec<PlaceStatus> = Vec::new();
    for sample in shown.all("addendum_replay_place_tickets") {
        let place = sample.label("place");
        if !tickets.iter().any(|at| at.place == place) {
            tickets.push(PlaceStatus { place: place.into(), ..PlaceStatus::default() });
        }
        if let Some(at) = tickets.iter_mut().find(|at| at.place == place) {
            match sample.label("phase") {
                "waiting" => at.waiting = sample.value as usize,
                _ => at.inside = sample.value as usize,
            }
        }
    }
    // An exposition has no order.
    let rank = |name: &str| match name {
        name if name.starts_with("sampler") => 0,
        "replay" => 2,
        "learner" => 3,
        "recorder" | "evaluator" => 4,
        _ => 1,
    };
    actors.sort_by_key(|actor| (rank(&actor.name), actor.name.clone()));
    tickets.sort_by_key(|at| (rank(&at.place), at.place.clone()));
    RunStatus {
        time: now,
        version: shown.value("addendum_learner_policy_version") as u64,
        steps: shown.value("addendum_learner_planned_steps") as u64,
        actors,
        tickets,
        tickets_at_most: shown.value("addendum_replay_limit_tickets") as u64,
        ..RunStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::view::View;

    fn endpoint() -> Endpoint {
        let agent = Agent::config_builder().build().new_agent();
        Endpoint { url: String::new(), agent, stepped: None, shown: None, started: Instant::now() }
    }

    #[test]
    fn a_url_without_a_path_means_the_metrics() {
        for (target, expected) in [
            ("http://127.0.0.1:9464", "http://127.0.0.1:9464/metrics"),
            ("http://127.0.0.1:9464/", "http://127.0.0.1:9464/metrics"),
            ("https://host/a/metrics", "https://host/a/metrics"),
        ] {
            assert_eq!(with_path(target), expected);
        }
    }

    #[test]
    fn steps_are_told_once_and_histograms_by_what_they_gained() {
        let text = |version: u64, sum: f64, count: u64, restarts: u64| {
            format!(
                "addendum_learner_policy_version {version}\naddendum_learner_planned_steps 9\n\
                 addendum_reward_batch_mean_score{{origin=\"sampled\"}} {version}.5\n\
                 addendum_reward_component_score_sum{{component=\"rate\"}} {sum}\n\
                 addendum_reward_component_score_count{{component=\"rate\"}} {count}\n\
                 addendum_supervisor_restarts_total{{actor=\"editor\"}} {restarts}\n\
                 addendum_actor_state_ratio{{actor=\"learner\",state=\"busy\"}} 0.75\n\
                 addendum_actor_state_ratio{{actor=\"learner\",state=\"starved\"}} 0.25\n\
                 addendum_actor_state_ratio{{actor=\"sampler-0\",state=\"blocked\"}} 1\n\
                 addendum_replay_place_tickets{{place=\"editor\",phase=\"waiting\"}} 2\n\
                 addendum_replay_place_tickets{{place=\"editor\",phase=\"inside\"}} 1\n\
                 addendum_replay_limit_tickets 8\n"
            )
        };
        let (mut endpoint, mut view, start) = (endpoint(), View::new("a"), Instant::now());
        let mut show = |view: &mut View, text: String, second: u64| {
            let news = endpoint.read(Exposition::parse(&text), second as f64, start + Duration::from_secs(second));
            news.into_iter().for_each(|update| view.apply(update));
            view.apply(Update::Looked { now: second as f64, problem: None });
        };
        show(&mut view, text(0, 0.0, 0, 0), 0);
        assert_eq!((view.done, view.steps, view.record.is_none()), (0, Some(9), true));
        show(&mut view, text(1, 4.0, 8, 0), 4);
        show(&mut view, text(1, 4.0, 8, 0), 5);
        show(&mut view, text(3, 10.0, 16, 2), 10);
        assert_eq!(view.curve("sampled"), [(0.0, 1.5), (2.0, 3.5)]);
        assert_eq!(view.components["rate"], [(0.0, 0.5), (2.0, 0.75)]);
        assert_eq!(view.record.as_ref().unwrap().seconds, 3.0);
        assert_eq!(view.events.len(), 1);
        assert_eq!((view.events[0].kind.as_str(), view.events[0].text.as_str()), ("restarted", "editor, 2 by now"));
        let actors: Vec<_> =
            view.actors().iter().map(|actor| (actor.name.as_str(), actor.busy, actor.blocked)).collect();
        assert_eq!(actors, [("sampler-0", 0.0, 1.0), ("learner", 0.75, 0.0)]);
        assert_eq!((view.tickets()[0].waiting, view.tickets()[0].inside), (2, 1));
        // Another run at the same address.
        show(&mut view, text(1, 1.0, 4, 0), 11);
        assert_eq!(view.curve("sampled"), [(0.0, 1.5)]);
    }
}
