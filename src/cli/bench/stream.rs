//! Sampling as a sampler of a run does it: studies come as long as there is room, and share a batch.

use std::{collections::VecDeque, sync::Arc};

use addendum::host;
use addendum_policy::{
    Adapter, SamplingConfig,
    generate::{Batch, BatchConfig, GenerateRequest, Versioned},
    pack::EncodedPrompt,
    sampling::TokenSampler,
};
use anyhow::{Context, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::{bed::Bed, clock::timed, workload::Workload};

/// Studies that go through the batch, for each that it holds at a time.
const TURNS: usize = 4;

/// Samples a stream of studies, `in_flight` of them at a time, again and again; returns the report.
pub fn run(workload: &Workload, in_flight: usize) -> Result<Value> {
    let bed = Bed::new(workload)?;
    let prompts = bed.encode()?;
    let adapter = Arc::new(Adapter::new(&bed.config, workload.lora(), workload.seed, &bed.device)?);
    let (mut seconds, mut steps) = (Vec::new(), 0);
    for repeat in 0..=workload.repeat {
        let (stream, took) = timed(|| stream(workload, &bed, &prompts, &adapter, in_flight));
        steps = stream?;
        if repeat > 0 {
            seconds.push(took);
        }
    }
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let median = *sorted.get((sorted.len() - 1) / 2).context("nothing was timed")?;
    let tokens = TURNS * in_flight * workload.group_size * workload.new_tokens;
    Ok(json!({
        "bench": "stream",
        "in_flight": in_flight,
        "sequences": in_flight * workload.group_size,
        "tokens_per_second": tokens as f64 / median,
        "seconds": seconds,
        "steps": steps,
        "peak_rss_bytes": host::peak_resident(),
        "cpu": host::cpu_model(),
        "threads": rayon::current_num_threads(),
        "parameters": bed.parameters(),
        "tokens_per_prompt": bed.prompt_tokens(),
        "config": workload,
    }))
}

/// The whole stream once; returns the steps that it took.
fn stream(
    workload: &Workload,
    bed: &Bed,
    prompts: &[Arc<EncodedPrompt>],
    adapter: &Arc<Adapter>,
    in_flight: usize,
) -> Result<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(workload.seed);
    let mut request = |prompt: &Arc<EncodedPrompt>| {
        let seeds = (0..workload.group_size).map(|_| rng.random()).collect();
        GenerateRequest { prompt: prompt.clone(), seeds }
    };
    let mut to_come: VecDeque<_> = prompts.iter().cycle().take(TURNS * in_flight).map(&mut request).collect();
    let sampling = SamplingConfig { max_new_tokens: workload.new_tokens, ..SamplingConfig::default() };
    let sampler = TokenSampler::new(sampling)?.without(&bed.config.vision_tokens());
    let language = &bed.model.language;
    let config = BatchConfig { max_sequences: in_flight * workload.group_size, ..BatchConfig::busy(language) };
    // No token ends a response.
    let mut batch = Batch::new(language.clone(), sampler, &[], config)?;
    let mut steps = 0;
    loop {
        while batch.has_room()
            && let Some(request) = to_come.pop_front()
        {
            let policy = Versioned { version: 0, adapter: Some(adapter.clone()) };
            batch.admit(to_come.len() as u64, request, move || Ok(policy.clone()))?;
        }
        if batch.is_empty() {
            return Ok(steps);
        }
        for (_, samples) in batch.step() {
            samples?;
        }
        steps += 1;
    }
}
