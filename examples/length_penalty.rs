//! A new kind of actor: a stage that takes reward away from reports that run on or repeat themselves.
//!
//!     cargo run --release --example length_penalty [CHECKPOINT]

use std::{collections::BTreeSet, path::Path, sync::Arc};

use addendum::{
    actors::{Event, Pipeline, Stage, StageError, stages::EditStage, stages::RewardStage},
    editor::Editor,
    policy::{Adapter, Policy},
    qwen::{Learner, Prompts, Sampler, Tokenizer},
    replay::RolloutGroup,
    rewards::{Backends, Scorer, sentences},
    studies::{Phantom, PhantomConfig},
    train::settings::{Arm, Settings},
};
use candle_core::{DType, Device};

/// Words of the longest report that costs nothing.
const FREE_WORDS: usize = 12;

struct LengthPenalty;

impl Stage for LengthPenalty {
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        for rollout in &mut group.rollouts {
            let sentences = sentences::split(&rollout.text);
            let repeated = sentences.len() - BTreeSet::from_iter(&sentences).len();
            let excess = rollout.text.split_whitespace().count().saturating_sub(FREE_WORDS);
            let penalty = 0.5 * repeated as f64 + 0.1 * excess as f64;
            let reward = rollout.reward.as_mut().ok_or("the penalty comes after the rewards")?;
            reward.total -= penalty;
            reward.components.insert("penalty".into(), penalty);
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut settings = Arm::EditGrpo.settings(&Settings::default());
    settings.run.steps = 24;
    settings.run.batch_groups = 8;
    settings.sampling.max_new_tokens = 96;
    settings.learner.schedule.learning_rate = 2e-3;

    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/checkpoints/phantom-tiny");
    let checkpoint = std::env::args().nth(1).unwrap_or_else(|| shipped.into());
    let policy = Arc::new(Policy::load(Path::new(&checkpoint), DType::F32, &Device::Cpu)?);
    let adapter = Adapter::new(policy.config(), settings.lora, 0, &Device::Cpu)?;
    let backends = Backends::lexicon();
    let editor = Arc::new(Editor::from_backends(settings.edit, &backends)?);
    let scorer = Arc::new(Scorer::new(backends, &settings.reward)?);
    let tokenizer = Arc::new(Tokenizer(policy.clone()));
    let algorithm = settings.algorithm.build(settings.sampling.max_new_tokens)?;
    let (run, sampling, learner) = (settings.run.clone(), settings.sampling, settings.learner);
    let prompts = Arc::new(Prompts::new(policy, 1 << 28));
    let to_sample = prompts.clone();

    Pipeline::with_batch_samplers(
        settings.run,
        Arc::new(Phantom::new(PhantomConfig::default())?),
        move |_| Ok(Sampler::new(to_sample.clone(), sampling.clone())?),
        move || Ok(Learner::new(&[prompts], adapter, algorithm, learner)?),
    )
    .stage("editor", 1, move || Ok(EditStage::new(editor.clone(), tokenizer.clone(), run.clone())))
    .stage("reward", 1, move || Ok(RewardStage::new(scorer.clone())))
    .stage("length_penalty", 1, || Ok(LengthPenalty))
    .observer(|event| {
        if let Event::Step(step) = event {
            let (step, tokens, penalty) = (step.step, step.response_length, step.reward_components["penalty"]);
            println!("step {step:2}  tokens {tokens:4.1}  penalty {penalty:.3}");
        }
    })
    .run()
    .await?;
    Ok(())
}
