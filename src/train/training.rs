//! A run put together from its settings: what the `train` command and the examples call, and where programs of one's own
//! add rewards, algorithms, stages and samplers.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use addendum::train::{Sources, Settings, Training};
//!
//! let settings = Settings::load(&Sources { file: Some("configs/phantoms.toml".as_ref()), ..Sources::default() })?;
//! let run = Training::new(settings).out("runs/mine").prepare()?;
//! let before = run.evaluate(None)?;
//! let (run, adapter) = run.train().await?;
//! run.report(&[("before", before), ("after", run.evaluate(Some(&adapter))?)])?;
//! # Ok(())
//! # }
//! ```

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use addendum_actors::{
    AsyncSampler, BatchSampler, EngineError, Faults, Pipeline, Pool, Sampler as ComputingSampler, Variant,
    stages::{EditStage, SelectStage},
};
use addendum_editor::Editor;
use addendum_policy::{Adapter, algorithm::Algorithm};
use addendum_rewards::{Components, Score};
use anyhow::Result;

use super::{
    data::Data,
    evaluation::{Best, Evaluator, check_metric, metric},
    interrupt::Interrupt,
    placement::{Placement, fingerprint},
    run::Run,
    sampler::Engine,
    sampling::{self, BuildLearner, Sampling},
    settings::{Problem, Settings, SettingsError, Sources},
};
use crate::{
    qwen::{Learner, Prompts, Tokenizer, worth},
    report::{
        progress::Progress,
        run::CONFIG,
        run_folder::RunFolder,
        timeline::{ENTRIES, TIMELINE},
    },
};

/// Entries of the dataset that a run leaves out, in its folder.
const SKIPPED: &str = "skipped.jsonl";

/// Where a run's files go.
pub(super) enum Place {
    New(Option<PathBuf>),
    Resumed(PathBuf),
}

type Change = Box<dyn FnOnce(Pipeline<Adapter>) -> Result<Pipeline<Adapter>> + Send>;

/// A run to be prepared: its settings, and what a program adds to them.
#[must_use]
pub struct Training {
    settings: Settings,
    pub(super) place: Place,
    name: String,
    pub(super) numbered: String,
    pub(super) data: Option<Data>,
    components: Components,
    algorithms: BTreeMap<String, Arc<dyn Algorithm>>,
    changes: Vec<Change>,
    sampling: Option<Sampling>,
    trace: Option<PathBuf>,
    progress: Progress,
    interrupt: Interrupt,
    limit: Option<Duration>,
    faults: Faults,
}

