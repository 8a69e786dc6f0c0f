//! The whole pipeline over the real network, small: the laws that only hold if every part keeps them.

mod reward_servers;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use addendum::{
    actors::{
        Event, Keep, Pipeline, RunConfig, RunSummary, SelectConfig, Stage, StageError, StepRecord, Unedited, When,
        stages::{EditStage, RewardStage, SelectStage},
    },
    editor::Editor,
    policy::{
        Adapter, Config, LoraConfig, Policy,
        model::Weights,
        objective::{EditedFrom, OffPolicy},
    },
    qwen::{Learner, Prompts, Sampler, Tokenizer},
    remote::Patience,
    replay::{Mode, RolloutGroup},
    rewards::{Backends, Components, Scorer},
    studies::{Dataset, Prompt},
    train::{
        data::{Data, PhantomConfig},
        settings::Settings,
        supervised::{SftPlan, fresh_policy},
    },
};
use candle_core::{DType, Device};

const WATCHDOG: Duration = Duration::from_secs(240);

fn studies(count: usize) -> Arc<dyn Dataset> {
    Data::of_phantoms(&PhantomConfig {
        seed: 7,
        supervised: 0,
        training: count,
        held_out: 1,
        ..PhantomConfig::default()
    })
    .unwrap()
    .training
}

/// Two narrow layers with random weights: every part of the real policy, at a fraction of its cost.
fn policy(studies: &dyn Dataset) -> Arc<Policy> {
    let plan = SftPlan { vocab_size: 400, ..SftPlan::default() };
    let base = fresh_policy(studies, &plan, &Device::Cpu).unwrap();
    let mut config: Config = base.config().clone();
    (config.text.hidden_size, config.text.intermediate_size, config.text.layers) = (32, 64, 2);
    (config.text.heads, config.text.kv_heads, config.text.mrope_section) = (2, 1, [2, 3, 3]);
    (config.vision.hidden_size, config.vision.intermediate_size, config.vision.heads) = (32, 48, 2);
    (config.vision.depth, config.vision.fullatt_block_indexes) = (1, vec![]);
    config.vision.out_hidden_size = 32;
    let weights = Weights::random(&config, 3, DType::F32, &Device::Cpu).unwrap();
    let (tokenizer, images) = (base.tokenizer().clone(), base.images().clone());
    Arc::new(Policy::new(config, weights, tokenizer, images, Device::Cpu).unwrap())
}

fn settings() -> Settings {
    let mut settings = Settings {
        run: RunConfig { steps: 4, batch_groups: 2, group_size: 4, seed: 5, ..RunConfig::default() },
        lora: LoraConfig { rank: 4, alpha: 8.0, ..LoraConfig::default() },
        ..Settings::default()
    };
    settings.data.phantoms = Some(PhantomConfig::default());
    settings.policy.path = "random weights".into();
    settings.sampling.max_new_tokens = 12;
    settings.learner.schedule.learning_rate = 1e-2;
    settings
}

/// Sleeps a while in front of another stage, differently at every call.
struct Delayed<T>(T, Duration);

impl<T: Stage> Stage for Delayed<T> {
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.subsec_nanos();
        std::thread::sleep(self.1.mul_f64(f64::from(nanos % 1000) / 1000.0));
        self.0.process(group)
    }
}

/// A run up to its rewards.
fn unscored(
    policy: &Arc<Policy>,
    studies: &Arc<dyn Dataset>,
    settings: Settings,
    delay: Duration,
) -> Pipeline<Adapter> {
    let adapter = Adapter::new(policy.config(), settings.lora.clone(), 1, &Device::Cpu).unwrap();
    let backends = settings.services.editing(&Backends::lexicon()).unwrap();
    let editor = Arc::new(Editor::from_backends(settings.edit.clone(), &backends).unwrap());
    let tokenizer = Arc::new(Tokenizer(policy.clone()));
    let prompts = Arc::new(Prompts::new(policy.clone(), 1 << 24));
    let algorithm = settings.algorithm.build(settings.sampling.max_new_tokens).unwrap();
    let (sampling, batch) = (settings.sampling.clone(), settings.sampler.batch());
    let (samplers, run) = (prompts.clone(), settings.run.clone());
    Pipeline::with_batch_samplers(
        settings.run,
        studies.clone(),
        move |_| Ok(Sampler::with(samplers.clone(), sampling.clone(), batch.clone())?),
        move || Ok(Learner::new(&[prompts], adapter, algorithm, settings.learner)?),
    )
    .stage("editor", 2, move || Ok(Delayed(EditStage::new(editor.clone(), tokenizer.clone(), run.clone()), delay)))
}

