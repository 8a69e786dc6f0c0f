//! The model under test and what it is fed: images of noise and prompts of random tokens.

use std::sync::Arc;

use addendum_policy::{
    Config,
    checkpoint::load_weights,
    device::device,
    image::Patches,
    model::{Model, Weights},
    pack::{EncodedPrompt, PromptTokens},
};
use anyhow::{Context, Result};
use candle_core::Device;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::workload::Workload;

/// A model and the prompts of every step.
pub struct Bed {
    pub config: Config,
    pub model: Model,
    pub device: Device,
    pub prompts: Vec<(PromptTokens, Vec<Patches>)>,
    parameters: usize,
}

impl Bed {
    pub fn new(workload: &Workload) -> Result<Self> {
        let device = device(&workload.device)?;
        let (config, weights) = match (&workload.model, &workload.random_init) {
            (Some(dir), _) => {
                let config = Config::load(&dir.join("config.json"))?;
                let weights = load_weights(dir, workload.dtype.into(), &device)?;
                weights.refuse_strays(&config)?;
                (config, weights)
            }
            (None, Some(dir)) => {
                let config = Config::load(&dir.join("config.json"))?;
                let weights = Weights::random(&config, workload.seed, workload.dtype.into(), &device)?;
                (config, weights)
            }
            (None, None) => anyhow::bail!("neither a model nor a config"),
        };
        let parameters = weights.tensors().values().map(|t| t.elem_count()).sum();
        let model = Model::taking(&config, weights)?;
        let mut rng = ChaCha8Rng::seed_from_u64(workload.seed);
        let prompts = (0..workload.groups).map(|_| prompt(&config, workload, &mut rng)).collect::<Result<_>>()?;
        Ok(Self { config, model, device, prompts, parameters })
    }

    /// The prompts with their images through the vision tower.
    pub fn encode(&self) -> Result<Vec<Arc<EncodedPrompt>>> {
        let encode = |(tokens, images): &(PromptTokens, Vec<Patches>)| {
            let images: Vec<&Patches> = images.iter().collect();
            let features = match images[..] {
                [] => None,
                _ => Some(self.model.vision.forward_images(&images, &self.device)?),
            };
            Ok(Arc::new(EncodedPrompt { tokens: tokens.clone(), features }))
        };
        let prompts = self.prompts.iter().map(encode).collect();
        // Otherwise the clock would stop before a GPU has begun.
        self.device.synchronize()?;
        prompts
    }

    /// Tokens of one prompt, those of its images included.
    pub fn prompt_tokens(&self) -> usize {
        self.prompts.first().map_or(0, |(tokens, _)| tokens.ids.len())
    }

    /// Of the base model.
    pub fn parameters(&self) -> usize {
        self.parameters
    }
}

/// Images first, as in the chat template, then text.
fn prompt(config: &Config, workload: &Workload, rng: &mut ChaCha8Rng) -> Result<(PromptTokens, Vec<Patches>)> {
    let vision = &config.vision;
    let unit = vision.patch_size * vision.spatial_merge_size;
    let side = ((workload.image_pixels as f64).sqrt() / unit as f64).round().max(1.0) as usize;
    let patches = side * vision.spatial_merge_size;
    let grid = [1, patches, patches];
    let mut ids = Vec::new();
    let mut images = Vec::new();
    for _ in 0..workload.images_per_prompt {
        ids.push(config.vision_start_token_id);
        ids.extend(std::iter::repeat_n(config.image_token_id, side * side));
        ids.push(config.vision_end_token_id);
        let rows = (0..patches * patches * vision.patch_dim()).map(|_| rng.random_range(-1.7..1.7)).collect();
        images.push(Patches { rows, grid });
    }
    ids.extend(tokens(config, workload.prompt_tokens, rng)?);
    let grids = vec![grid; images.len()];
    Ok((PromptTokens::new(ids, config.image_token_id, &grids, vision.spatial_merge_size)?, images))
}

/// Random tokens of plain text.
pub fn tokens(config: &Config, count: usize, rng: &mut ChaCha8Rng) -> Result<Vec<u32>> {
    let special = config.vision_tokens();
    let plain: Vec<u32> = (0..config.text.vocab_size as u32).filter(|id| !special.contains(id)).collect();
    plain.first().context("the vocabulary holds special tokens only")?;
    Ok((0..count).map(|_| plain[rng.random_range(0..plain.len())]).collect())
}
