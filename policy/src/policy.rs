//! A policy in one piece: frozen weights, tokenizer and image processor, as a checkpoint folder holds them.

use std::{path::Path, sync::Arc};

use addendum_kernels::serially;
use addendum_studies::Prompt;
use candle_core::{DType, Device, Tensor};

use crate::{
    Adapter, Config, Error, Result,
    algorithm::Algorithm,
    checkpoint::{
        self,
        folder::{self, CONFIG, GENERATION, IMAGES, TOKENIZER, TOKENIZER_CONFIG, write_json},
        load_weights, save_weights, write_whole,
    },
    generate::{Batch, BatchConfig, GenerateRequest, Sample, generate},
    image::{ImageConfig, Patches, PixelLimits},
    learner::{Learner, LearnerConfig},
    model::Model,
    pack::{EncodedPrompt, PromptTokens},
    processor::Processor,
    sampling::TokenSampler,
    tokenizer::ReportTokenizer,
    weights::Weights,
};

/// The base policy. Immutable; share it by reference count.
#[derive(Debug)]
pub struct Policy {
    processor: Processor,
    model: Model,
    device: Device,
}

impl Policy {
    /// A policy of these parts.
    ///
    /// # Errors
    /// Parts that do not fit each other; a weight that is missing or of another shape, by name.
    pub fn new(
        config: Config,
        weights: Weights,
        tokenizer: ReportTokenizer,
        images: ImageConfig,
        device: Device,
    ) -> Result<Self> {
        Self::of(Processor::new(config, tokenizer, images)?, weights, device)
    }

    fn of(processor: Processor, weights: Weights, device: Device) -> Result<Self> {
        let model = Model::taking(processor.config(), weights)?;
        Ok(Self { processor, model, device })
    }

    /// Loads a checkpoint folder in the published layout: `config.json`, `model.safetensors` (or shards),
    /// `tokenizer.json`, `preprocessor_config.json`; where they are there, the chat template and the end tokens of
    /// `generation_config.json`. Without a chat template a prompt is the user's turn alone.
    ///
    /// # Errors
    /// Names the file: one that is missing or damaged, files that do not fit each other, weights that are missing, of
    /// another shape, not finite, or of no layer that the config speaks of.
    pub fn load(dir: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let processor = Processor::load(dir)?;
        let weights = load_weights(dir, dtype, device)?;
        weights.refuse_strays(processor.config())?;
        Self::of(processor, weights, device.clone()).map_err(Error::of_folder(dir))
    }

    /// The same policy with other bounds on an image's pixels, passed straight to `smart_resize`. The paper's are 262,144
    /// and 401,408; published checkpoints allow far larger images.
    ///
    /// # Errors
    /// Bounds that cross, or beyond what the processor takes.
    pub fn with_pixels(self, limits: PixelLimits) -> Result<Self> {
        Ok(Self { processor: self.processor.with_pixels(limits)?, ..self })
    }

    /// Writes a checkpoint folder that [`Policy::load`] and transformers read. `config.json` is written last.
    pub fn save(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let weights = self.weights()?;
        save_weights(&weights, &dir.join(checkpoint::SINGLE))?;
        write_whole(&dir.join(TOKENIZER), self.tokenizer().to_json()?.as_bytes())?;
        write_json(&dir.join(TOKENIZER_CONFIG), &folder::tokenizer_config(self.tokenizer()))?;
        write_json(&dir.join(GENERATION), &folder::generation_config(self.tokenizer()))?;
        write_json(&dir.join(IMAGES), &folder::image_config(self.images())?)?;
        let mut config = self.config().to_json();
        config["torch_dtype"] = match weights.tensors().get("model.embed_tokens.weight").map(Tensor::dtype) {
            Some(DType::BF16) => "bfloat16",
            Some(DType::F16) => "float16",
            _ => "float32",
        }
        .into();
        write_json(&dir.join(CONFIG), &config)
    }

    /// Sizes and token ids.
    pub fn config(&self) -> &Config {
        self.processor.config()
    }

    /// The weights by published name, as views.
    pub fn weights(&self) -> Result<Weights> {
        self.model.weights()
    }

    /// The network.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// With its chat template and end tokens.
    pub fn tokenizer(&self) -> &ReportTokenizer {
        self.processor.tokenizer()
    }

    /// The image processor's settings.
    pub fn images(&self) -> &ImageConfig {
        self.processor.images()
    }

    /// Tokenizer and image processor, which need no weights.
    pub fn processor(&self) -> &Processor {
        &self.processor
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// As [`Processor::tokenise`].
    pub fn tokenise(&self, prompt: &Prompt) -> Result<(PromptTokens, Vec<Patches>)> {
        self.processor.tokenise(prompt)
    }

    /// A prompt ready for the language model. On the CPU the result does not depend on the calling thread's pool.
    pub fn encode(&self, prompt: &Prompt) -> Result<EncodedPrompt> {
        let (tokens, images) = self.tokenise(prompt)?;
        self.encode_tokenised(tokens, &images)
    }

    /// The rest of [`Policy::encode`], after [`Policy::tokenise`].
    pub fn encode_tokenised(&self, tokens: PromptTokens, images: &[Patches]) -> Result<EncodedPrompt> {
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
        let sampler = sampler.without(&self.tokenizer().special().vision());
        generate(&self.model.language, adapter, requests, &sampler, self.tokenizer().stop_tokens())
    }

    /// A batch to sample with; see [`Batch`]. No token of images or videos is ever drawn.
    ///
    /// # Errors
    /// As [`Batch::new`].
    pub fn batch(&self, sampler: &TokenSampler, config: BatchConfig) -> Result<Batch<'static>> {
        let sampler = sampler.without(&self.tokenizer().special().vision());
        Batch::new(self.model.language.clone(), sampler, self.tokenizer().stop_tokens(), config)
    }

    /// A learner of `adapter` over these frozen weights.
    pub fn learner(&self, adapter: Adapter, algorithm: Arc<dyn Algorithm>, config: LearnerConfig) -> Result<Learner> {
        Learner::new(self.config().clone(), self.model.language.clone(), adapter, algorithm, config)
    }
}
