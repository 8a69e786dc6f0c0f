//! Packing is exact: a prompt shared by several responses gives the log-probabilities and gradients of separate ones.

use std::sync::Arc;

use addendum_policy::{
    Adapter, Config, LearnerConfig, LoraConfig,
    algorithm::AlgorithmConfig,
    generate::{GenerateRequest, generate},
    learner::{Learner, LearnerState, Recompute, SharedPrefix, TrainGroup, TrainResponse},
    memory::{DeviceKind, Memory},
    model::{Model, Weights},
    optim::Tensors,
    pack::{EncodedPrompt, Packed, PromptTokens},
    sampling::{SamplingConfig, TokenSampler},
};
use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const IMAGE: u32 = 49;

fn config() -> Config {
    let mut config = Config::tiny(50);
    (config.text.hidden_size, config.text.intermediate_size, config.text.layers) = (32, 48, 2);
    (config.text.heads, config.text.kv_heads, config.text.mrope_section) = (2, 1, [2, 3, 3]);
    (config.vision.hidden_size, config.vision.heads, config.vision.depth) = (32, 2, 1);
    config.vision.out_hidden_size = 32;
    config
}

/// Weights large enough that attention and log-probabilities are far from uniform.
fn model() -> Model {
    let weights = Weights::random(&config(), 1, DType::F32, &Device::Cpu).unwrap();
    let larger = weights.tensors().iter().map(|(name, t)| {
        let factor = if t.rank() > 1 { 5.0 } else { 1.0 };
        (name.clone(), (t * factor).unwrap())
    });
    Model::new(&config(), &Weights::new(larger.collect(), "test".as_ref())).unwrap()
}

/// An adapter that does something: B is zero in a fresh one.
fn adapter() -> Adapter {
    let fresh = Adapter::new(&config(), LoraConfig { rank: 4, ..LoraConfig::default() }, 2, &Device::Cpu).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let tensors = fresh.tensors().iter().map(|(name, t)| {
        let values: Vec<f32> = (0..t.elem_count()).map(|_| rng.random_range(-0.1..0.1)).collect();
        (name.clone(), Tensor::from_vec(values, t.shape(), &Device::Cpu).unwrap())
    });
    Adapter::from_tensors(&config(), fresh.config().clone(), tensors.collect()).unwrap()
}

fn prompt(text: usize, image: bool, seed: u64) -> EncodedPrompt {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut ids: Vec<u32> = (0..text).map(|_| rng.random_range(0..IMAGE)).collect();
    let grids: &[[usize; 3]] = if image { &[[1, 4, 4]] } else { &[] };
    if image {
        ids.splice(1..1, [IMAGE; 4]);
    }
    let values: Vec<f32> = (0..4 * 32).map(|_| rng.random_range(-1.0..1.0)).collect();
    let features = image.then(|| Tensor::from_vec(values, (4, 32), &Device::Cpu).unwrap());
    EncodedPrompt { tokens: PromptTokens::new(ids, IMAGE, grids, 2).unwrap(), features }
}

fn responses(lengths: &[usize], seed: u64) -> Vec<Vec<u32>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    lengths.iter().map(|&n| (0..n).map(|_| rng.random_range(0..IMAGE)).collect()).collect()
}

fn log_probs(model: &Model, packed: &Packed) -> Vec<f32> {
    packed.log_probs(&model.language, Some(&adapter()), 0.9).unwrap().log_probs.to_vec1().unwrap()
}

fn group(prompt: &EncodedPrompt, responses: &[Vec<u32>]) -> TrainGroup {
    let response = |(i, tokens): (usize, &Vec<u32>)| TrainResponse {
        tokens: tokens.clone(),
        behaviour: (i % 2 == 0).then(|| vec![-2.0; tokens.len()]),
        reward: (i * i) as f64,
        ..TrainResponse::default()
    };
    TrainGroup { prompt: Arc::new(prompt.clone()), responses: responses.iter().enumerate().map(response).collect() }
}

