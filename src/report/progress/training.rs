//! Reinforcement learning: the figures of a step that matter, and what happens besides.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use addendum_actors::{Event, Scores, StepRecord};

use super::{Job, row};
use crate::report::terminal::{Paint, count, duration, sparkline};

/// Watches a run through its [`Event`]s.
pub struct Training {
    watch: Arc<Mutex<Option<Watch>>>,
}

impl Training {
    pub(super) fn new(job: Job) -> Self {
        let watch = Watch { job, rewards: Vec::new() };
        Self { watch: Arc::new(Mutex::new(Some(watch))) }
    }

    /// What a pipeline is to be given as its observer.
    pub fn observer(&self) -> impl FnMut(&Event) + Send + use<> {
        let mut training = Self { watch: self.watch.clone() };
        move |event| training.observe(event)
    }

    /// Shows what an event says.
    pub fn observe(&mut self, event: &Event) {
        if let Some(watch) = self.watch.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            watch.observe(event);
        }
    }

    /// Takes the bar away and leaves a line that says what came of it. Later events are not shown.
    pub fn finish(self) {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watch) = watch {
            watch.finish();
        }
    }
}

struct Watch {
    job: Job,
    /// Of sampled reports, by step.
    rewards: Vec<f64>,
}

impl Watch {
    fn observe(&mut self, event: &Event) {
        let progress = &self.job.progress;
        let paint = progress.paint();
        match event {
            Event::Step(record) => self.step(record),
            Event::Evaluated { version, scores } => {
                progress.note(format!("version {}: {}", version.0, paint.bold(summary(scores))));
            }
            Event::EvaluationFailed { version, error } => {
                progress.note(paint.warning(format!("version {}: the evaluation failed: {error}", version.0)));
            }
            Event::Checkpoint { version, path } => {
                progress.note(paint.dim(format!("version {}: checkpoint {}", version.0, path.display())));
            }
            Event::TraceStopped { path, reason } => {
                progress.note(paint.warning(format!("{}: the trace ends here: {reason}", path.display())));
            }
            Event::Restarted { actor, reason } => {
                progress.note(paint.warning(format!("{actor} was restarted: {reason}")));
            }
            Event::Failed { ticket, reason, given_up } => {
                let what = if *given_up { "was given up" } else { "is tried again" };
                progress.note(paint.warning(format!("{ticket} {what}: {reason}")));
            }
            Event::Stalled { seconds, report } => {
                progress.note(paint.warning(format!("nothing has moved for {seconds} s")));
                report.lines().for_each(|line| progress.note(format!("  {line}")));
            }
            Event::Diverging { step, found } => {
                progress.note(paint.warning(format!("step {}: {found}", step + 1)));
            }
            Event::SetBack { version, path } => {
                progress.note(format!("version {}: the newest checkpoint is now {}", version.0, path.display()));
            }
            _ => {}
        }
    }

    fn finish(self) {
        let steps = count(self.rewards.len() as u64, "step", "steps");
        let took = duration(self.job.started.elapsed());
        // A step with nothing to train on has none.
        let known: Vec<f64> = self.rewards.iter().copied().filter(|reward| reward.is_finite()).collect();
        let tenth = known.len().div_ceil(10);
        let mean = |rewards: &[f64]| rewards.iter().sum::<f64>() / rewards.len() as f64;
        let reward = match (known.get(..tenth), known.get(known.len() - tenth..)) {
            (Some(first), Some(last)) if tenth > 0 => {
                format!(", reward of sampled reports {:.3} → {:.3}", mean(first), mean(last))
            }
            _ => String::new(),
        };
        let line = format!("{}: {steps} in {took}{reward}", self.job.name);
        self.job.finish(&line);
    }

    fn step(&mut self, record: &StepRecord) {
        self.rewards.push(record.reward_sampled);
        self.job.reach(record.step + 1);
        let timing = self.job.timing();
        let paint = self.job.progress.paint();
        if self.job.is_live() {
            let mut reward = reward(record, paint);
            if let Some(first) = reward.first_mut() {
                *first = format!("{first} {}", paint.accent(sparkline(&self.rewards, 24)));
            }
            let figures = [
                ("reward", reward),
                ("policy", policy(record)),
                ("flow", flow(record)),
                ("trouble", trouble(record, paint)),
            ];
            let rows = figures.iter().filter(|(_, figures)| !figures.is_empty());
            self.job.show(&timing, &rows.map(|(name, figures)| row(paint, name, figures)).collect::<Vec<_>>());
        } else if self.job.progress.has_events() {
            step_event(&self.job.name, self.job.total, record);
        } else if self.job.is_due() {
            let Job { name, done, total, progress, .. } = &self.job;
            let figures = [reward(record, paint), policy(record), flow(record), trouble(record, paint)].concat();
            progress.note(format!("{name} {done}/{total}  reward {}  {timing}", figures.join("  ")));
        }
    }
}

