//! Continuous batching: what shares a batch, and when it came, is nothing to a sample.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use addendum_kernels::FEW;
use addendum_policy::{
    Adapter, Config, Error, Policy, Result,
    generate::{Batch, BatchConfig, GenerateRequest, Sample, Versioned},
    model::{Language, Model, Weights},
    pack::{EncodedPrompt, PromptTokens},
};
use candle_core::{DType, Device, Tensor};
use proptest::{prelude::*, sample::Index};

use crate::sampling::{adapter, policy, request, sampler};

/// Tokens that end a response: one in ten of an untrained model's.
const ENDS: std::ops::Range<u32> = 0..27;

const LONGEST: usize = 12;

/// A request, the adapter that it is sampled with, and the step before which it comes.
#[derive(Clone, Debug)]
struct Arrival {
    prompt: u32,
    seeds: Vec<u64>,
    adapter: usize,
    step: usize,
}

impl Arrival {
    fn request(&self) -> GenerateRequest {
        request(self.prompt, self.seeds.clone())
    }
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    // Few prompts, so that requests share them.
    let prompts = prop::collection::vec(1u32..40, 1..4);
    let one = (any::<Index>(), prop::collection::vec(0u64..1000, 0..13), 0usize..3, 0usize..30);
    (prompts, prop::collection::vec(one, 1..9)).prop_map(|(prompts, requests)| {
        let arrival = |(prompt, seeds, adapter, step): (Index, _, _, _)| Arrival {
            prompt: *prompt.get(&prompts),
            seeds,
            adapter,
            step,
        };
        requests.into_iter().map(arrival).collect()
    })
}

fn batch(language: &Language, config: BatchConfig) -> Batch<'static> {
    Batch::new(language.clone(), sampler(LONGEST), &ENDS.collect::<Vec<_>>(), config).unwrap()
}

/// Steps until nothing is under way; the samples by request.
fn run(batch: &mut Batch, arrivals: &[Arrival], adapters: &[Option<Arc<Adapter>>]) -> Vec<Option<Vec<Sample>>> {
    let mut found = vec![None; arrivals.len()];
    let last = arrivals.iter().map(|arrival| arrival.step).max().unwrap_or(0);
    for step in 0.. {
        for (id, arrival) in (0..).zip(arrivals).filter(|(_, arrival)| arrival.step == step) {
            let policy = Versioned { version: arrival.adapter as u64, adapter: adapters[arrival.adapter].clone() };
            batch.admit(id, arrival.request(), move || Ok(policy.clone())).unwrap();
        }
        for (id, samples) in batch.step() {
            assert!(found[id as usize].replace(samples.unwrap()).is_none(), "request {id} ended twice");
        }
        if step >= last && batch.is_empty() {
            break;
        }
        assert!(step < 5000, "no end in sight: {:?}", batch.load());
    }
    found
}

fn adapters(policy: &Policy) -> [Option<Arc<Adapter>>; 3] {
    [None, Some(Arc::new(adapter(policy, 1))), Some(Arc::new(adapter(policy, 2)))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_sample_is_the_same_bit_for_bit_whatever_shares_the_batch(
        arrivals in arrivals(),
        max_sequences in 1usize..24,
        budget in prop::option::of(0usize..200),
        prefill_tokens in 3usize..50,
        threads in 1usize..5,
    ) {
        let policy = policy();
        let (language, adapters) = (&policy.model().language, adapters(&policy));
        let alone = |arrival: &Arrival| {
            let mut batch = batch(language, BatchConfig { prefill_tokens, ..BatchConfig::default() });
            run(&mut batch, &[Arrival { step: 0, ..arrival.clone() }], &adapters).remove(0)
        };
        let expected: Vec<_> = arrivals.iter().map(alone).collect();

        let longest_prompt = arrivals.iter().map(|arrival| arrival.prompt as usize).max().unwrap();
        let cache_bytes = budget.map(|spare| (longest_prompt + LONGEST + spare) as u64 * language.cache_row_bytes());
        let mut batch = batch(language, BatchConfig { max_sequences, cache_bytes, prefill_tokens });
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| run(&mut batch, &arrivals, &adapters));
        prop_assert_eq!(found, expected);
        let load = batch.load();
        prop_assert_eq!((load.sequences, load.waiting, load.rows), (0, 0, 0), "something was left behind");
    }

    #[test]
    fn a_batch_stays_within_its_limits(
        arrivals in arrivals(),
        max_sequences in 1usize..24,
        spare in 0usize..100,
    ) {
        let policy = policy();
        let language = &policy.model().language;
        let bytes = (40 + LONGEST + spare) as u64 * language.cache_row_bytes();
        let mut batch = batch(language, BatchConfig { max_sequences, cache_bytes: Some(bytes), ..BatchConfig::default() });
        for (id, arrival) in (0..).zip(&arrivals) {
            batch.admit(id, arrival.request(), || Ok(Versioned { version: 0, adapter: None })).unwrap();
            batch.step();
            let load = batch.load();
            prop_assert!(load.sequences <= max_sequences, "{load:?}");
            prop_assert!(load.rows <= load.capacity && load.capacity == 40 + LONGEST + spare, "{load:?}");
            prop_assert!(!batch.has_room() || (load.waiting == 0 && load.sequences < max_sequences), "{load:?}");
        }
    }
}

