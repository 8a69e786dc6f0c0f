//! Sampling: what a sample depends on, and what is never drawn.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use addendum_policy::{
    Adapter, Config, LoraConfig, Policy,
    generate::{GenerateRequest, Sample, Versioned, generate, generate_swapping},
    image::ImageConfig,
    model::Weights,
    pack::{EncodedPrompt, PromptTokens},
    sampling::{SamplingConfig, TokenSampler},
    tokenizer::ReportTokenizer,
};
use candle_core::{DType, Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub fn policy() -> Policy {
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

pub fn request(length: u32, seeds: impl IntoIterator<Item = u64>) -> GenerateRequest {
    let ids = (0..length).map(|i| (i * 7 + length) % 100).collect();
    let tokens = PromptTokens::new(ids, u32::MAX, &[], 2).unwrap();
    GenerateRequest { prompt: Arc::new(EncodedPrompt { tokens, features: None }), seeds: seeds.into_iter().collect() }
}

pub fn sampler(max_new_tokens: usize) -> TokenSampler {
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

/// An adapter whose every weight is random.
pub fn adapter(policy: &Policy, seed: u64) -> Adapter {
    let config = LoraConfig { rank: 4, ..LoraConfig::default() };
    let fresh = Adapter::new(policy.config(), config, 2, &Device::Cpu).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let tensors = fresh.tensors().iter().map(|(name, tensor)| {
        let values: Vec<f32> = (0..tensor.elem_count()).map(|_| rng.random_range(-0.3..0.3)).collect();
        (name.clone(), Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap())
    });
    Adapter::from_tensors(policy.config(), fresh.config().clone(), tensors.collect()).unwrap()
}

#[test]
fn tokens_before_a_swap_are_those_of_the_old_adapter_and_every_token_names_its_version() {
    let policy = policy();
    let (old, new) = (adapter(&policy, 1), adapter(&policy, 2));
    let (language, length, swap_at) = (&policy.model().language, 12, 5);
    for request in [request(9, [1, 2, 3]), request(17, [4])] {
        let requests = [request];
        // Without an end no sample leaves before the others.
        let alone = |adapter| generate(language, Some(adapter), &requests, &sampler(length), &[]);
        let (of_old, of_new) = (alone(&old).unwrap(), alone(&new).unwrap());
        assert!(of_old.iter().flatten().all(|sample| sample.versions == vec![0; length]));

        let swapping = |swap_at: usize| {
            let asked = AtomicUsize::new(0);
            let (old, new) = (Arc::new(old.clone()), Arc::new(new.clone()));
            let newest = || {
                // The first step draws two tokens: that after the prompt, and the next one.
                let token = match asked.fetch_add(1, Ordering::SeqCst) {
                    0 => 0,
                    step => step + 1,
                };
                let (version, adapter) = if token < swap_at { (7, &old) } else { (8, &new) };
                Ok(Versioned { version, adapter: Some(adapter.clone()) })
            };
            generate_swapping(language, &newest, &requests, &sampler(length), &[]).unwrap()
        };
        let mixed = swapping(swap_at);
        for (mixed, old) in mixed.iter().flatten().zip(of_old.iter().flatten()) {
            assert_eq!(mixed.tokens[..swap_at], old.tokens[..swap_at]);
            assert_eq!(mixed.logprobs[..swap_at], old.logprobs[..swap_at]);
            assert_ne!(mixed.logprobs[swap_at], old.logprobs[swap_at], "the new adapter changed nothing");
            assert_eq!(mixed.versions, [vec![7; swap_at], vec![8; length - swap_at]].concat());
        }
        let unversioned = |samples: Vec<Vec<Sample>>| -> Vec<Sample> {
            samples.into_iter().flatten().map(|sample| Sample { versions: vec![], ..sample }).collect()
        };
        assert_eq!(unversioned(swapping(length)), unversioned(of_old), "no swap, another outcome");
        assert_eq!(unversioned(swapping(0)), unversioned(of_new), "an early swap, another outcome");
    }
}