impl Training {
    /// A new run. Without [`Training::out`] its folder is the next `runs/train-N`.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            place: Place::New(None),
            name: "train".into(),
            numbered: "train".into(),
            data: None,
            components: Components::default(),
            algorithms: BTreeMap::new(),
            changes: Vec::new(),
            sampling: None,
            trace: None,
            progress: Progress::stderr(),
            interrupt: Interrupt::never(),
            limit: None,
            faults: Faults::default(),
        }
    }

    /// The run in `folder`, to go on with. `change` makes this run's settings of those that it was started with.
    ///
    /// # Errors
    /// No run is there; those of `change`; a setting that would change the result, named with both values.
    pub fn resumed(folder: impl Into<PathBuf>, change: impl FnOnce(Settings) -> Result<Settings>) -> Result<Self> {
        let folder = folder.into();
        let path = folder.join(CONFIG);
        if !path.is_file() {
            return Err(SettingsError::NoRun { folder, missing: CONFIG }.into());
        }
        let saved = Settings::load(&Sources { file: Some(&path), sets: &[] })?;
        let settings = change(saved.clone())?.absolute()?;
        let differences = settings.differences(&saved)?;
        if !differences.binding.is_empty() {
            return Err(SettingsError::Bound { folder, differences: differences.binding }.into());
        }
        let training = Self { place: Place::Resumed(folder), ..Self::new(settings) };
        for difference in differences.rounding {
            training.progress.note(format!("note: {difference}; the result may differ by roundings"));
        }
        Ok(training)
    }

    /// The folder of a new run, which must be empty or not there.
    pub fn out(mut self, folder: impl Into<PathBuf>) -> Self {
        if matches!(self.place, Place::New(_)) {
            self.place = Place::New(Some(folder.into()));
        }
        self
    }

    /// What the run is called in progress and tables.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What the folder of a new run is called, before its number, where [`Training::out`] names none.
    pub fn numbered(mut self, name: impl Into<String>) -> Self {
        self.numbered = name.into();
        self
    }

    /// Writes where time goes into this file, as [`Pipeline::trace`] does. It is of this process only: neither saved nor
    /// resumed.
    pub fn trace(mut self, path: impl Into<PathBuf>) -> Self {
        self.trace = Some(path.into());
        self
    }

    /// Where progress is shown.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Stops in good order when the user wants to.
    pub fn interrupt(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// Ends the run after this time, in good order and as if its steps were done. It is of this process only.
    pub fn at_most(mut self, time: Duration) -> Self {
        self.limit = Some(time);
        self
    }

    /// Puts faults into the run, to try what it endures.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Studies of one's own in the place of those that the settings name.
    pub fn data(mut self, data: Data) -> Self {
        self.data = Some(data);
        self
    }

    /// A component of the reward by name; `[reward.weights]` weighs it like the built-in ones.
    ///
    /// # Errors
    /// A name that is taken, or none.
    pub fn reward(mut self, name: impl Into<String>, score: impl Score + 'static) -> Result<Self> {
        self.components.register(name, score)?;
        Ok(self)
    }

    /// An algorithm by name, for `algorithm.name`.
    pub fn algorithm(mut self, name: impl Into<String>, algorithm: impl Algorithm + 'static) -> Self {
        self.algorithms.insert(name.into(), Arc::new(algorithm));
        self
    }

    /// Changes the pipeline before it runs: stages before and after others, as in
    /// `pipeline.before("chexbert", stage)`. The stages are `editor`, then those of the reward; a selection comes last.
    pub fn pipeline(
        mut self,
        change: impl FnOnce(Pipeline<Adapter>) -> Result<Pipeline<Adapter>> + Send + 'static,
    ) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Samplers of one's own that compute. `build` makes the one with a given index for a policy.
    pub fn sampler<M: ComputingSampler<Adapter> + 'static>(
        mut self,
        build: impl Fn(usize, Arc<Prompts>) -> Result<M, EngineError> + Send + Sync + 'static,
    ) -> Self {
        self.sampling = Some(Box::new(move |settings, data, prompts, learner| {
            let samplers = move |i: usize| build(i, prompts[i % prompts.len()].clone());
            Pipeline::new(settings.run.clone(), data, samplers, learner)
        }));
        self
    }

    /// Samplers of one's own that compute many requests together.
    pub fn batch_sampler<M: BatchSampler<Adapter> + 'static>(
        mut self,
        build: impl Fn(usize, Arc<Prompts>) -> Result<M, EngineError> + Send + Sync + 'static,
    ) -> Self {
        self.sampling = Some(Box::new(move |settings, data, prompts, learner| {
            let samplers = move |i: usize| build(i, prompts[i % prompts.len()].clone());
            Pipeline::with_batch_samplers(settings.run.clone(), data, samplers, learner)
        }));
        self
    }

    /// Samplers of one's own that wait: for a service, or an engine with threads of its own.
    pub fn async_sampler<M: AsyncSampler<Adapter> + 'static>(
        mut self,
        build: impl Fn(usize, Arc<Prompts>) -> Result<M, EngineError> + Send + Sync + 'static,
    ) -> Self {
        self.sampling = Some(Box::new(move |settings, data, prompts, learner| {
            let samplers = move |i: usize| build(i, prompts[i % prompts.len()].clone());
            Pipeline::with_async_samplers(settings.run.clone(), data, samplers, learner)
        }));
        self
    }

    /// As they are at present.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether every setting is in its range, those of added rewards and algorithms included.
    ///
    /// # Errors
    /// The first one that is not, by its key.
    pub fn validate(&self) -> Result<(), Problem> {
        let registered = self.algorithms.get(&self.settings.algorithm.name);
        self.settings.validate_with(&self.components, registered, self.data.is_some())
    }

    /// Loads studies, policy and reward models, opens the folder, and puts the pipeline together.
    ///
    /// # Errors
    /// Whatever cannot be read or used, by file or key; a folder that is taken; a run that these settings, policy or
    /// studies would change.
    pub fn prepare(self) -> Result<Run> {
        self.validate()?;
        let Self {
            settings,
            place,
            name,
            numbered,
            components,
            algorithms,
            changes,
            sampling,
            trace,
            progress,
            interrupt,
            limit,
            faults,
            data,
        } = self;
        // A resumed run, which may be started elsewhere, compares paths.
        let settings = settings.absolute()?;
        let annotators = settings.reward_models.load()?.patient(settings.patience)?;
        let data = data.map_or_else(|| Data::load(&settings.data), Ok)?;
        if let Some(skipped) = data.told_skipped() {
            progress.note(skipped);
        }
        let validation: Vec<&str> = data.validation.iter().map(|(name, _)| name.as_str()).collect();
        check_metric(settings.evaluation.keep_best.as_deref(), &validation)?;
        let policy = &settings.policy;
        let placement = Placement::load(&policy.path, &policy.devices(), policy.kept_features_bytes)?;

        let algorithm = match algorithms.get(&settings.algorithm.name) {
            Some(own) => settings.algorithm.around(own.clone(), settings.sampling.max_new_tokens)?,
            None => settings.algorithm.build(settings.sampling.max_new_tokens)?,
        };
        let home = placement.home().policy().clone();
        let adapter = Adapter::new(home.config(), settings.lora.clone(), settings.run.seed, home.device())?;
        let (devices, config) = (placement.learner.clone(), settings.learner.clone());
        let learning = algorithm.clone();
        let learner: BuildLearner = Box::new(move || Ok(Learner::new(&devices, adapter, learning, config)?));
        if sampling.is_none() && settings.sampler.engine == Engine::Vllm {
            progress.note(
                "note: vLLM samples, whose arithmetic is not ours: the same seed will not give the same adapter, but \
                 `addendum train --replay` with this run's folder will",
            );
        }
        let its_folder = Arc::default();
        let sampling = match sampling {
            Some(own) => own,
            None => sampling::named(&settings, home.config(), data.training.len(), &its_folder)?,
        };
        let mut pipeline = sampling(&settings, data.training.clone(), placement.samplers.clone(), learner);
        if settings.algorithm.dynamic_sampling {
            pipeline = pipeline.worth(Arc::new(move |group| worth(&*algorithm, group)));
        }

        let editing = settings.services.editing(&annotators.editing)?;
        let editor = Arc::new(Editor::from_backends(settings.edit.clone(), &editing)?);
        let (tokenizer, run) = (Arc::new(Tokenizer(home)), settings.run.clone());
        let ahead = (run.variant != Variant::Grpo && settings.services.edit.is_none()).then(|| editor.clone());
        let edit = move || Ok(EditStage::new(editor.clone(), tokenizer.clone(), run.clone()));
        let mut stage = Pool::computing("editor", settings.services.editors(), edit);
        if let Some(editor) = ahead {
            stage = stage.foresee(move |study| drop(editor.foresee(study.reference.text())));
        }
        pipeline = pipeline.append(stage);
        pipeline = settings.append_reward(pipeline, annotators.scoring.clone(), &components)?;
        for change in changes {
            pipeline = change(pipeline)?;
        }
        if settings.run.selects() {
            let run = settings.run.clone();
            pipeline = pipeline.stage("select", 1, move || Ok(SelectStage::new(run.clone())));
        }

        let mut identity = settings.identity()?;
        identity.insert("policy".into(), fingerprint(&settings.policy.path)?);
        identity.insert("data".into(), data.identity.clone());
        let resumed = matches!(place, Place::Resumed(_));
        let folder = match &place {
            Place::Resumed(path) => RunFolder::open(path)?,
            Place::New(Some(path)) => RunFolder::create(path)?,
            Place::New(None) => RunFolder::numbered("runs".as_ref(), &numbered)?,
        };
        its_folder.get_or_init(|| folder.path().to_owned());
        pipeline =
            pipeline.faults(faults).identity(identity).folder(folder.path()).stop_when(end(interrupt.clone(), limit));
        let timeline = folder.path().join(TIMELINE);
        pipeline = match &trace {
            Some(path) => pipeline.trace(path),
            // A resumed run keeps the one that it began with.
            None if !timeline.exists() => pipeline.trace_beginning(timeline, ENTRIES),
            None => pipeline,
        };
        // A run that was ended before its first step has nothing to go on from: it begins.
        let begun = |name| folder.path().join(name).exists();
        if resumed && (begun("metrics.jsonl") || begun("checkpoints")) {
            pipeline = pipeline.resume();
        }
        pipeline.check()?;
        folder.write(CONFIG, settings.text()?.as_bytes())?;
        if !data.skipped.is_empty() {
            folder.write(SKIPPED, data.skipped_lines().as_bytes())?;
        }
        if settings.run.evaluate_every > 0 || settings.evaluation.keep_best.is_some() {
            let best = best(&settings, folder.path())?;
            let (config, sets, metrics) =
                (settings.evaluation.clone(), data.validation.clone(), annotators.scoring.clone());
            let (prompts, best) = (placement.home().clone(), Arc::new(best));
            pipeline = pipeline
                .evaluator(move || Ok(Evaluator::new(&config, &sets, &prompts, &metrics, best.as_ref().clone())));
        }
        let pipeline = Some(pipeline);
        Ok(Run { settings, name, placement, annotators, data, folder, trace, progress, interrupt, pipeline })
    }
}

/// Completes when the user wants to stop, or the time is over.
async fn end(interrupt: Interrupt, limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::select! {
            () = interrupt.requested() => {}
            () = tokio::time::sleep(limit) => {}
        },
        None => interrupt.requested().await,
    }
}

/// The best adapter so far, if one is to be kept.
fn best(settings: &Settings, folder: &Path) -> Result<Option<Best>> {
    let Some(name) = &settings.evaluation.keep_best else { return Ok(None) };
    let path = folder.join("evaluations.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let mut score: Option<f64> = None;
    // The last line of a run that was killed may end anywhere.
    for line in text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
        let scores = serde_json::from_value(line["scores"].clone()).unwrap_or_default();
        score = score.into_iter().chain(metric(&scores, name)).reduce(f64::max);
    }
    Ok(Some(Best { metric: name.clone(), score, folder: folder.join("best"), base: settings.policy.base_name() }))
}
