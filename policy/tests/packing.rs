//! Packing is exact: a prompt shared by several responses gives the log-probabilities and gradients of separate ones.

use std::sync::Arc;

use addendum_policy::{
    Adapter, Config, LearnerConfig, LoraConfig,
    filter::{SamplingConfig, TokenSampler},
    generate::{GenerateRequest, generate},
    learner::{Learner, LearnerState, TrainGroup, TrainResponse},
    model::{Model, Weights},
    pack::{EncodedPrompt, Packed, PromptTokens},
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
    };
    TrainGroup { prompt: Arc::new(prompt.clone()), responses: responses.iter().enumerate().map(response).collect() }
}

fn learner(micro_batch_tokens: usize) -> Learner {
    let mut config = LearnerConfig { micro_batch_tokens, ..LearnerConfig::default() };
    config.schedule.learning_rate = 1e-2;
    Learner::new(self::config(), model().language, adapter(), config).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

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

#[test]
fn micro_batches_give_the_gradient_of_the_whole_batch() {
    let groups: Vec<TrainGroup> = [(5, true), (9, false), (3, true)]
        .iter()
        .enumerate()
        .map(|(i, &(text, image))| group(&prompt(text, image, i as u64), &responses(&[6, 1, 9, 4], i as u64)))
        .collect();
    let run = |micro_batch_tokens| {
        let mut learner = learner(micro_batch_tokens);
        let stats = learner.step(&groups).unwrap();
        (stats, learner.adapter())
    };
    let ((whole, a), (parts, b)) = (run(100_000), run(1));
    assert!((whole.loss - parts.loss).abs() < 1e-5 * (1.0 + whole.loss.abs()));
    assert!((whole.gradient_norm - parts.gradient_norm).abs() < 1e-4 * whole.gradient_norm);
    assert!(whole.gradient_norm > 0.0 && whole.metrics.clip_fraction == 0.0);
    // Where a gradient is at rounding level, Adam's first step may go either way; hence the mean.
    let (mut total, mut count) = (0.0, 0);
    for (name, tensor) in a.tensors() {
        let difference = (tensor - &b.tensors()[name]).unwrap().abs().unwrap().sum_all().unwrap();
        total += difference.to_scalar::<f32>().unwrap();
        count += tensor.elem_count();
    }
    assert!(total / (count as f32) < 1e-4, "mean difference {}", total / count as f32);
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
