//! What a training step takes is what was predicted for it. Alone in its file, because it counts all allocations of the
//! process.

use std::sync::Arc;

use addendum_policy::{
    Adapter, Config, Learner, LearnerConfig, LoraConfig,
    algorithm::AlgorithmConfig,
    learner::{Recompute, TrainGroup, TrainResponse},
    memory::{Memory, StepShape},
    model::{Model, Weights},
    pack::{EncodedPrompt, PromptTokens},
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
    (peak, Memory::new(&config, dtype, &lora).step(shape).total() as f64)
}

#[test]
fn a_step_takes_the_memory_predicted_for_it() {
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
    assert!(recomputed < 0.6 * plain, "{recomputed} against {plain}");

    // A limit between the two is kept to, with layers computed again and in parts.
    for limit in [0.9 * plain, 0.95 * recomputed] {
        let (peak, _) = step(DType::BF16, Recompute::WhenNeeded, &groups, Some(limit as u64));
        assert!(peak < 1.15 * limit, "{peak} bytes with a limit of {limit}");
    }
}