#[test]
fn large_weights_and_more_samples_than_a_pass_takes_change_no_bit() {
    // Wide enough that a general product adds up in blocks, as one of few rows does not.
    let mut config = Config::tiny(17_000);
    (config.text.hidden_size, config.text.layers, config.vision.out_hidden_size) = (1024, 1, 1024);
    (config.text.heads, config.text.kv_heads, config.text.mrope_section) = (8, 2, [16, 24, 24]);
    // Logits so large that a difference in their last bits shows in log-probabilities.
    let weights = Weights::random(&config, 1, DType::F32, &Device::Cpu).unwrap();
    let larger = weights.tensors().iter().map(|(name, t)| {
        let factor = if t.rank() > 1 { 20.0 } else { 1.0 };
        (name.clone(), (t * factor).unwrap())
    });
    let language = Model::new(&config, &Weights::new(larger.collect(), "test".as_ref())).unwrap().language;
    let samples = |seeds: Vec<u64>| {
        let config = BatchConfig { max_sequences: 2 * FEW, ..BatchConfig::default() };
        let mut batch = Batch::new(language.clone(), sampler(2), &[], config).unwrap();
        batch.admit(0, request(5, seeds), || Ok(Versioned { version: 0, adapter: None })).unwrap();
        let mut ended = vec![];
        while ended.is_empty() {
            ended = batch.step();
        }
        ended.remove(0).1.unwrap()
    };
    assert!(language.bytes() > 64 << 20);
    let together = samples((0..FEW as u64 + 2).collect());
    for seed in [0, FEW / 2, FEW + 1] {
        assert_eq!(together[seed], samples(vec![seed as u64])[0]);
    }
}

#[test]
fn chunks_of_a_prompt_with_images_change_roundings_only() {
    let policy = policy();
    let image = policy.tokenizer().special().image_pad;
    let ids = [vec![40, 41], vec![image; 4], vec![42; 7], vec![image; 4], vec![43]].concat();
    let tokens = PromptTokens::new(ids, image, &[[1, 4, 4]; 2], 2).unwrap();
    let features = Tensor::randn(0f32, 1.0, (8, policy.config().text.hidden_size), &Device::Cpu).unwrap();
    let prompt = Arc::new(EncodedPrompt { tokens, features: Some(features) });
    let logprobs = |prefill_tokens| {
        let mut batch = batch(&policy.model().language, BatchConfig { prefill_tokens, ..BatchConfig::default() });
        let request = GenerateRequest { prompt: prompt.clone(), seeds: vec![3] };
        batch.admit(0, request, || Ok(Versioned { version: 0, adapter: None })).unwrap();
        let mut ended = vec![];
        let mut steps = 0;
        while ended.is_empty() {
            ended = batch.step();
            steps += 1;
        }
        let sample = ended.remove(0).1.unwrap().remove(0);
        (sample.logprobs, sample.tokens, steps)
    };
    let (whole, tokens, steps) = logprobs(512);
    for chunk in [1, 3, 5] {
        let (chunked, same, more) = logprobs(chunk);
        assert_eq!(same, tokens);
        assert_eq!(more, steps + 18usize.div_ceil(chunk) - 1, "one chunk per step");
        assert!(whole.iter().zip(&chunked).all(|(a, b)| (a - b).abs() < 1e-4), "{whole:?} {chunked:?}");
    }
}

