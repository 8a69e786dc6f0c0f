//! Does a plan fit this machine? Parameters and memory of a model of a given shape, on paper or from a dry run with
//! random weights.

use std::{sync::Arc, time::Instant};

use addendum::{
    host,
    train::memory::{Group, Parameters, Step},
};
use addendum_policy::{
    Adapter, Config, Error, Learner, LearnerConfig, LoraConfig, Result,
    algorithm::DrGrpo,
    generate::BatchConfig,
    image::Patches,
    learner::{Recompute, TrainGroup, TrainResponse},
    memory::{DeviceKind, Memory},
    model::{Model, Weights},
    pack::{EncodedPrompt, PromptTokens},
};
use candle_core::{DType, Device};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// One study's training step.
#[derive(Clone, Debug)]
pub struct Plan {
    pub config: Config,
    pub dtype: DType,
    pub lora: LoraConfig,
    pub kind: DeviceKind,
    pub images: usize,
    /// Of one image.
    pub pixels: usize,
    /// Prompt tokens that are text.
    pub text_tokens: usize,
    pub group_size: usize,
    pub response_tokens: usize,
    /// Bytes the device has.
    pub limit: Option<u64>,
    pub recompute: Recompute,
}

/// What a plan needs, in parameters and bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Estimate {
    pub parameters: Parameters,
    pub lora_parameters: u64,
    pub prompt_tokens: usize,
    pub weights: u64,
    /// What CUDA takes for itself.
    pub context: u64,
    /// The vision tower's pass over a study, weights included.
    pub vision: u64,
    /// Sampling as many reports at a time as a sampler does by default, weights included.
    pub sampling: u64,
    /// The training step, weights included.
    pub step: Step,
    /// The most that exists at any time.
    pub peak: u64,
    /// Whether the peak stays within the limit.
    pub fits: bool,
}

/// What a dry run took.
#[derive(Clone, Debug, Serialize)]
pub struct DryRun {
    pub build_seconds: f64,
    pub vision_seconds: f64,
    pub step_seconds: f64,
    pub reference_seconds: f64,
    pub forward_seconds: f64,
    pub backward_seconds: f64,
    /// Peak resident memory of the process, in bytes, where the system tells.
    pub peak: Option<u64>,
}

impl Plan {
    /// (frames, height, width) in patches of an image that uses up its pixels.
    fn grid(&self) -> Result<[usize; 3]> {
        let v = &self.config.vision;
        let units = self.pixels / (v.patch_size * v.spatial_merge_size).pow(2);
        if units == 0 {
            return Err(Error::invalid("pixels", format!("{} are less than one token's", self.pixels)));
        }
        let rows = (1..=units.isqrt()).rev().find(|&rows| units.is_multiple_of(rows)).unwrap_or(1);
        Ok([1, rows * v.spatial_merge_size, units / rows * v.spatial_merge_size])
    }

    fn learner_config(&self) -> LearnerConfig {
        LearnerConfig { memory_limit: self.limit, recompute: self.recompute, ..LearnerConfig::default() }
    }

    /// On paper.
    pub fn estimate(&self) -> Result<Estimate> {
        let memory = Memory::new(&self.config, self.dtype, &self.lora, self.kind);
        let grid = self.grid()?;
        let patches = self.images * grid[1] * grid[2];
        let image_tokens = patches / self.config.vision.spatial_merge_size.pow(2);
        let prompt_tokens = image_tokens + 2 * self.images + self.text_tokens;
        let group = Group { prompt_tokens, size: self.group_size, response_tokens: self.response_tokens };
        let step = Step::within(self.limit, &memory, group, self.recompute);
        let parameters = Parameters::of(&self.config);
        let weights = memory.weights();
        let vision = weights + memory.vision(patches);
        let batch = BatchConfig::default();
        let sampled = [batch.max_sequences, self.group_size];
        let sampling = memory.batch(&batch, prompt_tokens, sampled, self.response_tokens);
        let features = memory.features(image_tokens);
        let context = memory.context();
        let peak = (vision + context).max(sampling + context + features).max(step.memory.total() + features);
        Ok(Estimate {
            parameters,
            lora_parameters: memory.adapter() / 4,
            prompt_tokens,
            weights,
            context,
            vision,
            sampling,
            step,
            peak,
            fits: self.limit.is_none_or(|limit| peak <= limit),
        })
    }

    /// One study through the vision tower and one training step, with random weights, images and tokens.
    ///
    /// # Errors
    /// The plan does not fit its limit.
    pub fn dry_run(&self, device: &Device) -> Result<DryRun> {
        let estimate = self.estimate()?;
        if !estimate.fits {
            let reason = format!("{} bytes, the plan needs {}", self.limit.unwrap_or_default(), estimate.peak);
            return Err(Error::invalid("memory", reason));
        }
        let mut clock = Instant::now();
        let mut lap = || std::mem::replace(&mut clock, Instant::now()).elapsed().as_secs_f64();
        let model = Model::taking(&self.config, Weights::random(&self.config, 0, self.dtype, device)?)?;
        let build_seconds = lap();

        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let grid = self.grid()?;
        let tokens_of_image = grid[1] * grid[2] / self.config.vision.spatial_merge_size.pow(2);
        let width = self.config.vision.patch_dim();
        let images: Vec<Patches> = (0..self.images)
            .map(|_| {
                let rows = (0..grid[1] * grid[2] * width).map(|_| rng.random_range(-1.0..1.0)).collect();
                Patches { rows, grid }
            })
            .collect();
        let features = match self.images {
            0 => None,
            _ => Some(model.vision.forward_images(&images.iter().collect::<Vec<_>>(), device)?),
        };
        drop(images);
        let vision_seconds = lap();

        // The first tokens of a vocabulary are plain text in every published one.
        let plain = 256.min(self.config.text.vocab_size as u32 / 2).max(1);
        let mut text = |count: usize| (0..count).map(|_| rng.random_range(0..plain)).collect::<Vec<u32>>();
        let mut ids = Vec::new();
        for _ in 0..self.images {
            ids.push(self.config.vision_start_token_id);
            ids.extend(vec![self.config.image_token_id; tokens_of_image]);
            ids.push(self.config.vision_end_token_id);
        }
        ids.extend(text(self.text_tokens.max(1)));
        let grids = vec![grid; self.images];
        let merge = self.config.vision.spatial_merge_size;
        let tokens = PromptTokens::new(ids, self.config.image_token_id, &grids, merge)?;
        let responses = (0..self.group_size)
            .map(|i| TrainResponse { tokens: text(self.response_tokens), reward: i as f64, ..TrainResponse::default() })
            .collect();
        let group = TrainGroup { prompt: Arc::new(EncodedPrompt { tokens, features }), responses };
        let adapter = Adapter::new(&self.config, self.lora.clone(), 0, device)?;
        let mut learner =
            Learner::new(self.config.clone(), model.language, adapter, Arc::new(DrGrpo), self.learner_config())?;
        lap();
        let stats = learner.step(&[group])?;
        Ok(DryRun {
            build_seconds,
            vision_seconds,
            step_seconds: lap(),
            reference_seconds: stats.reference_seconds,
            forward_seconds: stats.forward_seconds,
            backward_seconds: stats.backward_seconds,
            peak: host::peak_resident(),
        })
    }
}
