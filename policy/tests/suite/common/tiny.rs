//! A random policy as small as can be, tokenizer included.

#![allow(dead_code)]

use addendum_policy::{Config, Policy, image::ImageConfig, model::Weights, tokenizer::ReportTokenizer};
use candle_core::{DType, Device};

pub fn tiny_policy() -> Policy {
    let tokenizer = ReportTokenizer::train(["The heart is normal. The lungs are clear."], 270).unwrap();
    let mut config = Config::tiny(tokenizer.vocab_size());
    (config.text.hidden_size, config.text.intermediate_size, config.text.layers) = (16, 24, 2);
    (config.text.heads, config.text.kv_heads, config.text.mrope_section) = (2, 1, [2, 1, 1]);
    (config.vision.hidden_size, config.vision.intermediate_size, config.vision.heads) = (16, 24, 2);
    config.vision.out_hidden_size = 16;
    let special = tokenizer.special();
    (config.image_token_id, config.eos_token_id) = (special.image_pad, special.turn_end);
    (config.vision_start_token_id, config.vision_end_token_id) = (special.vision_start, special.vision_end);
    let weights = Weights::random(&config, 0, DType::F32, &Device::Cpu).unwrap();
    Policy::new(config, weights, tokenizer, ImageConfig::default(), Device::Cpu).unwrap()
}