fn learner(micro_batch_tokens: usize) -> Learner {
    let mut config = LearnerConfig { micro_batch_tokens, ..LearnerConfig::default() };
    config.schedule.learning_rate = 1e-2;
    learner_with(config)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn responses_that_share_a_prompt_have_the_gradient_of_responses_alone(
        text in 2usize..30,
        image in any::<bool>(),
        lengths in prop::collection::vec(1usize..20, 2..5),
        recompute in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let prompt = prompt(text, image, seed);
        let groups = [group(&prompt, &responses(&lengths, seed ^ 1))];
        let recompute = if recompute { Recompute::Always } else { Recompute::Never };
        let (_, together) = learner_with(LearnerConfig { recompute, ..LearnerConfig::default() }).gradient(&groups).unwrap();
        let longest = prompt.tokens.ids.len() + lengths.iter().max().unwrap();
        let memory_limit = Some(limit(longest, recompute == Recompute::Always));
        let apart = LearnerConfig { recompute, memory_limit, ..LearnerConfig::default() };
        let (_, apart) = learner_with(apart).gradient(&groups).unwrap();
        prop_assert!(difference(&together, &apart) < 2e-4);
    }

    #[test]
    fn responses_that_share_a_prompt_score_as_if_alone(
        text in 2usize..30,
        image in any::<bool>(),
        lengths in prop::collection::vec(1usize..20, 1..5),
        seed in any::<u64>(),
    ) {
        let model = model();
        let (prompt, responses) = (prompt(text, image, seed), responses(&lengths, seed ^ 1));
        let together = Packed::new([(&prompt, responses.iter().map(Vec::as_slice).collect())]);
        let together = log_probs(&model, &together);
        let apart: Vec<f32> = responses
            .iter()
            .flat_map(|r| log_probs(&model, &Packed::new([(&prompt, vec![r.as_slice()])])))
            .collect();
        for (a, b) in together.iter().zip(&apart) {
            prop_assert!((a - b).abs() < 2e-4, "{a} and {b}");
        }
        prop_assert_eq!(together.len(), apart.len());
    }
}

#[test]
fn sampled_log_probs_are_those_of_training() {
    let model = model();
    let prompt = Arc::new(prompt(9, true, 4));
    let sampler = TokenSampler::new(SamplingConfig { max_new_tokens: 15, ..SamplingConfig::default() }).unwrap();
    let requests = [GenerateRequest { prompt: prompt.clone(), seeds: vec![1, 2, 3, 1] }];
    let samples = generate(&model.language, Some(&adapter()), &requests, &sampler, &[7]).unwrap().remove(0);
    assert_eq!(samples[0], samples[3], "one seed, one sample");
    assert_ne!(samples[0].tokens, samples[1].tokens);
    for sample in samples {
        assert_eq!(sample.truncated, sample.tokens.last() != Some(&7));
        let packed = Packed::new([(&*prompt, vec![sample.tokens.as_slice()])]);
        let trained = packed.log_probs(&model.language, Some(&adapter()), 1.0).unwrap().log_probs;
        for (a, b) in sample.logprobs.iter().zip(trained.to_vec1::<f32>().unwrap()) {
            assert!((a - b).abs() < 2e-4, "{a} and {b}");
        }
    }
}

fn groups() -> Vec<TrainGroup> {
    [(5, true), (9, false), (3, true)]
        .iter()
        .enumerate()
        .map(|(i, &(text, image))| group(&prompt(text, image, i as u64), &responses(&[6, 1, 9, 4], i as u64)))
        .collect()
}

fn learner_with(config: LearnerConfig) -> Learner {
    let algorithm = AlgorithmConfig::default().build(128).unwrap();
    Learner::new(self::config(), model().language, adapter(), algorithm, config).unwrap()
}

