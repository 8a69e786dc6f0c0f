//! Runs over the toy policy: studies, settings, chains of stages, and what an observer hears.

#![allow(dead_code)]

// By its path, because another program has this file by its path too.
#[path = "common/toy.rs"]
mod toy;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use addendum_actors::{
    EngineError, Evaluate, Event, Learner, Pipeline, Recording, RunConfig, RunError, RunSummary, Running, Scores,
    StepRecord,
    stages::{EditStage, RewardStage, SelectStage},
};
use addendum_editor::{EditConfig, Editor};
use addendum_studies::{Dataset, Reference, Study};

pub use toy::*;

/// A run that takes longer than this waits forever.
pub const WATCHDOG: Duration = Duration::from_secs(60);

pub fn studies(count: usize) -> Vec<Study> {
    let study = |i: usize| Study {
        id: format!("study-{i}"),
        views: Vec::new(),
        indication: None,
        technique: None,
        comparison: None,
        reference: Reference::new(format!("{} {}", SENTENCES[i % 2], SENTENCES[2 + i % 4])),
    };
    (0..count).map(study).collect()
}

pub fn config() -> RunConfig {
    RunConfig {
        steps: 8,
        batch_groups: 3,
        group_size: 4,
        seed: 11,
        checkpoint_every: 3,
        recorded_groups: 1,
        ..RunConfig::default()
    }
}

/// What the observer heard.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<Event>>>);

impl Heard {
    pub fn listen(&self) -> impl FnMut(&Event) + Send + 'static {
        let heard = self.0.clone();
        move |event| heard.lock().unwrap().push(event.clone())
    }

    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    /// Who was restarted, and why.
    pub fn restarts(&self) -> Vec<(String, String)> {
        let restart = |event| match event {
            Event::Restarted { actor, reason } => Some((actor, reason)),
            _ => None,
        };
        self.events().into_iter().filter_map(restart).collect()
    }

    pub fn steps(&self) -> Vec<StepRecord> {
        let step = |event| match event {
            Event::Step(record) => Some(*record),
            _ => None,
        };
        self.events().into_iter().filter_map(step).collect()
    }
}

/// The whole chain with the toy policy: sampler, the real editor stage, the real reward stage.
pub fn pipeline(config: RunConfig, trouble: Trouble) -> Pipeline<Weights> {
    with_learner(config, trouble, ToyLearner::new)
}

pub fn with_learner<L: Learner<Weights> + 'static>(
    config: RunConfig,
    trouble: Trouble,
    learner: impl FnOnce(Arc<Trouble>) -> L + Send + 'static,
) -> Pipeline<Weights> {
    chain(config, Arc::new(studies(7)), Arc::new(trouble), learner)
}

/// As [`pipeline`], over a dataset of one's own.
pub fn over(dataset: impl Dataset + 'static, config: RunConfig, trouble: Arc<Trouble>) -> Pipeline<Weights> {
    chain(config, Arc::new(dataset), trouble, ToyLearner::new)
}

fn chain<L: Learner<Weights> + 'static>(
    config: RunConfig,
    dataset: Arc<dyn Dataset>,
    trouble: Arc<Trouble>,
    learner: impl FnOnce(Arc<Trouble>) -> L + Send + 'static,
) -> Pipeline<Weights> {
    let (sampling, learning) = (trouble.clone(), trouble.clone());
    let run = config.clone();
    let chain = Pipeline::new(
        config,
        dataset,
        move |index| {
            if index > 0 {
                std::thread::sleep(sampling.slow_start);
            }
            Ok(ToySampler(sampling.clone()))
        },
        move || Ok(learner(learning)),
    );
    stages(chain, run, trouble)
}

/// As [`pipeline`], over what the run in `folder` has recorded.
pub fn replaying(config: RunConfig, folder: &Path) -> Result<Pipeline<Weights>, RunError> {
    let (trouble, data) = (Arc::new(Trouble::default()), studies(7));
    let recording = Recording::open(folder, VOCABULARY, data.len())?;
    let (learning, run) = (trouble.clone(), config.clone());
    let chain = Pipeline::replaying(config, Arc::new(data), recording, move || Ok(ToyLearner::new(learning)));
    Ok(stages(chain, run, trouble))
}

/// No word of the toy policy has so large a token.
pub const VOCABULARY: usize = 1 << 16;

