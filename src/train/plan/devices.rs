//! What a run needs of each device, on paper, with the longest prompt of the sample and reports of full length.

use std::collections::BTreeMap;

use addendum_policy::{
    device::{device, free_memory},
    memory::{Memory, StepShape},
};
use serde::Serialize;

use super::{findings::Findings, studies::Sample};
use crate::{
    host,
    train::{
        Settings,
        held_out::BATCH,
        memory::{Group, Step},
        sampler::Engine,
    },
};

/// Bytes that exist on a device at the same time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DevicePlan {
    pub device: String,
    pub weights: u64,
    /// CUDA itself.
    pub context: u64,
    /// Encoded images that are kept.
    pub features: u64,
    /// Samplers on this device.
    pub samplers: usize,
    /// What all of them need besides the weights.
    pub sampling: u64,
    /// A step of the learner besides the weights, where it has a part here.
    pub learning: u64,
    /// Micro-batches that a group is cut into to keep to the learner's memory limit.
    pub micro_batches: Option<usize>,
    /// An evaluation besides the weights, while the run trains.
    pub evaluation: u64,
    pub total: u64,
    /// What the machine can still give, where that is known.
    pub available: Option<u64>,
}

/// Opens every device, and adds up what it must hold.
pub fn check(
    settings: &Settings,
    memory: Option<&Memory>,
    sample: &Sample,
    findings: &mut Findings,
) -> Vec<DevicePlan> {
    let policy = &settings.policy;
    let or_all = |names: &[String]| if names.is_empty() { vec![policy.device.clone()] } else { names.to_vec() };
    let (samplers, learner) = (or_all(&policy.sampler_devices), or_all(&policy.learner_devices));
    let mut used: BTreeMap<&String, usize> = learner.iter().map(|name| (name, 0)).collect();
    for sampler in 0..settings.run.samplers.max(samplers.len()) {
        // Every named device holds the weights, also one that no sampler is left for.
        *used.entry(&samplers[sampler % samplers.len()]).or_default() += usize::from(sampler < settings.run.samplers);
    }
    for name in used.keys() {
        findings.note("policy.device", device(name));
    }
    let (Some(memory), Some(prompts)) = (memory, sample.prompts) else { return Vec::new() };
    let group = Group {
        prompt_tokens: prompts.longest,
        size: settings.run.group_size,
        response_tokens: settings.sampling.max_new_tokens,
    };
    let step = Step::within(settings.learner.memory_limit, memory, group, settings.learner.recompute);
    if let (Some(limit), false) = (settings.learner.memory_limit, step.fits) {
        let (needed, prompt, response) = (step.memory.total(), group.prompt_tokens, group.response_tokens);
        let reason = format!("is {limit}; a prompt of {prompt} tokens and a report of {response} need {needed} bytes");
        findings.problem("learner.memory_limit", reason);
    }
    let smallest = memory.cache(group.prompt_tokens + group.response_tokens);
    if let Some(bytes) = settings.sampler.cache_bytes.filter(|bytes| *bytes < smallest) {
        let (prompt, response) = (group.prompt_tokens, group.response_tokens);
        let reason =
            format!("is {bytes}; a prompt of {prompt} tokens and a report of {response} need {smallest} bytes");
        findings.problem("sampler.cache_bytes", reason);
    }
    let needs = Needs { settings, memory, sample, group, step, learners: learner.len() };
    let planned = |(name, samplers): (&String, usize)| {
        needs.of(name, samplers, learner.contains(name), learner.first() == Some(name))
    };
    let plans: Vec<DevicePlan> = used.into_iter().map(planned).collect();
    for plan in &plans {
        if let Some(available) = plan.available.filter(|available| *available < plan.total) {
            let reason = format!("{} must give some {} bytes, and has {available}", plan.device, plan.total);
            findings.warning("policy.device", reason);
        }
    }
    plans
}

struct Needs<'a> {
    settings: &'a Settings,
    memory: &'a Memory,
    sample: &'a Sample,
    group: Group,
    step: Step,
    /// Devices of the learner.
    learners: usize,
}

impl Needs<'_> {
    fn of(&self, name: &str, samplers: usize, learns: bool, home: bool) -> DevicePlan {
        let Self { settings, memory, sample, group, .. } = *self;
        let weights = memory.weights();
        let encoding = memory.vision(sample.patches);
        let studies = sample.sets.iter().map(|set| set.studies as u64).sum::<u64>();
        let kept = memory.features(sample.image_tokens).saturating_mul(studies);
        let beside = |prompts: usize, reports: usize, tokens: usize| {
            memory.sampling(prompts * group.prompt_tokens, reports, tokens) - weights
        };
        let sampling = self.sampling().max(encoding);
        let evaluates = home && settings.run.evaluate_every > 0;
        let evaluation = beside(BATCH, BATCH, settings.evaluation.max_new_tokens).max(encoding);
        let mut plan = DevicePlan {
            device: name.into(),
            weights,
            context: memory.context(),
            features: kept.min(settings.policy.kept_features_bytes as u64),
            samplers,
            sampling: sampling * samplers as u64,
            learning: if learns { self.learning().max(encoding) } else { 0 },
            micro_batches: learns.then_some(self.step.micro_batches),
            evaluation: if evaluates { evaluation * settings.run.threads.evaluator as u64 } else { 0 },
            total: 0,
            available: match name {
                "cpu" => host::available_memory(),
                name => device(name).ok().as_ref().and_then(free_memory),
            },
        };
        plan.total = plan.weights + plan.context + plan.features + plan.sampling + plan.learning + plan.evaluation;
        plan
    }

    /// A sampler besides the weights; nothing where others sample. No more studies are under way than the staleness bound
    /// lets be.
    fn sampling(&self) -> u64 {
        let Self { settings, memory, group, .. } = self;
        if settings.sampler.engine != Engine::BuiltIn {
            return 0;
        }
        let (run, config) = (&settings.run, &settings.sampler.batch());
        let sampled = run.most_sampled();
        let studies = run.batch_groups.saturating_mul(run.staleness.saturating_add(1));
        let sequences = config.max_sequences.min(sampled.saturating_mul(studies as usize));
        memory.batch(config, group.prompt_tokens, [sequences, sampled], group.response_tokens) - memory.weights()
    }

    /// Small groups go through the network together; on a single device without a limit, several micro-batches at a time.
    fn learning(&self) -> u64 {
        let Self { settings, memory, group, step, .. } = self;
        let config = &settings.learner;
        let (tokens, groups) = (group.tokens().max(1), settings.run.batch_groups as usize);
        let most = config.memory_limit.map_or(usize::MAX, |limit| memory.tokens_within(limit, step.recompute));
        let together = if step.micro_batches > 1 { 1 } else { config.micro_batch_tokens.min(most) / tokens };
        let together = together.clamp(1, groups.max(1));
        let micro_batch = match together {
            1 => step.memory,
            _ => memory.step(StepShape {
                tokens: together * tokens,
                response_tokens: together * group.size * group.response_tokens,
                recompute: step.recompute,
            }),
        };
        let alone = config.memory_limit.is_none() && self.learners == 1 && !step.recompute;
        let lanes = if alone { settings.run.threads.learner.min(groups.div_ceil(together)).max(1) } else { 1 };
        micro_batch.trained + micro_batch.activations * lanes as u64
    }
}
