//! The supervised loss and its gradients against the reference implementation, over a padded batch.

use crate::common::{assert_close, json, network::*, padded::Padded};
use addendum_policy::model::{Model, Weights};
use serde_json::Value;

#[test]
fn parity_supervised_loss_and_gradients_of_all_weights() {
    let (config, weights) = (config(), weights());
    let vars = weights.to_vars().unwrap();
    let model = Model::new(&config, &Weights::of_vars(&vars)).unwrap();
    let expected: Value = json("sft/expected.json");
    let batch = Padded::supervised();
    let cases = batch.cases(&config, &model);
    let log_probs = packed(&cases).log_probs(&model.language, None, 1.0).unwrap().log_probs;
    let loss = log_probs.mean_all().unwrap().neg().unwrap();
    assert_close(loss.to_scalar::<f32>().unwrap().into(), expected["loss"].as_f64().unwrap(), 1e-5, 0.0, "loss");
    let store = loss.backward().unwrap();
    let gradient =
        |name: &str| store.get(vars[name].as_tensor()).unwrap_or_else(|| panic!("{name} received no gradient")).clone();
    for (name, norm) in expected["base_grad_norms"].as_object().unwrap() {
        let found = gradient(name).sqr().unwrap().sum_all().unwrap().sqrt().unwrap();
        // Norms near zero are rounding noise (a key bias shifts all scores alike).
        assert_close(found.to_scalar::<f32>().unwrap().into(), norm.as_f64().unwrap(), 1e-3, 2e-4, name);
    }
    for (name, expected) in tensors("sft/base_gradients.safetensors") {
        near(&floats(&gradient(&name)), &floats(&expected), 2e-4, 1e-3, &name);
    }
    let norm = |keep: &dyn Fn(&str) -> bool| {
        let names = vars.keys().filter(|name| keep(name));
        names.map(|n| floats(&gradient(n)).iter().map(|&x| f64::from(x).powi(2)).sum::<f64>()).sum::<f64>().sqrt()
    };
    let wanted = |key: &str| expected[key].as_f64().unwrap();
    assert_close(norm(&|_| true), wanted("base_grad_norm_all"), 1e-4, 0.0, "norm of all gradients");
    let language = |name: &str| name.starts_with("model.");
    assert_close(norm(&language), wanted("base_grad_norm_language_model"), 1e-4, 0.0, "norm of the language model's");
    let log_probs = floats(&log_probs);
    let mut at = 0;
    for (i, case) in cases.iter().enumerate() {
        let sum: f32 = log_probs[at..at + case.response.len()].iter().sum();
        at += case.response.len();
        let wanted = expected["per_sequence"][i]["nll_sum"].as_f64().unwrap();
        assert_close(-f64::from(sum), wanted, 1e-5, 0.0, "per sequence");
    }
}

#[test]
fn parity_supervised_loss_and_gradients_of_an_adapter() {
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    let cases = Padded::supervised().cases(&config, &model);
    let (loss, gradients) = lora_gradient(&config, &model, &adapter(&config), &cases);
    let expected: Value = json("sft/expected.json");
    assert_close(loss, expected["lora_loss"].as_f64().unwrap(), 1e-5, 0.0, "loss");
    let norm = addendum_policy::optim::global_norm(&gradients).unwrap();
    assert_close(norm, expected["lora_grad_norm"].as_f64().unwrap(), 1e-4, 0.0, "norm");
    let labelled: usize = cases.iter().map(|case| case.response.len()).sum();
    assert_eq!(labelled as u64, expected["labelled_tokens"].as_u64().unwrap());
}
