//! Timing the policy (sampling, a learning step, or a whole GRPO iteration without actors), the rewards, and the actors
//! without either.
//!
//! The policy works on token ids, so that a model needs no tokenizer: prompts are random images and random text,
//! responses have a forced length. What the model says is worthless; what it costs is not.

mod bed;
mod clock;
mod counts;
mod decoding;
mod iteration;
mod pipeline;
mod prediction;
mod rewards;
mod stream;
mod trie;
mod unigram;
mod work;
mod workload;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use addendum::host;
use bed::Bed;
use clock::{Laps, median_and_shortest};
use counts::{at_least_one, cores};
use iteration::Iteration;
use pipeline::Pipeline;
use rewards::Rewards;
use work::Work;
use workload::{Stage, Workload};

/// What is timed.
#[derive(Subcommand)]
pub enum Bench {
    /// Responses from prompts.
    Sample(Sample),
    /// One update from given responses.
    Step(Workload),
    /// Sampling, reward, update, and the new adapter in the sampler.
    Loop(Workload),
    /// Reports against references by the networks of CheXbert and RaTEScore, with random weights of the published sizes.
    Rewards(Rewards),
    /// The actors over simulated devices: how much of the devices' time they use, and how much they take themselves.
    Pipeline(Pipeline),
}

#[derive(Args)]
pub struct Sample {
    #[command(flatten)]
    workload: Workload,
    /// Sample a stream of four times as many studies, this many at a time, as a sampler of a run does.
    #[arg(long, value_name = "STUDIES", value_parser = at_least_one)]
    in_flight: Option<usize>,
}

impl Bench {
    /// Runs the benchmark; returns its report, a JSON object or, of the actors, a table.
    ///
    /// # Errors
    /// A model that cannot be read or written; settings that do not fit it; a failure while computing.
    pub fn run(&self) -> Result<String> {
        let report = match self {
            Self::Sample(Sample { workload, in_flight: None }) => run(workload, Stage::Sample),
            Self::Sample(Sample { workload, in_flight: Some(studies) }) => {
                pool(workload)?.install(|| stream::run(workload, *studies))
            }
            Self::Step(workload) => run(workload, Stage::Step),
            Self::Loop(workload) => run(workload, Stage::Loop),
            Self::Rewards(rewards) => rewards.run(),
            Self::Pipeline(pipeline) => return pipeline.run(),
        };
        Ok(format!("{}\n", report?))
    }
}

fn run(workload: &Workload, stage: Stage) -> Result<Value> {
    anyhow::ensure!(stage == Stage::Step || !workload.trie, "--trie is of learning steps: addendum bench step --trie");
    pool(workload)?.install(|| {
        let bed = Bed::new(workload)?;
        if workload.trie {
            let workload = Workload { edit: true, ..workload.clone() };
            let (steps, beside) = trie::compare(&bed, &workload)?;
            let mut report = report(&workload, stage, &bed, &steps)?;
            report["trie"] = beside;
            return Ok(report);
        }
        let steps = Iteration::new(&bed, workload)?.repeat(stage, workload.repeat)?;
        report(workload, stage, &bed, &steps)
    })
}

/// The threads that compute.
fn pool(workload: &Workload) -> Result<rayon::ThreadPool> {
    let threads = workload.threads.map_or_else(cores, Ok)?;
    Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).build()?)
}

/// To be called by a thread of the pool that computed the steps.
fn report(workload: &Workload, stage: Stage, bed: &Bed, steps: &[(Laps, Work)]) -> Result<Value> {
    let laps: Vec<Laps> = steps.iter().map(|(laps, _)| *laps).collect();
    let (median, shortest) = median_and_shortest(&laps).context("no step was timed")?;
    // A GPU's peak is not known here.
    let peak = if bed.device.is_cpu() { Some(work::peak()?) } else { None };
    Ok(json!({
        "bench": stage,
        "seconds_per_step": median.total(),
        "split": median,
        "share_of_peak": peak.map(|peak| Work::mean(steps.iter().map(|(_, work)| work)).shares(&median, peak)),
        "peak_gflops": peak.map(|peak| peak / 1e9),
        "decode_tokens_per_second": median.decoding.rate(),
        "tokens_per_second": workload.response_tokens() as f64 / median.total(),
        "shortest_step_seconds": shortest.total(),
        "step_seconds": laps.iter().map(Laps::total).collect::<Vec<_>>(),
        "predicted_bytes": prediction::predicted(workload, stage, bed),
        "peak_rss_bytes": host::peak_resident(),
        "cpu": host::cpu_model(),
        "threads": rayon::current_num_threads(),
        "parameters": bed.parameters(),
        "response_tokens": workload.response_tokens(),
        "tokens_per_prompt": bed.prompt_tokens(),
        "config": workload,
    }))
}
