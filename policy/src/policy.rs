//! A policy in one piece: frozen weights, tokenizer and image processor, as a checkpoint folder holds them.

use std::{path::Path, sync::Arc};

use addendum_kernels::serially;
use addendum_studies::{ImageSource, Part, Prompt};
use candle_core::{DType, Device, Tensor};

use crate::{
    Adapter, Config, Error, Result,
    algorithm::Algorithm,
    checkpoint::{
        self,
        folder::{self, CONFIG, GENERATION, IMAGES, TOKENIZER, TOKENIZER_CONFIG, write_json},
        load_weights, save_weights, write_whole,
    },
    generate::{GenerateRequest, Newest, Sample, generate, generate_swapping},
    image::{ImageConfig, ImageProcessor, Patches, PixelLimits},
    learner::{Learner, LearnerConfig},
    model::Model,
    pack::{EncodedPrompt, PromptTokens},
    sampling::TokenSampler,
    tokenizer::{PromptPart, ReportTokenizer},
    weights::Weights,
};

/// The base policy. Immutable; share it by reference count.
#[derive(Debug)]
pub struct Policy {
    config: Config,
    weights: Weights,
    model: Model,
    tokenizer: ReportTokenizer,
    images: ImageProcessor,
    device: Device,
}

impl Policy {
    pub fn new(
        config: Config,
        weights: Weights,
        tokenizer: ReportTokenizer,
        images: ImageConfig,
        device: Device,
    ) -> Result<Self> {
        let (v, i) = (&config.vision, &images);
        let expected = (v.patch_size, v.temporal_patch_size, v.spatial_merge_size);
        if (i.patch_size, i.temporal_patch_size, i.merge_size) != expected {
            let reason = format!("patch, temporal and merge sizes differ from the vision tower's {expected:?}");
            return Err(Error::invalid("image processor", reason));
        }
        if tokenizer.vocab_size() > config.text.vocab_size {
            let reason = format!("has {} tokens, the model {}", tokenizer.vocab_size(), config.text.vocab_size);
            return Err(Error::invalid("tokenizer", reason));
        }
        let special = tokenizer.special();
        let ids = [
            ("image_token_id", config.image_token_id, special.image_pad),
            ("vision_start_token_id", config.vision_start_token_id, special.vision_start),
            ("vision_end_token_id", config.vision_end_token_id, special.vision_end),
        ];
        if let Some((field, found, expected)) = ids.into_iter().find(|(_, found, expected)| found != expected) {
            return Err(Error::invalid(field, format!("{found} in the config, {expected} in the tokenizer")));
        }
        // Which of the two it is, is up to the checkpoint; what ends a report is the tokenizer's.
        if ![special.turn_end, special.end_of_text].contains(&config.eos_token_id) {
            let reason = format!(
                "{} in the config; <|im_end|> is {} in the tokenizer, <|endoftext|> {}",
                config.eos_token_id, special.turn_end, special.end_of_text
            );
            return Err(Error::invalid("eos_token_id", reason));
        }
        let model = Model::new(&config, &weights)?;
        let images = ImageProcessor::from_config(images)?;
        Ok(Self { config, weights, model, tokenizer, images, device })
    }

    /// Loads a checkpoint folder in the published layout: `config.json`, `model.safetensors` (or shards),
    /// `tokenizer.json`, `preprocessor_config.json`; where they are there, the chat template and the end tokens of
    /// `generation_config.json`. Without a chat template a prompt is the user's turn alone.
    ///
    /// # Errors
    /// Names the file: one that is missing or damaged, files that do not fit each other, weights that are missing, of
    /// another shape, not finite, or of no layer that the config speaks of.
    pub fn load(dir: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = Config::load(&dir.join(CONFIG))?;
        let tokenizer = folder::tokenizer(dir)?;
        let images = folder::images(dir)?;
        let weights = load_weights(dir, dtype, device)?;
        weights.refuse_strays(&config)?;
        Self::new(config, weights, tokenizer, images, device.clone()).map_err(|error| match error {
            Error::Invalid { .. } => Error::file(dir, error),
            named => named,
        })
    }