#[test]
fn a_long_prompt_stalls_nobody() {
    let policy = policy();
    let config = BatchConfig { prefill_tokens: 4, ..BatchConfig::default() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let language = policy.model().language.clone();
    let mut batch = Batch::new(language, sampler(8), &[], config).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let newest = move || {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(Versioned { version: 0, adapter: None })
    };
    let fixed = || Ok(Versioned { version: 0, adapter: None });
    pool.install(|| {
        batch.admit(7, request(3, [1]), newest).unwrap();
        batch.step();
        batch.admit(8, request(39, [1]), fixed).unwrap();
        // Eight tokens, two of them in the first step.
        for _ in 0..5 {
            assert!(batch.step().is_empty());
        }
        let ended = batch.step();
        assert_eq!(ended.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [7]);
    });
    assert_eq!(asked.load(Ordering::SeqCst), 7);
}

#[test]
fn a_request_that_can_never_fit_is_refused_by_what_it_needs() {
    let policy = policy();
    let language = &policy.model().language;
    let bytes = 30 * language.cache_row_bytes();
    let mut batch = batch(language, BatchConfig { cache_bytes: Some(bytes), ..BatchConfig::default() });
    let fixed = || Ok(Versioned { version: 0, adapter: None });
    batch.admit(0, request(18, [1, 2, 3]), fixed).unwrap();
    let error = batch.admit(1, request(19, [1]), fixed).unwrap_err().to_string();
    let needed = 31 * language.cache_row_bytes();
    assert_eq!(error, format!("cache_bytes: is {bytes}; a prompt of 19 tokens and a report of 12 need {needed} bytes"));
    let mut ended = vec![];
    while !batch.is_empty() {
        ended.extend(batch.step());
    }
    assert!(matches!(&ended[..], [(0, Ok(samples))] if samples.len() == 3), "{ended:?}");
}

#[test]
fn an_error_of_one_request_costs_the_others_nothing() {
    let policy = policy();
    let language = &policy.model().language;
    let mut alone = batch(language, BatchConfig::default());
    let fixed = || Ok(Versioned { version: 0, adapter: None });
    let good = request(9, [1, 2, 3]);
    alone.admit(0, good.clone(), fixed).unwrap();
    let mut expected = vec![];
    while !alone.is_empty() {
        expected.extend(alone.step());
    }

    let mut batch = batch(language, BatchConfig::default());
    let asked = AtomicUsize::new(0);
    let fails_later = move || -> Result<Versioned> {
        match asked.fetch_add(1, Ordering::SeqCst) {
            3 => Err(Error::invalid("adapter", "is gone")),
            _ => Ok(Versioned { version: 0, adapter: None }),
        }
    };
    let not_finite = EncodedPrompt {
        tokens: PromptTokens { image_at: vec![1], ..request(4, []).prompt.tokens.clone() },
        features: Some(Tensor::full(f32::NAN, (1, 128), &Device::Cpu).unwrap()),
    };
    batch.admit(1, request(9, [7, 8]), fails_later).unwrap();
    batch.admit(2, GenerateRequest { prompt: Arc::new(not_finite), seeds: vec![1] }, fixed).unwrap();
    batch.admit(3, request(2, [1]), || Err(Error::invalid("adapter", "was never there"))).unwrap();
    batch.admit(0, good, fixed).unwrap();
    let mut ended = vec![];
    while !batch.is_empty() {
        ended.extend(batch.step());
    }
    ended.sort_by_key(|(id, _)| *id);
    let error = |id: usize| ended[id].1.as_ref().unwrap_err().to_string();
    assert_eq!(ended[0].1.as_ref().unwrap(), expected[0].1.as_ref().unwrap());
    assert_eq!(error(1), "adapter: is gone");
    assert!(error(2).contains("is NaN"), "{}", error(2));
    assert_eq!(error(3), "adapter: was never there");
    assert_eq!(batch.load().rows, 0);
}
