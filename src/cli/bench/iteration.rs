//! One step of the benchmark: the parts of a GRPO iteration in order, each under the clock.

use std::sync::Arc;

use addendum_policy::{
    Adapter, Learner, LearnerConfig, SamplingConfig,
    algorithm::DrGrpo,
    generate::{GenerateRequest, Sample},
    learner::{SharedPrefix, StepStats, TrainGroup, TrainResponse},
    objective::ObjectiveConfig,
    pack::{EncodedPrompt, Packed},
    sampling::TokenSampler,
    schedule::Schedule,
};
use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    bed::{self, Bed},
    clock::{Laps, timed},
    decoding::{self, Decoding},
    unigram::unigram_f1,
    work::{Costs, Work},
    workload::{Stage, Workload},
};

/// Tokens of a response that an edit replaces together.
const SENTENCE: usize = 16;

/// What goes from step to step.
pub struct Iteration<'a> {
    bed: &'a Bed,
    workload: &'a Workload,
    sampler: TokenSampler,
    adapter: Adapter,
    learner: Learner,
    /// What responses are compared with, one per prompt.
    references: Vec<Vec<u32>>,
    costs: Costs,
    /// Of the last step that encoded them.
    encoded: Option<Vec<Arc<EncodedPrompt>>>,
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
            shared_prefix: workload.shared_prefix(),
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
            costs: Costs::new(&bed.config, &workload.lora()),
            encoded: None,
            bed,
            workload,
            rng,
        })
    }

    /// The times and the work of `count` steps, after one that warms up.
    pub fn repeat(mut self, stage: Stage, count: usize) -> Result<Vec<(Laps, Work)>> {
        self.step(stage)?;
        (0..count).map(|_| self.step(stage)).collect()
    }

    /// One step of the given kind. Only what belongs to it is timed.
    pub fn step(&mut self, stage: Stage) -> Result<(Laps, Work)> {
        let (mut laps, mut work) = (Laps::default(), Work::default());
        let (prompts, seconds) = timed(|| self.prompts());
        let prompts = prompts?;
        let groups = if stage == Stage::Step {
            prompts.into_iter().map(|prompt| self.given(prompt)).collect::<Result<Vec<_>>>()?
        } else {
            laps.encoding = seconds;
            let (sampled, seconds) = timed(|| self.sample(&prompts, &mut laps.decoding));
            let sampled = sampled?;
            laps.sampling = seconds;
            let each = |p: &Arc<EncodedPrompt>| {
                self.costs.sampling(p.tokens.ids.len(), self.workload.sampled(), self.workload.new_tokens)
            };
            work.sampling = prompts.iter().map(each).sum();
            if stage == Stage::Sample {
                return Ok((laps, work));
            }
            let (groups, seconds) = timed(|| self.score(prompts, sampled));
            laps.reward = seconds;
            groups
        };
        let (stats, seconds) = timed(|| self.learner.step(&groups));
        laps.share_out(seconds, &stats?);
        for group in &groups {
            work += self.costs.training(&self.pack(group), self.workload.beta != 0.0);
        }
        self.adapter = self.learner.adapter();
        Ok((laps, work))
    }

    /// A group as it goes through the network, unless it is cut.
    fn pack(&self, group: &TrainGroup) -> Packed {
        let responses = group.responses.iter().map(|r| r.tokens.as_slice());
        let together = |responses: Vec<_>| (&*group.prompt, responses);
        match self.workload.shared_prefix() {
            SharedPrefix::Trie => Packed::new([together(responses.collect())]),
            SharedPrefix::Prompt => Packed::apart([together(responses.collect())]),
            SharedPrefix::None => Packed::apart(responses.map(|response| together(vec![response]))),
        }
    }

    /// Tokens that go through the network in a step, in the mean over its groups.
    pub fn packed_tokens(&mut self) -> Result<f64> {
        let prompts = self.prompts()?;
        let groups = prompts.into_iter().map(|prompt| self.given(prompt)).collect::<Result<Vec<_>>>()?;
        let tokens: usize = groups.iter().map(|group| self.pack(group).ids.len()).sum();
        Ok(tokens as f64 / groups.len() as f64)
    }

    fn prompts(&mut self) -> Result<Vec<Arc<EncodedPrompt>>> {
        if let (true, Some(encoded)) = (self.workload.vision_cache, &self.encoded) {
            return Ok(encoded.clone());
        }
        Ok(self.encoded.insert(self.bed.encode()?).clone())
    }

    /// Of every prompt its samples.
    fn sample(&mut self, prompts: &[Arc<EncodedPrompt>], decoding: &mut Decoding) -> Result<Vec<Vec<Sample>>> {
        let mut requests = Vec::new();
        for prompt in prompts {
            let seeds: Vec<u64> = (0..self.workload.sampled()).map(|_| self.rng.random()).collect();
            if self.workload.no_shared_prefix {
                let alone = |seed| GenerateRequest { prompt: prompt.clone(), seeds: vec![seed] };
                requests.extend(seeds.into_iter().map(alone));
            } else {
                requests.push(GenerateRequest { prompt: prompt.clone(), seeds });
            }
        }
        let together = if self.workload.one_study_at_a_time { 1 } else { requests.len() };
        let mut samples = Vec::new();
        for requests in requests.chunks(together) {
            let language = &self.bed.model.language;
            samples.extend(decoding::generate(language, &self.adapter, requests, &self.sampler, decoding)?);
        }
        let mut samples = samples.into_iter();
        Ok(prompts.iter().map(|_| samples.by_ref().take(self.workload.sampled()).collect()).collect())
    }

    fn score(&mut self, prompts: Vec<Arc<EncodedPrompt>>, sampled: Vec<Vec<Sample>>) -> Vec<TrainGroup> {
        let (edit, size) = (self.workload.edit, self.workload.group_size);
        let mut groups = Vec::new();
        for ((prompt, samples), reference) in prompts.into_iter().zip(sampled).zip(&self.references) {
            let mut responses: Vec<TrainResponse> = samples
                .into_iter()
                .map(|sample| TrainResponse {
                    reward: unigram_f1(&sample.tokens, reference),
                    tokens: sample.tokens,
                    behaviour: Some(sample.logprobs),
                    truncated: sample.truncated,
                    shared: 0,
                })
                .collect();
            if edit {
                for i in 0..size - responses.len() {
                    let tokens = edited(&responses[i].tokens, reference, &mut self.rng);
                    let reward = unigram_f1(&tokens, reference);
                    responses.push(TrainResponse { tokens, reward, ..TrainResponse::default() });
                }
            }
            groups.push(TrainGroup { prompt, responses });
        }
        groups
    }

    /// A group of random responses, half of them edited copies if that is asked for.
    fn given(&mut self, prompt: Arc<EncodedPrompt>) -> Result<TrainGroup> {
        let mut responses = Vec::new();
        for i in 0..self.workload.group_size {
            let tokens = match i.checked_sub(self.workload.sampled()) {
                None => bed::tokens(&self.bed.config, self.workload.new_tokens, &mut self.rng)?,
                Some(source) => {
                    let responses: &Vec<TrainResponse> = &responses;
                    edited(&responses[source].tokens, &self.references[0], &mut self.rng)
                }
            };
            responses.push(TrainResponse { tokens, reward: self.rng.random(), ..TrainResponse::default() });
        }
        Ok(TrainGroup { prompt, responses })
    }
}

/// A copy in which one run of tokens, any with the same chance, is the reference's.
fn edited(source: &[u32], reference: &[u32], rng: &mut ChaCha8Rng) -> Vec<u32> {
    let first = SENTENCE * rng.random_range(0..source.len().div_ceil(SENTENCE));
    let range = first..source.len().min(first + SENTENCE);
    let mut tokens = source.to_vec();
    tokens[range.clone()].copy_from_slice(&reference[range]);
    tokens
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
