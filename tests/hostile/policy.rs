//! Folders of policies and of their adapters.

use std::sync::LazyLock;

use addendum::policy::{
    Adapter, Config, LoraConfig, Policy, image::ImageConfig, model::Weights, tokenizer::ReportTokenizer,
};
use candle_core::{DType, Device};

use crate::files::{self, Files};

static WHOLE: LazyLock<(Config, Files, Files)> = LazyLock::new(|| {
    let tokenizer =
        ReportTokenizer::train(["The heart is normal. The lungs are clear."], 270).expect("it has its tokens");
    let mut config = Config::tiny(tokenizer.vocab_size());
    (config.text.hidden_size, config.text.intermediate_size, config.text.layers) = (16, 24, 2);
    (config.text.heads, config.text.kv_heads, config.text.mrope_section) = (2, 1, [2, 1, 1]);
    (config.vision.hidden_size, config.vision.intermediate_size, config.vision.heads) = (16, 24, 2);
    config.vision.out_hidden_size = 16;
    let special = tokenizer.special();
    (config.image_token_id, config.eos_token_id) = (special.image_pad, special.turn_end);
    (config.vision_start_token_id, config.vision_end_token_id) = (special.vision_start, special.vision_end);
    let weights = Weights::random(&config, 0, DType::F32, &Device::Cpu).expect("the shapes are those of a policy");
    let lora = LoraConfig { rank: 2, ..LoraConfig::default() };
    let adapter = Adapter::new(&config, lora, 1, &Device::Cpu).expect("the rank is possible");
    let policy = Policy::new(config.clone(), weights, tokenizer, ImageConfig::default(), Device::Cpu)
        .expect("config, weights and tokenizer fit");
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder can be made"));
    policy.save(folders[0].path()).expect("it can be written");
    adapter.save_peft(folders[1].path(), "base").expect("it can be written");
    let [policy, adapter] = folders.map(|folder| files::of(folder.path()));
    (config, policy, adapter)
});

pub fn seeds() -> Vec<Vec<u8>> {
    files::seeds(&WHOLE.1)
}

pub fn read(input: &[u8]) -> bool {
    files::with(&WHOLE.1, input, |folder| Policy::load(folder, DType::F32, &Device::Cpu).is_ok())
}

pub fn adapter_seeds() -> Vec<Vec<u8>> {
    files::seeds(&WHOLE.2)
}

pub fn read_adapter(input: &[u8]) -> bool {
    files::with(&WHOLE.2, input, |folder| Adapter::load_peft(&WHOLE.0, folder, &Device::Cpu).is_ok())
}