/// The largest difference relative to the largest value.
fn difference(a: &Tensors, b: &Tensors) -> f32 {
    let max = |t: Tensor| t.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(a.keys().eq(b.keys()));
    let gap = a.iter().map(|(name, t)| max((t - &b[name]).unwrap())).fold(0.0, f32::max);
    gap / a.values().map(|t| max(t.clone())).fold(1e-30, f32::max)
}

/// Bytes that the learner takes for a step with micro-batches of this many tokens.
fn limit(tokens: usize, recompute: bool) -> u64 {
    let memory = Memory::new(&config(), DType::F32, adapter().config(), DeviceKind::Cpu);
    (0..).step_by(1000).find(|&bytes| memory.tokens_within(bytes, recompute) >= tokens).unwrap()
}

#[test]
fn every_way_to_cut_or_recompute_a_batch_gives_its_gradient() {
    let groups = groups();
    let plain = || LearnerConfig { micro_batch_tokens: 100_000, ..LearnerConfig::default() };
    let (whole, expected) = learner_with(plain()).gradient(&groups).unwrap();
    assert!(whole.metrics.clip_fraction == 0.0 && difference(&expected, &expected) == 0.0);
    let longest = 9 + 9 + 4;
    let ways = [
        ("groups", LearnerConfig { micro_batch_tokens: 1, ..plain() }),
        ("responses", LearnerConfig { memory_limit: Some(limit(longest, false)), ..plain() }),
        ("a prompt each", LearnerConfig { shared_prefix: SharedPrefix::None, ..plain() }),
        ("a shared prompt", LearnerConfig { shared_prefix: SharedPrefix::Prompt, ..plain() }),
        ("recomputed", LearnerConfig { recompute: Recompute::Always, ..plain() }),
        ("recomputed groups", LearnerConfig { recompute: Recompute::Always, micro_batch_tokens: 1, ..plain() }),
        ("recomputed responses", LearnerConfig { memory_limit: Some(limit(longest, true)), ..plain() }),
    ];
    for (name, config) in ways {
        let (stats, gradient) = learner_with(config).gradient(&groups).unwrap();
        assert!((whole.loss - stats.loss).abs() < 1e-5 * (1.0 + whole.loss.abs()), "{name}");
        assert!((whole.entropy - stats.entropy).abs() < 1e-5 * (1.0 + whole.entropy), "{name}");
        let gap = difference(&expected, &gradient);
        assert!(gap < 1e-4, "{name}: gradients differ by {gap}");
    }
}

