//! What a training step and a sampler take is what was predicted for them. Alone in its file, because it counts all allocations of the
//! process.

use std::sync::Arc;

use addendum_policy::{
    Adapter, Config, Learner, LearnerConfig, LoraConfig, SamplingConfig,
    algorithm::AlgorithmConfig,
    generate::{Batch, BatchConfig, GenerateRequest, Versioned},
    learner::{Recompute, TrainGroup, TrainResponse},
    memory::{DeviceKind, Memory, StepShape},
    model::{Model, Weights},
    pack::{EncodedPrompt, PromptTokens},
    sampling::TokenSampler,
};
use candle_core::{DType, Device};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

fn config() -> Config {
    let mut config = Config::tiny(20_000);
    (config.text.hidden_size, config.text.intermediate_size, config.text.layers) = (256, 704, 6);
    config.text.mrope_section = [8, 12, 12];
    (config.vision.out_hidden_size, config.vision.depth, config.image_token_id) = (256, 1, 19_999);
    config
}

fn group(prompt: usize, responses: &[usize]) -> TrainGroup {
    // No two begin alike.
    let tokens = |first: usize, count: usize| (0..count).map(|i| ((first + i) * 7 % 1000) as u32).collect::<Vec<_>>();
    let prompt = PromptTokens::new(tokens(0, prompt), 19_999, &[], 2).unwrap();
    let response =
        |(i, &n): (usize, &usize)| TrainResponse { tokens: tokens(i, n), reward: i as f64, ..TrainResponse::default() };
    TrainGroup {
        prompt: Arc::new(EncodedPrompt { tokens: prompt, features: None }),
        responses: responses.iter().enumerate().map(response).collect(),
    }
}

/// Peak and prediction of one step, in bytes.
fn step(dtype: DType, recompute: Recompute, groups: &[TrainGroup], limit: Option<u64>) -> (f64, f64) {
    let before = ALLOCATED.current_usage();
    let config = config();
    let weights = Weights::random(&config, 0, dtype, &Device::Cpu).unwrap();
    let language = Model::taking(&config, weights).unwrap().language;
    let lora = LoraConfig::default();
    let adapter = Adapter::new(&config, lora.clone(), 0, &Device::Cpu).unwrap();
    let settings = LearnerConfig { recompute, memory_limit: limit, ..LearnerConfig::default() };
    let algorithm = AlgorithmConfig::default().build(128).unwrap();
    let mut learner = Learner::new(config.clone(), language, adapter, algorithm, settings).unwrap();
    ALLOCATED.reset_peak_usage();
    learner.step(groups).unwrap();
    let peak = (ALLOCATED.peak_usage() - before) as f64;

    let (tokens, response_tokens) = groups.iter().fold((0, 0), |(all, responses), g| {
        let own = g.responses.iter().map(|r| r.tokens.len()).sum::<usize>();
        (all + g.tokens(), responses + own)
    });
    let recompute = recompute == Recompute::Always;
    let shape = StepShape { tokens, response_tokens, recompute };
    (peak, Memory::new(&config, dtype, &lora, DeviceKind::Cpu).step(shape).total() as f64)
}

/// Peak and prediction of a sampler, in bytes besides the weights, with `requests` prompts of 300 tokens that are sampled
/// four times each.
fn sampling(requests: u64, batch: &BatchConfig) -> (f64, f64) {
    let config = config();
    let weights = Weights::random(&config, 0, DType::F32, &Device::Cpu).unwrap();
    let language = Model::new(&config, &weights).unwrap().language;
    let (prompt, tokens) = (group(300, &[]).prompt, 50);
    let sampler = TokenSampler::new(SamplingConfig { max_new_tokens: tokens, ..SamplingConfig::default() }).unwrap();
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let mut sampling = Batch::new(language, sampler, &[], batch.clone()).unwrap();
    for id in 0..requests {
        let request = GenerateRequest { prompt: prompt.clone(), seeds: vec![id; 4] };
        sampling.admit(id, request, || Ok(Versioned { version: 0, adapter: None })).unwrap();
    }
    // With several threads that compute apart there are as many prompts as threads at a time.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        while !sampling.is_empty() {
            sampling.step().into_iter().for_each(|(_, samples)| drop(samples.unwrap()));
        }
    });
    let peak = (ALLOCATED.peak_usage() - before) as f64;
    let memory = Memory::new(&config, DType::F32, &LoraConfig::default(), DeviceKind::Cpu);
    let sequences = batch.max_sequences.min(4 * requests as usize);
    let predicted = memory.batch(batch, 300, [sequences, 4], tokens) - memory.weights() - memory.adapter();
    (peak, predicted as f64)
}

fn a_sampler_takes_the_memory_predicted_for_it() {
    let unlimited = BatchConfig { max_sequences: 16, ..BatchConfig::default() };
    let limited = BatchConfig { cache_bytes: Some(20 << 20), ..unlimited.clone() };
    for (requests, batch) in [(2, &unlimited), (6, &unlimited), (6, &limited)] {
        let (peak, predicted) = sampling(requests, batch);
        let off = peak / predicted - 1.0;
        assert!(off.abs() < 0.2, "{batch:?}: {peak} bytes, {predicted} predicted ({off:+.2})");
    }
}

#[test]
fn a_step_and_a_sampler_take_the_memory_predicted_for_them() {
    a_sampler_takes_the_memory_predicted_for_it();
    let groups = [group(300, &[100, 90, 110])];
    for dtype in [DType::F32, DType::BF16] {
        for recompute in [Recompute::Never, Recompute::Always] {
            let (peak, predicted) = step(dtype, recompute, &groups, None);
            let off = peak / predicted - 1.0;
            assert!(off.abs() < 0.15, "{dtype:?} {recompute:?}: {peak} bytes, {predicted} predicted ({off:+.2})");
        }
    }
    let (plain, _) = step(DType::BF16, Recompute::Never, &groups, None);
    let (recomputed, _) = step(DType::BF16, Recompute::Always, &groups, None);
    assert!(recomputed < 0.75 * plain, "{recomputed} against {plain}");

    // A limit between the two is kept to, with layers computed again and in parts.
    for limit in [0.9 * plain, 0.95 * recomputed] {
        let (peak, _) = step(DType::BF16, Recompute::WhenNeeded, &groups, Some(limit as u64));
        assert!(peak < 1.15 * limit, "{peak} bytes with a limit of {limit}");
    }
}
