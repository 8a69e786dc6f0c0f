//! How a pipeline gets its samplers, by what the settings name.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use addendum_actors::{EngineError, Pipeline, Recording, RunConfig, RunError};
use addendum_policy::{Adapter, Config, SamplingConfig};
use addendum_studies::Dataset;

use super::{sampler::Engine, settings::Settings};
use crate::{
    qwen::{Learner, Prompts, Sampler},
    vllm::{Fleet, VllmSampler},
};

pub(super) type BuildLearner = Box<dyn FnOnce() -> Result<Learner, EngineError> + Send>;

/// Makes a pipeline with samplers on these devices.
pub(super) type Sampling =
    Box<dyn FnOnce(&Settings, Arc<dyn Dataset>, Vec<Arc<Prompts>>, BuildLearner) -> Pipeline<Adapter>>;

/// What the settings name, over so many training studies. `folder` is the run's, known once the pipeline is put together.
///
/// # Errors
/// A recording that is none.
pub(super) fn named(
    settings: &Settings,
    policy: &Config,
    studies: usize,
    folder: &Arc<OnceLock<PathBuf>>,
) -> Result<Sampling, RunError> {
    Ok(match settings.sampler.engine {
        Engine::BuiltIn => built_in_sampling(),
        Engine::Vllm => asked_sampling(folder.clone()),
        Engine::Recorded => {
            let recorded = settings.sampler.recording.as_deref().unwrap_or(Path::new(""));
            let recording = Recording::open(recorded, policy.text.vocab_size, studies)?;
            Box::new(|settings, data, _, learner| Pipeline::replaying(settings.run.clone(), data, recording, learner))
        }
    })
}

fn built_in_sampling() -> Sampling {
    Box::new(|settings, data, prompts, learner| {
        let (config, batch) = (settings.sampling.clone(), settings.sampler.batch());
        let (devices, kept) = (prompts.clone(), 2 * settings.run.prefetch as usize);
        let samplers = move |i: usize| {
            let prompts = prompts[i % prompts.len()].clone();
            let config = proper(&config, &prompts);
            Ok(Sampler::with(prompts, config, batch.clone())?)
        };
        Pipeline::with_batch_samplers(settings.run.clone(), data, samplers, learner)
            .foresee(move |study| Prompts::foresee(&devices, study, kept))
    })
}

/// Servers that every sampler asks.
fn asked_sampling(folder: Arc<OnceLock<PathBuf>>) -> Sampling {
    Box::new(move |settings, data, prompts, learner| {
        let (addresses, config) = (settings.sampler.addresses(), settings.sampler.vllm.clone());
        let (run, base) = (settings.run.clone(), settings.policy.base_name());
        let recorded = RunConfig { record_sampled: Some(settings.records()), ..run.clone() };
        let sampling = proper(&settings.sampling, &prompts[0]);
        let fleet: Arc<OnceLock<Result<Arc<Fleet>, String>>> = Arc::default();
        let samplers = move |_| {
            let fleet = fleet.get_or_init(|| {
                let (policy, folder) = (prompts[0].policy().clone(), folder.get().cloned().unwrap_or_default());
                let fleet = Fleet::new(
                    addresses.clone(),
                    config.clone(),
                    sampling.clone(),
                    policy,
                    folder,
                    base.clone(),
                    run.staleness,
                );
                fleet.map(Arc::new).map_err(|error| format!("sampler: {error:#}"))
            });
            let tickets = run.batch_groups * (run.staleness + 1);
            Ok(VllmSampler::new(fleet.clone()?, usize::try_from(tickets)?))
        };
        Pipeline::with_async_samplers(recorded, data, samplers, learner)
    })
}

/// Without the tokens that make no report.
fn proper(sampling: &SamplingConfig, prompts: &Prompts) -> SamplingConfig {
    let mut sampling = sampling.clone();
    sampling.suppressed_tokens.extend(prompts.policy().tokenizer().misplaced_tokens());
    sampling
}
