//! One step of the benchmark: the parts of a GRPO iteration in order, each under the clock.

use std::sync::Arc;

use addendum_policy::{
    Adapter, Learner, LearnerConfig, SamplingConfig,
    algorithm::DrGrpo,
    generate::{GenerateRequest, Sample, generate},
    learner::{StepStats, TrainGroup, TrainResponse},
    objective::ObjectiveConfig,
    pack::EncodedPrompt,
    sampling::TokenSampler,
    schedule::Schedule,
};
use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    bed::{self, Bed},
    clock::{Laps, timed},
    unigram::unigram_f1,
    workload::{Stage, Workload},
};

/// What goes from step to step.
pub struct Iteration<'a> {
    bed: &'a Bed,
    workload: &'a Workload,
    sampler: TokenSampler,
    adapter: Adapter,
    learner: Learner,
    /// What responses are compared with, one per prompt.
    references: Vec<Vec<u32>>,
    rng: ChaCha8Rng,
}

impl<'a> Iteration<'a> {
    pub fn new(bed: &'a Bed, workload: &'a Workload) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(workload.seed.wrapping_add(1));
        let sampling = SamplingConfig { max_new_tokens: workload.new_tokens, ..SamplingConfig::default() };
        let adapter = Adapter::new(&bed.config, workload.lora(), workload.seed, &bed.device)?;
        let config = LearnerConfig {
            objective: ObjectiveConfig {
                kl_coefficient: workload.beta,
                norm_length: workload.new_tokens as f64,
                ..ObjectiveConfig::default()
            },
            schedule: Schedule { learning_rate: 1e-4, ..Schedule::default() },
            micro_batch_tokens: workload.micro_batch_tokens,
            shared_prefix: !workload.no_shared_prefix,
            ..LearnerConfig::default()
        };
        Ok(Self {
            sampler: TokenSampler::new(sampling)?.without(&bed.config.vision_tokens()),
            learner: Learner::new(
                bed.config.clone(),
                bed.model.language.clone(),
                adapter.clone(),
                Arc::new(DrGrpo),
                config,
            )?,
            adapter,
            references: (0..workload.groups)
                .map(|_| bed::tokens(&bed.config, workload.new_tokens, &mut rng))
                .collect::<Result<_>>()?,
            bed,
            workload,
            rng,
        })
    }

    /// The times of `count` steps, after one that warms up.
    pub fn repeat(mut self, stage: Stage, count: usize) -> Result<Vec<Laps>> {
        self.step(stage)?;
        (0..count).map(|_| self.step(stage)).collect()
    }

    /// One step of the given kind. Only what belongs to it is timed.
    fn step(&mut self, stage: Stage) -> Result<Laps> {
        let mut laps = Laps::default();
        let (prompts, seconds) = timed(|| self.bed.encode());
        let prompts = prompts?;
        let groups = if stage == Stage::Step {
            prompts.into_iter().map(|prompt| self.given(prompt)).collect::<Result<_>>()?
        } else {
            laps.encoding = seconds;
            let (sampled, seconds) = timed(|| self.sample(&prompts));
            let sampled = sampled?;
            laps.sampling = seconds;
            if stage == Stage::Sample {
                return Ok(laps);
            }
            let (groups, seconds) = timed(|| self.score(prompts, sampled));
            laps.reward = seconds;
            groups
        };
        let (stats, seconds) = timed(|| self.learner.step(&groups));
        laps.share_out(seconds, &stats?);
        self.adapter = self.learner.adapter();
        Ok(laps)
    }

    /// Of every prompt its samples.
    fn sample(&mut self, prompts: &[Arc<EncodedPrompt>]) -> Result<Vec<Vec<Sample>>> {
        let mut requests = Vec::new();
        for prompt in prompts {
            let seeds: Vec<u64> = (0..self.workload.group_size).map(|_| self.rng.random()).collect();
            if self.workload.no_shared_prefix {
                let alone = |seed| GenerateRequest { prompt: prompt.clone(), seeds: vec![seed] };
                requests.extend(seeds.into_iter().map(alone));
            } else {
                requests.push(GenerateRequest { prompt: prompt.clone(), seeds });
            }
        }
        // No token ends a response.
        let samples = generate(&self.bed.model.language, Some(&self.adapter), &requests, &self.sampler, &[])?;
        let mut samples = samples.into_iter().flatten();
        Ok(prompts.iter().map(|_| samples.by_ref().take(self.workload.group_size).collect()).collect())
    }

    fn score(&self, prompts: Vec<Arc<EncodedPrompt>>, sampled: Vec<Vec<Sample>>) -> Vec<TrainGroup> {
        let group = |((prompt, samples), reference): ((_, Vec<Sample>), &Vec<u32>)| TrainGroup {
            prompt,
            responses: samples
                .into_iter()
                .map(|sample| TrainResponse {
                    reward: unigram_f1(&sample.tokens, reference),
                    tokens: sample.tokens,
                    behaviour: Some(sample.logprobs),
                    truncated: sample.truncated,
                })
                .collect(),
        };
        prompts.into_iter().zip(sampled).zip(&self.references).map(group).collect()
    }

    /// A group of random responses.
    fn given(&mut self, prompt: Arc<EncodedPrompt>) -> Result<TrainGroup> {
        let response = |_| {
            let tokens = bed::tokens(&self.bed.config, self.workload.new_tokens, &mut self.rng)?;
            Ok(TrainResponse { tokens, reward: self.rng.random(), ..TrainResponse::default() })
        };
        Ok(TrainGroup { prompt, responses: (0..self.workload.group_size).map(response).collect::<Result<_>>()? })
    }
}

impl Laps {
    /// Divides the seconds of an update in proportion to what its parts took, which may have run side by side.
    fn share_out(&mut self, seconds: f64, stats: &StepStats) {
        let parts = [stats.reference_seconds, stats.forward_seconds, stats.backward_seconds];
        let busy: f64 = parts.iter().sum();
        let share = (seconds - stats.optimizer_seconds) / busy.max(f64::MIN_POSITIVE);
        [self.reference, self.forward, self.backward] = parts.map(|part| part * share);
        self.optimizer = stats.optimizer_seconds;
    }
}
