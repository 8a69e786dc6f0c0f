//! Supervised fine-tuning learns, the same in any number of parts, and with an adapter leaves the base alone.

use addendum_policy::{
    Adapter, Config, LoraConfig,
    image::Patches,
    model::Weights,
    pack::PromptTokens,
    schedule::Schedule,
    sft::{SftConfig, SftExample, SftTrainer, Trainable},
};
use candle_core::{DType, Device};

const IMAGE: u32 = 49;

fn batch() -> Vec<SftExample> {
    let grid = [1, 4, 4];
    let example = |i: u32| SftExample {
        prompt: PromptTokens::new([vec![i], vec![IMAGE; 4], vec![3]].concat(), IMAGE, &[grid], 2).unwrap(),
        images: vec![Patches { rows: vec![0.1 * i as f32; 16 * 1176], grid }],
        response: (0..5 + i).map(|t| (t * 7 + i) % IMAGE).collect(),
    };
    (0..4).map(example).collect()
}

/// Losses of 15 steps on one batch.
fn losses(lora: bool, parts: usize) -> Vec<f64> {
    let model = Config::tiny(50);
    let weights = Weights::random(&model, 1, DType::F32, &Device::Cpu).unwrap();
    let trainable = if lora {
        let adapter = Adapter::new(&model, LoraConfig::default(), 2, &Device::Cpu).unwrap();
        Trainable::Lora(weights, adapter)
    } else {
        Trainable::All(weights)
    };
    let schedule = Schedule { learning_rate: 3e-3, ..Schedule::default() };
    let config = SftConfig { schedule, parts, ..SftConfig::default() };
    let mut trainer = SftTrainer::new(&model, trainable, config, &Device::Cpu).unwrap();
    let losses = (0..15).map(|_| trainer.step(&batch()).unwrap().loss).collect();
    assert_eq!(trainer.parameters().keys().all(|name| name.contains(".lora_")), lora, "what is trained");
    losses
}

#[test]
fn the_loss_falls_with_all_weights_and_with_an_adapter() {
    for lora in [false, true] {
        let losses = losses(lora, 2);
        assert!((losses[0] - 50f64.ln()).abs() < 0.5, "random weights know nothing: {}", losses[0]);
        assert!(losses[14] < 0.9 * losses[0], "lora {lora}: {losses:?}");
    }
}

#[test]
fn a_batch_in_parts_has_the_gradient_of_the_whole() {
    let (whole, parts) = (losses(false, 1), losses(false, 3));
    assert!((whole[0] - parts[0]).abs() < 1e-5 && (whole[1] - parts[1]).abs() < 1e-3, "{whole:?} {parts:?}");
}
