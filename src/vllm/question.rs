//! What a server is asked for: a chat with the study's images, as our own sampler would see it.

use std::io::Cursor;

use addendum_actors::EngineError;
use addendum_policy::{Processor, SamplingConfig};
use addendum_studies::{Part, Pixels, Prompt};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{
    ExtendedColorType, ImageEncoder,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};
use serde_json::{Value, json};

use super::VllmError;

/// The reports of one study, to be asked for.
pub(super) struct Question {
    pub study: String,
    /// The prompt's tokens as we read it, one for each place of an image.
    pub ids: Vec<u32>,
    pub reports: usize,
    body: Value,
}

impl Question {
    /// Images are sent as they are after our resize, so that the server has nothing to resize. `seeds` has one per
    /// report, of which the first is sent: vLLM counts on from it.
    ///
    /// # Errors
    /// A study that cannot be read; an image that cannot be written as PNG.
    pub fn new(
        study: &str,
        prompt: &Prompt,
        seeds: &[u64],
        processor: &Processor,
        sampling: &SamplingConfig,
        send_chat_template: bool,
    ) -> Result<Self, EngineError> {
        let (tokens, images) = processor.resize(prompt)?;
        let mut images = images.iter();
        let mut content = Vec::new();
        for part in prompt.parts() {
            content.push(match part {
                Part::Text(text) => json!({"type": "text", "text": text}),
                Part::Image(_) => {
                    let image = images.next().ok_or("an image of the prompt is missing")?;
                    json!({"type": "image_url", "image_url": {"url": data_uri(image)?}})
                }
            });
        }
        let tokenizer = processor.tokenizer();
        let mut body = json!({
            "messages": [{"role": "user", "content": content}],
            "n": seeds.len(),
            // vLLM takes a signed number.
            "seed": seeds.first().map(|seed| seed >> 1),
            "max_tokens": sampling.max_new_tokens,
            "stop_token_ids": tokenizer.stop_tokens(),
            "logprobs": true,
            "return_token_ids": true,
            "skip_special_tokens": false,
        });
        settings(&mut body, sampling);
        if send_chat_template {
            body["chat_template"] = json!(tokenizer.template().source());
        }
        Ok(Self { study: study.into(), ids: tokens.ids, reports: seeds.len(), body })
    }

    /// The request to a server that has this adapter.
    pub fn of(&self, adapter: &str) -> Value {
        let mut body = self.body.clone();
        body["model"] = json!(adapter);
        body
    }

    /// Whether the server read the prompt as we do.
    ///
    /// # Errors
    /// It did not; both are shown from where they differ.
    pub fn check(&self, url: &str, theirs: &[u32]) -> Result<(), VllmError> {
        if theirs == self.ids {
            return Ok(());
        }
        let at = theirs.iter().zip(&self.ids).take_while(|(a, b)| a == b).count();
        let from = |ids: &[u32]| ids[at.min(ids.len())..].iter().take(8).copied().collect();
        Err(VllmError::Prompt {
            url: url.to_owned(),
            study: self.study.clone(),
            at,
            theirs: from(theirs),
            their_count: theirs.len(),
            ours: from(&self.ids),
            our_count: self.ids.len(),
        })
    }
}

/// How tokens are drawn, in vLLM's words.
fn settings(body: &mut Value, sampling: &SamplingConfig) {
    body["temperature"] = json!(sampling.temperature);
    if let Some(top_k) = sampling.top_k {
        body["top_k"] = json!(top_k);
    }
    for (name, value, usual) in [
        ("top_p", sampling.top_p, 1.0),
        ("min_p", sampling.min_p, 0.0),
        ("repetition_penalty", sampling.repetition_penalty, 1.0),
    ] {
        if value != usual {
            body[name] = json!(value);
        }
    }
    if !sampling.suppressed_tokens.is_empty() {
        // The least that the API takes; it leaves a token e^-100 of its probability.
        let bias = sampling.suppressed_tokens.iter().map(|id| (id.to_string(), json!(-100)));
        body["logit_bias"] = Value::Object(bias.collect());
    }
}

fn data_uri(pixels: &Pixels) -> Result<String, EngineError> {
    let mut png = Cursor::new(Vec::new());
    let colour = if pixels.channels() == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let size = |side: usize| u32::try_from(side).map_err(|_| format!("an image side of {side} pixels is too long"));
    PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Sub).write_image(
        pixels.levels(),
        size(pixels.width())?,
        size(pixels.height())?,
        colour,
    )?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(png.into_inner())))
}
