//! How a checkpoint reads prompts: tokenizer with its chat template, and image processor. No weights.

use std::path::Path;

use addendum_studies::{ImageSource, Part, Pixels, Prompt};

use crate::{
    Config, Error, Result,
    checkpoint::folder::{self, CONFIG},
    image::{ImageConfig, ImageProcessor, Patches, PixelLimits},
    pack::PromptTokens,
    tokenizer::{PromptPart, ReportTokenizer},
};

/// Bytes of a prompt's text, images not counted. The longest clinical contexts of public datasets have some thousand; what is
/// longer is a mistake in a dataset, and would keep a machine busy for minutes.
const LONGEST_TEXT: usize = 1 << 15;

/// What makes tokens and patches of prompts for a model of this shape.
#[derive(Clone, Debug)]
pub struct Processor {
    config: Config,
    tokenizer: ReportTokenizer,
    images: ImageProcessor,
}

impl Processor {
    /// # Errors
    /// Parts that do not fit each other, named by the field in which they differ.
    pub fn new(config: Config, tokenizer: ReportTokenizer, images: ImageConfig) -> Result<Self> {
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
        Ok(Self { config, tokenizer, images: ImageProcessor::from_config(images)? })
    }

    /// Reads a checkpoint folder's `config.json`, `tokenizer.json` and `preprocessor_config.json`; where they are there,
    /// its chat template and the end tokens of `generation_config.json`.
    ///
    /// # Errors
    /// Names the file that is missing or damaged, or the folder whose files do not fit each other.
    pub fn load(dir: &Path) -> Result<Self> {
        let (config, tokenizer) = (Config::load(&dir.join(CONFIG))?, folder::tokenizer(dir)?);
        Self::new(config, tokenizer, folder::images(dir)?).map_err(Error::of_folder(dir))
    }

    /// The same with other bounds on an image's pixels, passed straight to `smart_resize`.
    ///
    /// # Errors
    /// Bounds that cross, or beyond what the processor takes.
    pub fn with_pixels(self, limits: PixelLimits) -> Result<Self> {
        let config = ImageConfig { min_pixels: limits.min, max_pixels: limits.max, ..self.images.config().clone() };
        Ok(Self { images: ImageProcessor::from_config(config)?, ..self })
    }

    /// Sizes and token ids.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// With its chat template and end tokens.
    pub fn tokenizer(&self) -> &ReportTokenizer {
        &self.tokenizer
    }

    /// The image processor's settings.
    pub fn images(&self) -> &ImageConfig {
        self.images.config()
    }

    /// The prompt's tokens and its images as patches.
    ///
    /// # Errors
    /// An image that cannot be read or used, named by its file; a chat template that cannot be rendered; more than 32,768
    /// bytes of text.
    pub fn tokenise(&self, prompt: &Prompt) -> Result<(PromptTokens, Vec<Patches>)> {
        let (tokens, images) = self.resize(prompt)?;
        Ok((tokens, images.iter().map(|pixels| self.images.patches(pixels)).collect()))
    }

    /// The prompt's tokens and its images after their resize: what another engine with the same checkpoint neither
    /// shrinks nor enlarges any more.
    ///
    /// # Errors
    /// As [`Processor::tokenise`].
    pub fn resize(&self, prompt: &Prompt) -> Result<(PromptTokens, Vec<Pixels>)> {
        if prompt.text.len() > LONGEST_TEXT {
            let reason = format!("has {} bytes of text, expected at most {LONGEST_TEXT}", prompt.text.len());
            return Err(Error::invalid("prompt", reason));
        }
        let parts = prompt.parts();
        let (mut images, mut grids) = (Vec::new(), Vec::new());
        let mut pieces = Vec::with_capacity(parts.len());
        for part in &parts {
            pieces.push(match part {
                Part::Text(text) => PromptPart::Text(text),
                Part::Image(view) => {
                    let pixels = view.load().map_err(|e| Error::invalid("image", e.to_string()))?;
                    let pixels = self.images.resize(&pixels).map_err(|error| match &view.image {
                        ImageSource::File(path) => Error::file(path, error),
                        ImageSource::Pixels(_) => error,
                    })?;
                    let grid = self.images.grid(&pixels);
                    images.push(pixels);
                    grids.push(grid);
                    PromptPart::Image { tokens: self.images.tokens(grid) }
                }
            });
        }
        let ids = self.tokenizer.chat_prompt(None, &pieces)?;
        let merge = self.config.vision.spatial_merge_size;
        Ok((PromptTokens::new(ids, self.config.image_token_id, &grids, merge)?, images))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_of_fifty_thousand_words_is_refused_at_once() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/checkpoints/phantom-tiny");
        let processor = Processor::load(&folder).unwrap();
        let prompt = |words| Prompt { views: Vec::new(), text: "cough ".repeat(words) };
        assert!(processor.tokenise(&prompt(5_000)).is_ok());
        let error = processor.tokenise(&prompt(50_000)).unwrap_err().to_string();
        assert!(error.contains("300000 bytes of text, expected at most 32768"), "{error}");
    }
}
