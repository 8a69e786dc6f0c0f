//! Weight matrices in half precision against the f32 reference implementation, with the looser bounds that rounding the
//! weights alone explains (activations stay f32): about 0.4 % of a value in bf16, 0.05 % in f16.

use crate::common::{assert_close, fixture, json, network::*};
use addendum_policy::{
    checkpoint::load_weights,
    model::{Model, Weights},
    optim::global_norm,
};
use candle_core::{DType, Device, Tensor};
use serde_json::Value;

/// Bounds for one type.
struct Bounds {
    dtype: DType,
    features: f32,
    logits: f32,
    /// Relative, of loss and gradient norm.
    scalars: f64,
    /// Of a gradient, relative to the largest of its tensor.
    gradients: f32,
}

const BF16: Bounds = Bounds { dtype: DType::BF16, features: 0.015, logits: 0.2, scalars: 0.02, gradients: 0.06 };
const F16: Bounds = Bounds { dtype: DType::F16, features: 0.002, logits: 0.025, scalars: 0.003, gradients: 0.008 };

fn weights(dtype: DType) -> Weights {
    load_weights(&fixture("qwen2_5_vl_tiny"), dtype, &Device::Cpu).unwrap()
}

/// Root mean square and largest difference: the mean within the bound, no single one more than six times beyond it.
#[track_caller]
fn close(found: &[f32], expected: &[f32], bound: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let gaps: Vec<f32> = found.iter().zip(expected).map(|(x, y)| (x - y).abs()).collect();
    let mean = (gaps.iter().map(|gap| gap * gap).sum::<f32>() / gaps.len() as f32).sqrt();
    assert!(mean <= bound && largest(&gaps) <= 6.0 * bound, "{what}: {mean} on average, {} at most", largest(&gaps));
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, x| most.max(x.abs()))
}

#[test]
fn parity_half_precision_is_what_is_kept() {
    for bounds in [BF16, F16] {
        let weights = weights(bounds.dtype);
        for (name, tensor) in weights.tensors() {
            let matrix = !name.ends_with("bias") && tensor.rank() > 1;
            assert_eq!(tensor.dtype(), if matrix { bounds.dtype } else { DType::F32 }, "{name}");
        }
    }
}

#[test]
fn parity_half_precision_features_logits_and_log_probs() {
    let config = config();
    let adapter = adapter(&config);
    for bounds in [BF16, F16] {
        let model = Model::new(&config, &weights(bounds.dtype)).unwrap();
        let what = |what: &str| format!("{what} in {:?}", bounds.dtype);
        let names = ["img1", "img2"].map(String::from);
        let (pixels, grids) = images(&names);
        let features = model.vision.forward(&Tensor::cat(&pixels, 0).unwrap(), &grids).unwrap();
        let expected = tensors("qwen2_5_vl_tiny/vision_img1_img2.safetensors");
        close(&floats(&features), &floats(&expected["image_features"]), bounds.features, &what("features"));
        for name in ["a", "b", "c"] {
            let expected = tensors(&format!("qwen2_5_vl_tiny/case_{name}.safetensors"));
            let case = case(name, &config, &model);
            close(&logits(&model, &case, None), &floats(&expected["logits"]), bounds.logits, &what("logits"));
            for temperature in [1.0, 0.7] {
                let start = case.prompt.tokens.ids.len();
                let found = packed(std::slice::from_ref(&case)).log_probs(&model.language, None, temperature).unwrap();
                for (key, found) in [("logprobs", found.log_probs), ("entropies", found.entropy)] {
                    let expected = &floats(&expected[&format!("{key}_t{temperature:.1}")])[start..];
                    close(&floats(&found), expected, bounds.logits, &what(key));
                }
            }
        }
        let expected = tensors("lora/expected.safetensors");
        let found = logits(&model, &case("c", &config, &model), Some(&adapter));
        close(&found, &floats(&expected["case_c.logits"]), bounds.logits, &what("logits with the adapter"));
    }
}

#[test]
fn parity_half_precision_adapter_gradients() {
    let config = config();
    let adapter = adapter(&config);
    let expected: Value = json("lora/gradients.json");
    for bounds in [BF16, F16] {
        let model = Model::new(&config, &weights(bounds.dtype)).unwrap();
        let (loss, gradients) = lora_gradient(&config, &model, &adapter, &cases(&config, &model));
        assert_close(loss, expected["loss"].as_f64().unwrap(), bounds.scalars, 0.0, "loss");
        let norm = global_norm(&gradients).unwrap();
        assert_close(norm, expected["total_grad_norm"].as_f64().unwrap(), bounds.scalars, 0.0, "gradient norm");
        for (name, expected) in tensors("lora/gradients.safetensors") {
            let name = name.strip_prefix("base_model.model.").unwrap();
            assert_eq!(gradients[name].dtype(), DType::F32);
            let expected = floats(&expected);
            close(&floats(&gradients[name]), &expected, bounds.gradients * largest(&expected), name);
        }
    }
}
