//! `addendum probe`: what a policy computes of one given group, as a file for other implementations to compare with.

mod given;

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use addendum::{
    policy::{
        Adapter, Config, Learner, LearnerConfig,
        algorithm::DrGrpo,
        checkpoint::load_weights,
        device::device,
        learner::{TrainGroup, TrainResponse},
        model::Model,
        objective::{Aggregation, ObjectiveConfig},
        pack::{EncodedPrompt, Packed},
    },
    train::placement::WeightType,
};
use anyhow::{Context, Result};
use candle_core::Tensor;
use clap::Args;

use super::{
    exit::beforehand,
    output::{print, writable},
};
use given::Given;

/// Factor of the KL penalty.
const KL: f64 = 0.01;

#[derive(Args)]
pub struct ProbeArgs {
    /// A checkpoint folder; it needs no tokenizer.
    #[arg(long, value_name = "DIR")]
    policy: PathBuf,
    /// An adapter's folder, in PEFT's format.
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// Where the policy computes: cpu, or cuda:N in a build with the feature `cuda`.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// How weight matrices are stored.
    #[arg(long, value_enum, default_value = "f32")]
    dtype: WeightType,
    /// A safetensors file with one group of G responses of T tokens: prompt I64 [P], token ids, those of images included;
    /// responses I64 [G, T]; rewards F32 [G]; and for images pixel_values F32 [patches, patch_dim] and image_grid_thw
    /// I64 [images, 3], as transformers' processor gives them.
    #[arg(long, value_name = "FILE")]
    given: PathBuf,
    /// A safetensors file for what is computed of it, all F32: features [image tokens, hidden]; log_probs and reference
    /// [G, T], with the adapter and without; and gradient.NAME for every factor, that of the mean over all tokens of
    /// -(reward - mean reward) * ratio + 0.01 * k3, with the k3 estimate of the divergence from the reference.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn run(args: &ProbeArgs) -> Result<()> {
    let (device, config, given) = beforehand(prepared(args))?;
    let model = Model::taking(&config, load_weights(&args.policy, args.dtype.into(), &device)?)?;
    let adapter = Adapter::load_peft(&config, &args.adapter, &device)?;
    let Given { tokens, images, responses, rewards } = given;
    let features = images
        .map(|(pixels, grids)| model.vision.forward(&pixels.to_device(&device)?, &grids))
        .transpose()
        .with_context(|| format!("{}: pixel_values", args.given.display()))?;
    let prompt = Arc::new(EncodedPrompt { tokens, features: features.clone() });

    let shape = (responses.len(), responses.first().map_or(0, Vec::len));
    let packed = Packed::new([(&*prompt, responses.iter().map(Vec::as_slice).collect())]);
    let log_probs =
        |adapter| -> Result<Tensor> { Ok(packed.log_probs(&model.language, adapter, 1.0)?.log_probs.reshape(shape)?) };
    let mut found = HashMap::from([
        ("log_probs".to_owned(), log_probs(Some(&adapter))?),
        ("reference".to_owned(), log_probs(None)?),
    ]);
    found.extend(features.map(|features| ("features".to_owned(), features)));

    let responses = responses
        .into_iter()
        .zip(rewards)
        .map(|(tokens, reward)| TrainResponse { tokens, reward, ..TrainResponse::default() })
        .collect();
    let objective =
        ObjectiveConfig { kl_coefficient: KL, aggregation: Aggregation::TokenMean, ..ObjectiveConfig::default() };
    let settings = LearnerConfig { objective, ..LearnerConfig::default() };
    let learner = Learner::new(config, model.language, adapter, Arc::new(DrGrpo), settings)?;
    let (_, gradient) = learner.gradient(&[TrainGroup { prompt, responses }])?;
    found.extend(gradient.into_iter().map(|(name, tensor)| (format!("gradient.{name}"), tensor)));

    candle_core::safetensors::save(&found, &args.out)
        .with_context(|| format!("{}: cannot be written", args.out.display()))?;
    print(&format!("{}: {} tensors\n", args.out.display(), found.len()))
}

fn prepared(args: &ProbeArgs) -> Result<(candle_core::Device, Config, Given)> {
    writable(&args.out)?;
    let device = device(&args.device)?;
    let config = Config::load(&args.policy.join("config.json"))?;
    let given = Given::read(&args.given, &config)?;
    Ok((device, config, given))
}
