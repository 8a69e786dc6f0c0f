//! Supervised fine-tuning learns, the same in any number of parts, and with an adapter leaves the base alone.

use addendum_policy::{
    Adapter, Config, LoraConfig,
    image::Patches,
    learner::LearnerState,
    model::Weights,
    pack::PromptTokens,
    schedule::Schedule,
    sft::{SftConfig, SftExample, SftTrainer, Trainable},
};
use candle_core::{DType, Device, Tensor};

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

fn weights(dtype: DType) -> Weights {
    Weights::random(&Config::tiny(50), 1, dtype, &Device::Cpu).unwrap()
}

fn trainer(lora: bool, weights: Weights, config: SftConfig) -> SftTrainer {
    let model = Config::tiny(50);
    let trainable = if lora {
        let adapter = Adapter::new(&model, LoraConfig::default(), 2, &Device::Cpu).unwrap();
        Trainable::Lora(weights, adapter)
    } else {
        Trainable::All(weights)
    };
    let schedule = Schedule { learning_rate: 3e-3, ..Schedule::default() };
    SftTrainer::new(&model, trainable, SftConfig { schedule, ..config }, &Device::Cpu).unwrap()
}

/// Losses of 15 steps on one batch.
fn losses(lora: bool, config: SftConfig) -> Vec<f64> {
    let mut trainer = trainer(lora, weights(DType::F32), config);
    let losses = (0..15).map(|_| trainer.step(&batch()).unwrap().loss).collect();
    assert_eq!(trainer.parameters().keys().all(|name| name.contains(".lora_")), lora, "what is trained");
    losses
}

#[test]
fn the_loss_falls_with_all_weights_and_with_an_adapter() {
    for lora in [false, true] {
        let losses = losses(lora, SftConfig::default());
        assert!((losses[0] - 50f64.ln()).abs() < 0.5, "random weights know nothing: {}", losses[0]);
        assert!(losses[14] < 0.9 * losses[0], "lora {lora}: {losses:?}");
    }
}

#[test]
fn a_batch_in_parts_has_the_gradient_of_the_whole() {
    for lora in [false, true] {
        let whole = losses(lora, SftConfig { parts: 1, ..SftConfig::default() });
        for config in [
            SftConfig { parts: 3, ..SftConfig::default() },
            SftConfig { parts: 1, micro_batch_tokens: 1, ..SftConfig::default() },
            SftConfig { micro_batch_tokens: 20, recompute: true, ..SftConfig::default() },
        ] {
            let parts = losses(lora, config);
            assert!((whole[0] - parts[0]).abs() < 1e-5 && (whole[1] - parts[1]).abs() < 1e-3, "{whole:?} {parts:?}");
        }
    }
}

#[test]
fn an_adapter_learns_over_weights_of_half_precision_and_leaves_them_alone() {
    let weights = weights(DType::BF16);
    let bits = |weights: &Weights| -> Vec<Vec<f32>> {
        let values = |t: &Tensor| t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        weights.tensors().values().map(values).collect()
    };
    let before = bits(&weights);
    let mut trainer = trainer(true, weights.clone(), SftConfig::default());
    let fresh = trainer.adapter().unwrap().clone();
    let losses: Vec<f64> = (0..15).map(|_| trainer.step(&batch()).unwrap().loss).collect();
    assert!(losses[14] < 0.9 * losses[0], "{losses:?}");
    assert!(bits(&weights) == before && *trainer.adapter().unwrap() != fresh);
    assert!(trainer.adapter().unwrap().tensors().keys().eq(trainer.parameters().keys()));
}

#[test]
fn a_restored_trainer_goes_on_bit_for_bit() {
    for lora in [false, true] {
        let fresh = || trainer(lora, weights(DType::F32), SftConfig::default());
        let (mut one, mut two) = (fresh(), fresh());
        one.step(&batch()).unwrap();
        let state = LearnerState::from_bytes(&one.state().unwrap().to_bytes()).unwrap();
        two.restore(&state).unwrap();
        assert_eq!(one.step(&batch()).unwrap().loss, two.step(&batch()).unwrap().loss);
        assert!(one.state().unwrap() == two.state().unwrap() && two.steps() == 2);
        let mut other = trainer(!lora, weights(DType::F32), SftConfig::default());
        assert!(other.restore(&state).is_err() && other.steps() == 0, "a state of other weights");
    }
}

#[test]
fn settings_that_mean_nothing_are_refused_by_name() {
    for (config, field) in [
        (SftConfig { batch_size: 0, ..SftConfig::default() }, "batch_size"),
        (SftConfig { parts: 0, ..SftConfig::default() }, "parts"),
        (SftConfig { micro_batch_tokens: 0, ..SftConfig::default() }, "micro_batch_tokens"),
    ] {
        assert_eq!(config.validate().unwrap_err().to_string(), format!("{field}: 0 is not at least 1"));
    }
}