/// As [`pipeline`], with servers that take up to `longest` to answer.
pub fn served(config: RunConfig, trouble: Arc<Trouble>, longest: Duration) -> Pipeline<Weights> {
    let (sampling, learning) = (trouble.clone(), trouble.clone());
    let run = config.clone();
    let chain = Pipeline::with_async_samplers(
        config,
        Arc::new(studies(7)),
        move |_| Ok(ToyServer { sampler: ToySampler(sampling.clone()), longest }),
        move || Ok(ToyLearner::new(learning)),
    );
    stages(chain, run, trouble)
}

/// As [`pipeline`], with samplers that hold several requests.
pub fn batched(config: RunConfig, trouble: Arc<Trouble>) -> Pipeline<Weights> {
    batched_over(Arc::new(studies(7)), config, trouble, false)
}

/// As [`batched`], where what shares a batch is not nothing to a report.
pub fn mixed(config: RunConfig, trouble: Arc<Trouble>) -> Pipeline<Weights> {
    batched_over(Arc::new(studies(7)), config, trouble, true)
}

pub fn batched_over(
    data: Arc<dyn Dataset>,
    config: RunConfig,
    trouble: Arc<Trouble>,
    mixes: bool,
) -> Pipeline<Weights> {
    let (sampling, learning) = (trouble.clone(), trouble.clone());
    let run = config.clone();
    let chain = Pipeline::with_batch_samplers(
        config,
        data,
        move |_| Ok(ToyBatch { sampler: ToySampler(sampling.clone()), requests: vec![], mixes }),
        move || Ok(ToyLearner::new(learning)),
    );
    stages(chain, run, trouble)
}

pub fn stages(chain: Pipeline<Weights>, run: RunConfig, trouble: Arc<Trouble>) -> Pipeline<Weights> {
    let (editing, scoring) = (trouble.clone(), trouble);
    let (to_edit, selects) = (run.clone(), run.selects());
    let editor = Arc::new(Editor::new(EditConfig::default(), Arc::new(Findings)).unwrap());
    let chain = chain.stage("editor", 2, move || {
        let trouble = editing.clone();
        Ok(Troubled {
            inner: EditStage::new(editor.clone(), Arc::new(Words), to_edit.clone()),
            strike: Box::new(move |_| trouble.strike(&trouble.edited, &trouble.editor_panics, "the editor")),
        })
    });
    let chain = chain.stage("reward", 2, move || {
        let trouble = scoring.clone();
        Ok(Troubled {
            inner: RewardStage::new(Arc::new(Toy)),
            strike: Box::new(move |group| {
                trouble.strike(&trouble.scored, &trouble.reward_panics, "the reward");
                assert!(!trouble.unscorable.contains(&group.study.id), "cannot score {}", group.study.id);
            }),
        })
    });
    match selects {
        true => chain.stage("select", 2, move || Ok(SelectStage::new(run.clone()))),
        false => chain,
    }
}

/// Waits for the end of a run, but not forever.
pub async fn finish(running: Running<Weights>) -> Result<RunSummary<Weights>, RunError> {
    tokio::time::timeout(WATCHDOG, running.wait()).await.expect("the run waits forever")
}

pub async fn run(pipeline: Pipeline<Weights>) -> Result<RunSummary<Weights>, RunError> {
    tokio::time::timeout(WATCHDOG, pipeline.run()).await.expect("the run waits forever")
}

/// Goes on with a run that was dropped, as soon as its folder is free: what it was writing then it writes to the end.
pub async fn resumed(chain: Pipeline<Weights>) -> Pipeline<Weights> {
    let chain = chain.resume();
    let free = async {
        while let Err(RunError::Locked { .. }) = chain.check() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WATCHDOG, free).await.expect("the folder is never free");
    chain
}

/// Scores the first weight.
pub struct First;

impl Evaluate<Weights> for First {
    fn evaluate(&mut self, snapshot: &Weights) -> Result<Scores, EngineError> {
        Ok(Scores::from([("first".into(), snapshot.0[0])]))
    }
}

/// The final weights of a run in which nothing goes wrong.
pub async fn calm(config: RunConfig) -> Vec<u8> {
    run(pipeline(config, Trouble::default())).await.unwrap().snapshot.bytes()
}