/// The figures of a step as the fields of an event.
fn step_event(name: &str, steps: u64, record: &StepRecord) {
    let components = serde_json::to_string(&record.reward_components).unwrap_or_default();
    tracing::info!(
        step = record.step + 1,
        steps,
        reward = record.reward_sampled,
        reward_components = components,
        edit_gain = record.edit_gain,
        loss = record.stats.loss,
        kl = record.stats.kl,
        entropy = record.stats.entropy,
        gradient_norm = record.stats.gradient_norm,
        learning_rate = record.stats.learning_rate,
        skipped = record.stats.skipped,
        response_length = record.response_length,
        staleness_mean = record.staleness_mean,
        staleness_max = record.staleness_max,
        tokens_per_second = record.tokens_per_second,
        sampler_busy = record.sampler_busy,
        learner_busy = record.learner_busy,
        restarts = record.restarts,
        retries = record.retries,
        evictions = record.evictions,
        dead_letters = record.dead_letters,
        "{name}"
    );
}

fn reward(record: &StepRecord, paint: Paint) -> Vec<String> {
    if record.groups == 0 {
        return vec![paint.warning("none, as no group was left to train on")];
    }
    let mut figures = vec![paint.bold(format!("{:.3}", record.reward_sampled))];
    figures
        .extend(record.reward_components.iter().map(|(name, value)| format!("{} {value:.3}", name.replace('_', " "))));
    if !record.edits.is_empty() {
        let gain = format!("edits {:+.3}", record.edit_gain);
        figures.push(if record.edit_gain > 0.0 { paint.good(gain) } else { gain });
    }
    figures
}

fn policy(record: &StepRecord) -> Vec<String> {
    if record.groups == 0 {
        return Vec::new();
    }
    vec![
        format!("KL {:.4}", record.stats.kl),
        format!("entropy {:.2}", record.stats.entropy),
        format!("{:.0} tokens/report", record.response_length),
        format!("staleness {:.1} (max {})", record.staleness_mean, record.staleness_max),
    ]
}

fn flow(record: &StepRecord) -> Vec<String> {
    let mut figures = vec![
        format!("{:.0} tokens/s", record.tokens_per_second),
        format!("sampler {:.0} % busy", 100.0 * record.sampler_busy),
        format!("learner {:.0} % busy", 100.0 * record.learner_busy),
    ];
    let noticeable = record.queue_wait.iter().filter(|(_, seconds)| **seconds >= 0.005);
    let longest = noticeable.max_by(|a, b| a.1.total_cmp(b.1));
    figures.extend(longest.map(|(stage, seconds)| {
        let wait = duration(Duration::try_from_secs_f64(*seconds).unwrap_or_default());
        match stage.as_str() {
            "sampler" => format!("sampler waits {wait} for a ticket"),
            "learner" => format!("learner waits {wait} for a batch"),
            stage => format!("groups wait {wait} for {stage}"),
        }
    }));
    figures
}

/// What went wrong since the start of the run; nothing if nothing did.
fn trouble(record: &StepRecord, paint: Paint) -> Vec<String> {
    let counts = [
        (record.restarts, "restart", "restarts"),
        (record.retries, "retry", "retries"),
        (record.evictions, "eviction", "evictions"),
        (record.dead_letters, "dead letter", "dead letters"),
    ];
    let mut troubles: Vec<String> =
        counts.iter().filter(|(number, ..)| *number > 0).map(|(number, one, many)| count(*number, one, many)).collect();
    if record.stats.skipped {
        troubles.push("update skipped: gradient not finite".into());
    }
    if record.stats.out_of_memory > 0 {
        troubles.push("device out of memory: micro-batches halved".into());
    }
    troubles.into_iter().map(|trouble| paint.warning(trouble)).collect()
}