fn pipeline(
    policy: &Arc<Policy>,
    studies: &Arc<dyn Dataset>,
    settings: Settings,
    delay: Duration,
) -> Pipeline<Adapter> {
    let scorer = Arc::new(Scorer::new(Backends::lexicon(), &settings.reward).unwrap());
    let run = settings.run.clone();
    let chain = unscored(policy, studies, settings, delay)
        .stage("reward", 2, move || Ok(Delayed(RewardStage::new(scorer.clone()), delay)));
    match run.selects() {
        true => chain.stage("select", 2, move || Ok(SelectStage::new(run.clone()))),
        false => chain,
    }
}

async fn finish(pipeline: Pipeline<Adapter>) -> RunSummary<Adapter> {
    tokio::time::timeout(WATCHDOG, pipeline.run()).await.expect("the run waits forever").unwrap()
}

fn bytes(summary: &RunSummary<Adapter>) -> Vec<u8> {
    summary.snapshot.to_bytes().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_seed_gives_one_adapter_whatever_the_samplers_the_timing_and_the_deaths() {
    let studies = studies(40);
    let policy = policy(&*studies);
    let start = Adapter::new(policy.config(), settings().lora, 1, &Device::Cpu).unwrap().to_bytes().unwrap();
    let expected = bytes(&finish(pipeline(&policy, &studies, settings(), Duration::ZERO)).await);
    assert_ne!(expected, start, "nothing was learnt");

    let mut two = settings();
    two.run.samplers = 2;
    two.run.max_attempts = 1000;
    let delayed = finish(pipeline(&policy, &studies, two.clone(), Duration::from_millis(20))).await;
    assert_eq!(bytes(&delayed), expected, "two samplers and delays");

    let running = pipeline(&policy, &studies, two, Duration::from_millis(20)).start().await.unwrap();
    let mut killed = 0;
    for name in ["sampler-0", "editor", "reward", "sampler-1", "learner"] {
        tokio::time::sleep(Duration::from_millis(15)).await;
        if let Some(actor) = running.actor(name) {
            let worker = actor.get_children().pop().filter(|_| name != "learner").unwrap_or(actor);
            worker.kill();
            killed += 1;
        }
    }
    let summary = tokio::time::timeout(WATCHDOG, running.wait()).await.expect("the run waits forever").unwrap();
    assert_eq!(killed, 5);
    assert!(summary.restarts >= 3, "only {} restarts", summary.restarts);
    assert_eq!(bytes(&summary), expected, "killed actors");

    let mut other = settings();
    other.run.seed = 6;
    assert_ne!(bytes(&finish(pipeline(&policy, &studies, other, Duration::ZERO)).await), expected, "another seed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_variants_beyond_the_paper_together_give_one_adapter_for_one_seed() {
    let studies = studies(40);
    let policy = policy(&*studies);
    let variants = |off_policy, samplers| {
        let mut settings = settings();
        (settings.run.steps, settings.run.samplers, settings.run.max_attempts) = (2, samplers, 1000);
        (settings.run.edited_share_end, settings.run.edited_share_steps) = (Some(0.25), 1);
        settings.run.select =
            SelectConfig { unedited: Unedited::Fresh, keep: Keep::Improving, when: When::LowVariance, std_below: 1.0 };
        settings.edit.sentences_per_edit = 1;
        settings.learner.objective.edited_from = EditedFrom::Difference;
        settings.learner.objective.off_policy = off_policy;
        settings
    };
    let run = async |settings: Settings, delay| {
        let steps: Arc<Mutex<Vec<StepRecord>>> = Arc::default();
        let heard = steps.clone();
        let chain = pipeline(&policy, &studies, settings, Duration::from_millis(delay)).observer(move |event| {
            if let Event::Step(record) = event {
                heard.lock().unwrap().push((**record).clone());
            }
        });
        (bytes(&finish(chain).await), std::mem::take(&mut *steps.lock().unwrap()))
    };
    let mut adapters = Vec::new();
    for off_policy in [OffPolicy::Plain, OffPolicy::Shaped, OffPolicy::Capped] {
        let (adapter, steps) = run(variants(off_policy, 1), 0).await;
        assert_eq!(run(variants(off_policy, 2), 20).await.0, adapter, "{off_policy:?}");
        for (record, copies) in steps.iter().zip([4, 2]) {
            // Two groups of four; every copy of them is kept, or a sample is in its place.
            assert_eq!(record.rollouts, 8);
            assert_eq!(record.edits.keys().filter(|operation| *operation == "none").count(), 0);
            assert_eq!(record.dropped.values().sum::<u64>(), copies, "as many candidates too many as copies");
        }
        assert!(steps.iter().any(|record| !record.edits.is_empty()), "no edit was trained on: the test shows little");
        adapters.push(adapter);
    }
    adapters.push(run(settings(), 0).await.0);
    adapters.sort();
    adapters.dedup();
    assert_eq!(adapters.len(), 4, "a setting changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_is_the_same_whatever_the_samplers_hold_at_a_time() {
    let studies = studies(40);
    let policy = policy(&*studies);
    let base = || {
        let mut settings = settings();
        (settings.run.staleness, settings.run.batch_groups, settings.run.threads.sampler) = (2, 3, 2);
        settings
    };
    let longest =
        (0..40).map(|i| policy.encode(&Prompt::new(&studies.study(i).unwrap())).unwrap().tokens.ids.len()).max();
    let room = (longest.unwrap() + 2 * base().sampling.max_new_tokens) as u64;
    let cache_bytes = Some(room * policy.model().language.cache_row_bytes());
    let adapter = async |max_sequences, cache_bytes| {
        let mut settings = base();
        (settings.sampler.max_sequences, settings.sampler.cache_bytes) = (max_sequences, cache_bytes);
        bytes(&finish(pipeline(&policy, &studies, settings, Duration::ZERO)).await)
    };
    let expected = adapter(64, None).await;
    for (max_sequences, cache_bytes) in [(1, None), (4, None), (5, cache_bytes), (64, cache_bytes)] {
        assert_eq!(adapter(max_sequences, cache_bytes).await, expected, "{max_sequences} sequences, {cache_bytes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_no_cache_holds_is_a_dead_letter_that_says_how_much_it_needs() {
    let studies = studies(8);
    let policy = policy(&*studies);
    let mut settings = settings();
    settings.sampler.cache_bytes = Some(1 << 10);
    settings.run.max_dead_in_a_row = 1;
    let run = pipeline(&policy, &studies, settings, Duration::ZERO).run();
    let error = tokio::time::timeout(WATCHDOG, run).await.expect("the run waits forever").unwrap_err().to_string();
    assert!(error.contains("sampler.cache_bytes: is 1024; a prompt of "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_for_each_back_end_of_the_reward_gives_the_adapter_of_one_stage_whichever_dies() {
    let studies = studies(40);
    let policy = policy(&*studies);
    let expected = bytes(&finish(pipeline(&policy, &studies, settings(), Duration::ZERO)).await);
    let mut settings = settings();
    settings.reward_pools.workers = [("chexbert".into(), 3), ("rate".into(), 2)].into();
    settings.run.max_attempts = 1000;
    let chain = unscored(&policy, &studies, settings.clone(), Duration::from_millis(20));
    let backends = Patience::default().with(Backends::lexicon()).unwrap();
    let chain = settings.append_reward(chain, backends, &Components::default()).unwrap();
    let running = chain.start().await.unwrap();
    for (name, workers) in [("chexbert", 3), ("radgraph", 1), ("rate", 2)] {
        tokio::time::sleep(Duration::from_millis(15)).await;
        let mut actors = running.actor(name).unwrap().get_children();
        assert_eq!(actors.len(), workers, "{name}");
        actors.pop().unwrap().kill();
    }
    let summary = tokio::time::timeout(WATCHDOG, running.wait()).await.expect("the run waits forever").unwrap();
    assert!(summary.finished && summary.restarts >= 3, "{} restarts", summary.restarts);
    assert_eq!(bytes(&summary), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_staleness_bound_is_kept() {
    let studies = studies(40);
    let policy = policy(&*studies);
    for (staleness, mode) in [(0, Mode::FixedLag), (1, Mode::FixedLag), (4, Mode::FixedLag), (1, Mode::Latest)] {
        let mut settings = settings();
        (settings.run.staleness, settings.run.mode, settings.run.steps) = (staleness, mode, 6);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = seen.clone();
        let pipeline = pipeline(&policy, &studies, settings, Duration::ZERO).observer(move |event| {
            if let Event::Step(step) = event {
                record.lock().unwrap().push(step.staleness_max);
            }
        });
        assert!(finish(pipeline).await.finished);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 6);
        assert!(seen.iter().all(|&lag| lag <= staleness), "η = {staleness}: {seen:?}");
        if mode == Mode::FixedLag {
            let expected: Vec<u64> = (0..6).map(|step| step.min(staleness)).collect();
            assert_eq!(*seen, expected, "in fixed-lag mode the age of a rollout is part of the algorithm");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_resumed_from_its_folder_ends_in_the_same_adapter() {
    let studies = studies(40);
    let policy = policy(&*studies);
    let expected = bytes(&finish(pipeline(&policy, &studies, settings(), Duration::ZERO)).await);
    let folder = tempfile::tempdir().unwrap();
    let mut half = settings();
    half.run.steps = 2;
    finish(pipeline(&policy, &studies, half, Duration::ZERO).folder(folder.path())).await;
    let resumed = pipeline(&policy, &studies, settings(), Duration::ZERO).folder(folder.path()).resume();
    assert_eq!(bytes(&finish(resumed).await), expected);
}

#[test]
fn a_damaged_checkpoint_is_named_and_refused() {
    let studies = studies(20);
    let policy = policy(&*studies);
    let dir = tempfile::tempdir().unwrap();
    policy.save(dir.path()).unwrap();
    let load = |dir: &Path| Policy::load(dir, DType::F32, &Device::Cpu);
    let back = load(dir.path()).unwrap();
    assert_eq!(back.config(), policy.config());

    let weights = dir.path().join("model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    for (cut, broken) in
        [("half", whole[..whole.len() / 2].to_vec()), ("empty", vec![]), ("huge header", vec![0xff; 64])]
    {
        std::fs::write(&weights, broken).unwrap();
        let message = load(dir.path()).unwrap_err().to_string();
        assert!(message.contains("model.safetensors"), "{cut}: {message}");
    }
    let mut not_finite = whole.clone();
    let end = not_finite.len();
    not_finite[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&weights, not_finite).unwrap();
    let message = load(dir.path()).unwrap_err().to_string();
    assert!(message.contains("model.safetensors") && message.contains("not finite"), "{message}");

    std::fs::write(&weights, &whole).unwrap();
    let config = dir.path().join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    for (layers, tensor, expected) in [(3, "model.layers.2.", "missing"), (1, "model.layers.1.", "has no place")] {
        let layers = format!("\"num_hidden_layers\": {layers}");
        std::fs::write(&config, text.replace("\"num_hidden_layers\": 2", &layers)).unwrap();
        let message = load(dir.path()).unwrap_err().to_string();
        assert!(message.contains(tensor) && message.contains(expected), "{message}");
    }
}

#[test]
fn studies_of_one_id_in_two_datasets_keep_their_own_prompts() {
    let studies = studies(2);
    let prompts = Prompts::new(policy(&*studies), 1 << 24);
    let [one, other] = [0, 1].map(|index| Prompt::new(&studies.study(index).unwrap()));
    let features = |prompt: &Prompt| {
        let encoded = prompts.encode("1", prompt).unwrap();
        encoded.features.as_ref().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let expected = features(&one);
    assert_ne!(features(&other), expected);
    assert_eq!(features(&one), expected);
    assert!(Arc::ptr_eq(&prompts.encode("1", &one).unwrap(), &prompts.encode("1", &one).unwrap()));
}