    /// The same policy with other bounds on an image's pixels, passed straight to `smart_resize`. The paper's are 262,144
    /// and 401,408; published checkpoints allow far larger images.
    ///
    /// # Errors
    /// Bounds that cross, or beyond what the processor takes.
    pub fn with_pixels(self, limits: PixelLimits) -> Result<Self> {
        let config = ImageConfig { min_pixels: limits.min, max_pixels: limits.max, ..self.images.config().clone() };
        Ok(Self { images: ImageProcessor::from_config(config)?, ..self })
    }

    /// Writes a checkpoint folder that [`Policy::load`] and transformers read. `config.json` is written last.
    pub fn save(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        save_weights(&self.weights, &dir.join(checkpoint::SINGLE))?;
        write_whole(&dir.join(TOKENIZER), self.tokenizer.to_json()?.as_bytes())?;
        write_json(&dir.join(TOKENIZER_CONFIG), &folder::tokenizer_config(&self.tokenizer))?;
        write_json(&dir.join(GENERATION), &folder::generation_config(&self.tokenizer))?;
        write_json(&dir.join(IMAGES), &folder::image_config(self.images.config())?)?;
        let mut config = self.config.to_json();
        config["torch_dtype"] = match self.weights.tensors().get("model.embed_tokens.weight").map(Tensor::dtype) {
            Some(DType::BF16) => "bfloat16",
            Some(DType::F16) => "float16",
            _ => "float32",
        }
        .into();
        write_json(&dir.join(CONFIG), &config)
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn tokenizer(&self) -> &ReportTokenizer {
        &self.tokenizer
    }

    pub fn images(&self) -> &ImageConfig {
        self.images.config()
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The prompt's tokens and its images as patches.
    pub fn tokenise(&self, prompt: &Prompt) -> Result<(PromptTokens, Vec<Patches>)> {
        let parts = prompt.parts();
        let mut images = Vec::new();
        let mut pieces = Vec::with_capacity(parts.len());
        for part in &parts {
            pieces.push(match part {
                Part::Text(text) => PromptPart::Text(text),
                Part::Image(view) => {
                    let pixels = view.load().map_err(|e| Error::invalid("image", e.to_string()))?;
                    let patches = self.images.process(&pixels).map_err(|error| match &view.image {
                        ImageSource::File(path) => Error::file(path, error),
                        ImageSource::Pixels(_) => error,
                    })?;
                    let tokens = self.images.tokens(patches.grid);
                    images.push(patches);
                    PromptPart::Image { tokens }
                }
            });
        }
        let ids = self.tokenizer.chat_prompt(None, &pieces)?;
        let grids: Vec<_> = images.iter().map(|image| image.grid).collect();
        let merge = self.config.vision.spatial_merge_size;
        Ok((PromptTokens::new(ids, self.config.image_token_id, &grids, merge)?, images))
    }

    /// A prompt ready for the language model. On the CPU the result does not depend on the calling thread's pool.
    pub fn encode(&self, prompt: &Prompt) -> Result<EncodedPrompt> {
        let (tokens, images) = self.tokenise(prompt)?;
        let features = if images.is_empty() {
            None
        } else {
            let images: Vec<&Patches> = images.iter().collect();
            Some(serially(|| self.model.vision.forward_images(&images, &self.device))?)
        };
        Ok(EncodedPrompt { tokens, features })
    }

    /// Samples responses; see [`generate`]. No token of images or videos is ever drawn.
    pub fn generate(
        &self,
        adapter: Option<&Adapter>,
        requests: &[GenerateRequest],
        sampler: &TokenSampler,
    ) -> Result<Vec<Vec<Sample>>> {
        let sampler = sampler.without(&self.tokenizer.special().vision());
        generate(&self.model.language, adapter, requests, &sampler, self.tokenizer.stop_tokens())
    }

    /// As [`Policy::generate`], with the newest adapter that there is at each token; see [`generate_swapping`].
    pub fn generate_swapping(
        &self,
        newest: &Newest,
        requests: &[GenerateRequest],
        sampler: &TokenSampler,
    ) -> Result<Vec<Vec<Sample>>> {
        let sampler = sampler.without(&self.tokenizer.special().vision());
        generate_swapping(&self.model.language, newest, requests, &sampler, self.tokenizer.stop_tokens())
    }

    /// A learner of `adapter` over these frozen weights.
    pub fn learner(&self, adapter: Adapter, algorithm: Arc<dyn Algorithm>, config: LearnerConfig) -> Result<Learner> {
        Learner::new(self.config.clone(), self.model.language.clone(), adapter, algorithm, config)
    }
}
