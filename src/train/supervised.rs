//! Supervised fine-tuning, of all weights or of an adapter, so that reinforcement learning has somewhere to start.

use std::{ops::ControlFlow, path::Path, thread};

use addendum_policy::{
    Adapter, Config, LoraConfig, Policy,
    image::ImageConfig,
    learner::LearnerState,
    model::Weights,
    optim::AdamWConfig,
    schedule::{Decay, Schedule},
    sft::{SftConfig, SftExample, SftStats, SftTrainer, Trainable, data_order},
    tokenizer::ReportTokenizer,
};
use addendum_studies::{Dataset, Part, Prompt};
use anyhow::{Context, Result, bail};
use candle_core::{DType, Device};
use crossbeam::channel::{Receiver, bounded};
use serde::{Deserialize, Serialize};

/// How a policy is trained by supervision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SftPlan {
    /// Updates of the whole training.
    pub steps: u64,
    /// Studies of a step.
    pub batch_size: usize,
    /// Highest learning rate of the schedule.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises from 0; at most half of all.
    pub warmup_steps: u64,
    /// As AdamW's: the share of learning rate × weight that a step takes off.
    pub weight_decay: f64,
    /// How the learning rate falls after the warm-up.
    pub decay: Decay,
    /// Largest vocabulary; the tokenizer is trained on the first studies.
    pub vocab_size: usize,
    /// Of the order of studies, and of fresh weights.
    pub seed: u64,
    /// An adapter is trained over the frozen policy; all weights without it.
    pub lora: Option<LoraConfig>,
}

impl Default for SftPlan {
    fn default() -> Self {
        Self {
            steps: 2000,
            batch_size: 32,
            learning_rate: 1.5e-3,
            warmup_steps: 200,
            weight_decay: 0.05,
            decay: Decay::Cosine,
            vocab_size: 1024,
            seed: 0,
            lora: None,
        }
    }
}

impl SftPlan {
    /// # Errors
    /// The first number that must be above 0 and is not.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [("steps", self.steps), ("batch_size", self.batch_size as u64)] {
            if value == 0 {
                bail!("supervised fine-tuning: `{field}` is 0, expected at least 1");
            }
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.) {
            bail!("supervised fine-tuning: `learning_rate` is {}, expected a number above 0", self.learning_rate);
        }
        Ok(self.lora.as_ref().map_or(Ok(()), LoraConfig::validate)?)
    }
}

/// Studies the tokenizer is trained on, and most pixels of an image of a policy trained from scratch.
const TOKENIZER_STUDIES: usize = 4000;
const PIXELS: usize = 112 * 112;

/// A random tiny policy with a tokenizer of the dataset's own words.
pub fn fresh_policy(dataset: &dyn Dataset, plan: &SftPlan, device: &Device) -> Result<Policy> {
    plan.validate()?;
    let mut texts = Vec::new();
    for index in 0..dataset.len().min(TOKENIZER_STUDIES) {
        let study = dataset.study(index)?;
        texts.extend(Prompt::new(&study).parts().into_iter().filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::Image(_) => None,
        }));
        texts.push(study.reference.text().to_string());
    }
    let tokenizer = ReportTokenizer::train(texts.iter().map(String::as_str), plan.vocab_size)?;
    let special = tokenizer.special();
    let mut config = Config::tiny(tokenizer.vocab_size());
    config.image_token_id = special.image_pad;
    config.vision_start_token_id = special.vision_start;
    config.vision_end_token_id = special.vision_end;
    config.eos_token_id = special.turn_end;
    let images = ImageConfig { min_pixels: PIXELS, max_pixels: PIXELS, ..ImageConfig::default() };
    let weights = Weights::random(&config, plan.seed, DType::F32, device)?;
    Ok(Policy::new(config, weights, tokenizer, images, device.clone())?)
}