/// Responses with common beginnings: of few different tokens, and edited copies of one another.
fn alike() -> impl Strategy<Value = Vec<Vec<u32>>> {
    let sampled = prop::collection::vec(prop::collection::vec(1u32..3, 1..12), 1..4);
    (sampled, prop::collection::vec((0usize..12, prop::collection::vec(1u32..40, 0..6)), 0..4)).prop_map(
        |(mut responses, edits)| {
            for (i, (at, tail)) in edits.into_iter().enumerate() {
                let source = &responses[i % responses.len()];
                let mut edited = source[..at.min(source.len())].to_vec();
                edited.extend(tail);
                edited.push(0);
                responses.push(edited);
            }
            responses
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn common_beginnings_computed_once_give_the_same_values_and_gradients(
        each in prop::collection::vec(alike(), 1..3),
        seed in 0u64..1000,
    ) {
        let prompts: Vec<_> = (0..each.len() as u64).map(|i| prompt(4, i == 0, seed + i)).collect();
        let pairs = || prompts.iter().zip(&each).map(|(p, r)| (p, r.iter().map(Vec::as_slice).collect()));
        let (trie, apart) = (Packed::new(pairs()), Packed::apart(pairs()));
        let prefixes: usize = each.iter().map(|responses| {
            let mut read: Vec<&[u32]> =
                responses.iter().flat_map(|r| (1..r.len()).map(move |n| &r[..n])).collect();
            read.sort();
            read.dedup();
            read.len()
        }).sum();
        let text: usize = prompts.iter().map(|p| p.tokens.ids.len()).sum();
        prop_assert_eq!(trie.ids.len(), text + prefixes);

        let (model, adapter) = (model(), adapter());
        let values = |packed: &Packed| {
            let both = packed.log_probs(&model.language, Some(&adapter), 0.8).unwrap();
            Tensor::stack(&[both.log_probs, both.entropy], 0).unwrap()
        };
        let gap = (values(&trie) - values(&apart)).unwrap().abs().unwrap().max_all().unwrap();
        prop_assert!(gap.to_scalar::<f32>().unwrap() < 1e-4);

        let groups: Vec<_> = prompts.iter().zip(&each).map(|(p, r)| group(p, r)).collect();
        let gradient = |shared_prefix| {
            learner_with(LearnerConfig { shared_prefix, ..LearnerConfig::default() }).gradient(&groups).unwrap().1
        };
        let gap = difference(&gradient(SharedPrefix::Prompt), &gradient(SharedPrefix::Trie));
        prop_assert!(gap < 2e-4, "gradients differ by {}", gap);
    }
}

#[test]
fn a_response_that_cannot_fit_is_refused_with_the_memory_it_would_need() {
    let config = LearnerConfig { memory_limit: Some(limit(8, true)), ..LearnerConfig::default() };
    let error = learner_with(config).gradient(&groups()).err().unwrap().to_string();
    assert!(error.contains("memory_limit") && error.contains("bytes"), "{error}");
}

#[test]
fn one_and_two_devices_give_the_same_gradient() {
    let one = || learner_with(LearnerConfig::default());
    let (_, expected) = one().gradient(&groups()).unwrap();
    let (_, gradient) = one().with_replicas([model().language]).gradient(&groups()).unwrap();
    assert!(difference(&expected, &gradient) < 1e-4);
}

#[test]
fn a_learner_restored_from_its_state_goes_on_bit_for_bit() {
    let groups = [group(&prompt(5, true, 1), &responses(&[6, 3, 9, 4], 1))];
    let mut one = learner(100);
    one.step(&groups).unwrap();
    let state = LearnerState::from_bytes(&one.state().unwrap().to_bytes()).unwrap();
    let mut two = learner(100);
    two.restore(&state, &Device::Cpu).unwrap();
    one.step(&groups).unwrap();
    two.step(&groups).unwrap();
    assert!(one.adapter() == two.adapter());
    assert_eq!(two.steps(), 2);
    for cut in [0, 10, 40] {
        assert!(
            LearnerState::from_bytes(&state.to_bytes()[..cut]).and_then(|s| two.restore(&s, &Device::Cpu)).is_err()
        );
    }
}

#[test]
fn a_reward_that_is_not_finite_changes_nothing() {
    let mut broken = group(&prompt(5, true, 1), &responses(&[6, 3], 1));
    broken.responses[0].reward = f64::NAN;
    let mut learner = learner(100);
    let before = learner.adapter();
    if let Ok(stats) = learner.step(&[broken]) {
        assert!(stats.skipped);
    }
    assert!(learner.adapter() == before);
}

#[test]
fn a_better_response_becomes_more_likely() {
    let (prompt, responses) = (prompt(6, true, 5), responses(&[8, 8], 6));
    let model = model();
    let score = |learner: &Learner, i: usize| -> f32 {
        let packed = Packed::new([(&prompt, vec![responses[i].as_slice()])]);
        let log_probs = packed.log_probs(&model.language, Some(&learner.adapter()), 1.0).unwrap().log_probs;
        log_probs.sum_all().unwrap().to_scalar().unwrap()
    };
    let mut learner = learner(100);
    let before = [score(&learner, 0), score(&learner, 1)];
    for _ in 0..3 {
        let mut group = group(&prompt, &responses);
        group.responses.iter_mut().for_each(|r| r.behaviour = None);
        learner.step(&[group]).unwrap();
    }
    // Response 1 earned 1, response 0 nothing.
    assert!(score(&learner, 1) > before[1] && score(&learner, 0) < before[0]);
}
