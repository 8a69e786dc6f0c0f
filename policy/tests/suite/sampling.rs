//! Sampling: what a sample depends on, and what is never drawn.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use addendum_policy::{
    Adapter, Config, LoraConfig, Policy,
    generate::{GenerateRequest, Sample, Versioned, generate},
    image::ImageConfig,
    model::Weights,
    pack::{EncodedPrompt, PromptTokens},
    sampling::{SamplingConfig, TokenSampler},
    tokenizer::ReportTokenizer,
};
use candle_core::{DType, Device};

fn policy() -> Policy {
    let tokenizer = ReportTokenizer::train(["The lungs are clear.", "The heart is large."], 270).unwrap();
    let special = tokenizer.special();
    let mut config = Config::tiny(tokenizer.vocab_size());
    config.image_token_id = special.image_pad;
    config.vision_start_token_id = special.vision_start;
    config.vision_end_token_id = special.vision_end;
    config.eos_token_id = special.turn_end;
    let weights = Weights::random(&config, 3, DType::F32, &Device::Cpu).unwrap();
    Policy::new(config, weights, tokenizer, ImageConfig::default(), Device::Cpu).unwrap()
}

fn request(length: u32, seeds: impl IntoIterator<Item = u64>) -> GenerateRequest {
    let ids = (0..length).map(|i| (i * 7 + length) % 100).collect();
    let tokens = PromptTokens::new(ids, u32::MAX, &[], 2).unwrap();
    GenerateRequest { prompt: Arc::new(EncodedPrompt { tokens, features: None }), seeds: seeds.into_iter().collect() }
}

fn sampler(max_new_tokens: usize) -> TokenSampler {
    TokenSampler::new(SamplingConfig { max_new_tokens, ..SamplingConfig::default() }).unwrap()
}

#[test]
fn no_token_of_images_or_videos_is_ever_sampled() {
    let policy = policy();
    let vision = policy.tokenizer().special().vision();
    let requests = [request(5, 0..60)];
    let count = |samples: Vec<Vec<Sample>>| {
        samples.iter().flatten().flat_map(|s| &s.tokens).filter(|token| vision.contains(token)).count()
    };
    // An untrained model finds all tokens about equally likely.
    let free = generate(&policy.model().language, None, &requests, &sampler(20), &[]).unwrap();
    assert!(count(free) > 5);
    assert_eq!(count(policy.generate(None, &requests, &sampler(20)).unwrap()), 0);
}

#[test]
fn a_sample_depends_on_its_prompt_and_seed_alone() {
    let policy = policy();
    let requests = [request(9, [1, 2, 3]), request(30, []), request(17, [4]), request(2, 5..45), request(9, 50..80)];
    let sample = |requests: &[GenerateRequest], threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| policy.generate(None, requests, &sampler(12))).unwrap()
    };
    let together = sample(&requests, 1);
    assert_eq!(together.iter().map(Vec::len).collect::<Vec<_>>(), [3, 0, 1, 40, 30]);
    assert_eq!(together, sample(&requests, 3));
    for (request, expected) in requests.iter().zip(&together).filter(|(r, _)| !r.seeds.is_empty()) {
        let alone = GenerateRequest { prompt: request.prompt.clone(), seeds: vec![request.seeds[0]] };
        assert_eq!(sample(&[alone], 2)[0][0], expected[0]);
    }
}