/// The averages among the scores as points of 100; all scores if none is an average.
fn summary(scores: &Scores) -> String {
    let averages = || scores.iter().filter(|(name, _)| name.ends_with("average"));
    let text = |(name, score): (&String, &f64)| format!("{} {:.1}", name.replace('_', " "), 100.0 * score);
    let texts: Vec<String> = match averages().next() {
        Some(_) => averages().map(text).collect(),
        None => scores.iter().map(text).collect(),
    };
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use addendum_replay::{PolicyVersion, TicketId};

    use super::*;
    use crate::report::progress::{Progress, testing::Paper};

    fn record(step: u64) -> StepRecord {
        StepRecord {
            step,
            groups: 2,
            reward_sampled: 1.25,
            edit_gain: 0.125,
            edits: BTreeMap::from([("replace".into(), 3)]),
            reward_components: BTreeMap::from([("rate".into(), 0.5), ("radgraph".into(), 0.375)]),
            staleness_mean: 0.5,
            staleness_max: 1,
            tokens_per_second: 402.0,
            sampler_busy: 0.93,
            learner_busy: 0.6,
            queue_wait: BTreeMap::from([("learner".into(), 1.5), ("sampler".into(), 0.1)]),
            ..StepRecord::default()
        }
    }

    fn watch(events: &[Event]) -> String {
        let paper = Paper::default();
        let training = Progress::plain(paper.clone()).training("EditGRPO", 2);
        let mut observe = training.observer();
        events.iter().for_each(&mut observe);
        training.finish();
        observe(&Event::Step(Box::new(record(9))));
        assert!(!paper.text().contains("10/"), "an event after the end was shown");
        paper.text()
    }

    #[test]
    fn a_plain_line_holds_the_figures_that_matter_and_no_escapes() {
        let text = watch(&[Event::Step(Box::new(record(0)))]);
        let line = text.lines().next().unwrap();
        assert!(line.starts_with("EditGRPO 1/2  reward 1.250  radgraph 0.375  rate 0.500  edits +0.125"), "{line}");
        for figure in ["staleness 0.5 (max 1)", "402 tokens/s", "sampler 93 % busy", "learner waits 1.50 s for a batch"]
        {
            assert!(line.contains(figure), "{figure} in {line}");
        }
        assert!(!text.contains('\x1b'), "{text:?}");
        assert!(!line.contains("restart"), "{line}");
        let idle = StepRecord { queue_wait: BTreeMap::from([("editor".into(), 1e-4)]), ..record(0) };
        assert!(!watch(&[Event::Step(Box::new(idle))]).contains("wait"));
    }

    #[test]
    fn troubles_are_told_only_when_there_are_any() {
        let mut troubled = record(0);
        (troubled.retries, troubled.dead_letters, troubled.stats.skipped) = (2, 1, true);
        let text = watch(&[Event::Step(Box::new(troubled))]);
        assert!(text.contains("2 retries  1 dead letter  update skipped"), "{text}");
    }

    #[test]
    fn a_step_without_a_group_has_no_figures_of_one() {
        let nan = f64::NAN;
        let empty = StepRecord { reward_sampled: nan, staleness_mean: nan, dead_letters: 4, ..StepRecord::default() };
        let text = watch(&[Event::Step(Box::new(record(0))), Event::Step(Box::new(StepRecord { step: 1, ..empty }))]);
        assert!(text.contains("2/2  reward none, as no group was left to train on  0 tokens/s"), "{text}");
        assert!(text.contains("2 steps in ") && text.contains("1.250 → 1.250"), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }

    #[test]
    fn everything_else_that_happens_gets_a_line() {
        let scores = BTreeMap::from([("average".into(), 0.512), ("rate".into(), 0.4)]);
        let version = PolicyVersion(4);
        let text = watch(&[
            Event::Evaluated { version, scores },
            Event::EvaluationFailed { version, error: "no studies".into() },
            Event::Checkpoint { version, path: "runs/a/checkpoints/4".into() },
            Event::Restarted { actor: "sampler-1".into(), reason: "panicked".into() },
            Event::Failed { ticket: TicketId(7), reason: "status 500".into(), given_up: false },
            Event::Failed { ticket: TicketId(7), reason: "status 503".into(), given_up: true },
        ]);
        for line in [
            "version 4: average 51.2\n",
            "version 4: the evaluation failed: no studies\n",
            "version 4: checkpoint runs/a/checkpoints/4\n",
            "sampler-1 was restarted: panicked\n",
            "ticket 7 is tried again: status 500\n",
            "ticket 7 was given up: status 503\n",
            "EditGRPO: 0 steps in ",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