/// Trains `policy`, or an adapter over it, on `dataset` in shuffled epochs. `observe` hears every step and may end the
/// training. What came of it is told by [`trained`] or [`adapter`].
pub fn train(
    policy: &Policy,
    dataset: &(dyn Dataset + 'static),
    plan: &SftPlan,
    observe: impl FnMut(u64, SftStats, &SftTrainer) -> Result<ControlFlow<()>>,
) -> Result<SftTrainer> {
    train_on(policy, dataset, epochs(plan.seed, dataset.len()), plan, None, observe)
}

/// Indices of `count` studies, shuffled anew in every epoch, without an end.
pub fn epochs(seed: u64, count: usize) -> impl Iterator<Item = usize> + Send {
    (0..).flat_map(move |epoch| data_order(seed, epoch, count))
}

/// The same on the studies of these indices, as many as the plan's steps take. With `start`, the state that such a
/// training had between two steps, it goes on from there; `order` still begins with the first step's.
pub fn train_on(
    policy: &Policy,
    dataset: &(dyn Dataset + 'static),
    order: impl Iterator<Item = usize> + Send,
    plan: &SftPlan,
    start: Option<&LearnerState>,
    mut observe: impl FnMut(u64, SftStats, &SftTrainer) -> Result<ControlFlow<()>>,
) -> Result<SftTrainer> {
    plan.validate()?;
    if dataset.is_empty() {
        bail!("supervised fine-tuning: the training set is empty");
    }
    let config = SftConfig {
        batch_size: plan.batch_size,
        optimizer: AdamWConfig { weight_decay: plan.weight_decay, ..AdamWConfig::default() },
        schedule: Schedule {
            learning_rate: plan.learning_rate,
            decay: plan.decay,
            warmup_steps: plan.warmup_steps.min(plan.steps / 2),
            total_steps: plan.steps,
        },
        ..SftConfig::default()
    };
    let weights = policy.weights()?;
    let trainable = match &plan.lora {
        None => Trainable::All(weights),
        Some(lora) => {
            let fresh = Adapter::new(policy.config(), lora.clone(), plan.seed, policy.device())?;
            Trainable::Lora(weights, fresh)
        }
    };
    let mut trainer = SftTrainer::new(policy.config(), trainable, config, policy.device())?;
    if let Some(state) = start {
        trainer.restore(state)?;
    }
    let first = trainer.steps();
    thread::scope(|scope| {
        let (send, batches) = bounded(2);
        scope.spawn(move || {
            let mut order = order.skip(first as usize * plan.batch_size);
            for _ in first..plan.steps {
                let studies: Vec<usize> = order.by_ref().take(plan.batch_size).collect();
                if send.send(batch(policy, dataset, &studies)).is_err() {
                    return;
                }
            }
        });
        // Taken by value, so that an early end hangs up on the loader.
        learn(&mut trainer, plan, batches, &mut observe)
    })?;
    Ok(trainer)
}

fn learn(
    trainer: &mut SftTrainer,
    plan: &SftPlan,
    batches: Receiver<Result<Vec<SftExample>>>,
    observe: &mut impl FnMut(u64, SftStats, &SftTrainer) -> Result<ControlFlow<()>>,
) -> Result<()> {
    for step in trainer.steps()..plan.steps {
        let batch = batches.recv().context("the loader of training studies ended early")??;
        let stats = trainer.step(&batch)?;
        if observe(step, stats, trainer)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// The adapter with the trainer's present weights, if an adapter is what the plan trains.
pub fn adapter(policy: &Policy, plan: &SftPlan, trainer: &SftTrainer) -> Result<Option<Adapter>> {
    let of = |lora: &LoraConfig| Adapter::from_tensors(policy.config(), lora.clone(), trainer.parameters().clone());
    Ok(plan.lora.as_ref().map(of).transpose()?)
}

/// The policy with the trainer's present weights, of a plan that trains them all.
pub fn trained(policy: &Policy, trainer: &SftTrainer) -> Result<Policy> {
    let weights = Weights::new(trainer.parameters().clone(), Path::new("trained weights"));
    let (config, tokenizer) = (policy.config().clone(), policy.tokenizer().clone());
    Ok(Policy::new(config, weights, tokenizer, policy.images().clone(), policy.device().clone())?)
}

fn batch(policy: &Policy, dataset: &dyn Dataset, studies: &[usize]) -> Result<Vec<SftExample>> {
    let example = |index: &usize| {
        let study = dataset.study(*index)?;
        let (prompt, images) = policy.tokenise(&Prompt::new(&study))?;
        Ok(SftExample { prompt, images, response: policy.tokenizer().encode_report(study.reference.text())? })
    };
    studies.iter().map(example).collect()
}
