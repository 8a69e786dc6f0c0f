//! AdamW with global-norm gradient clipping, over named tensors.
//!
//! A step changes nothing in place: it returns the new parameters and the new optimiser, and the caller decides when
//! they become the current ones. A step that fails half-way has therefore never happened, and snapshots that share
//! storage with the old parameters stay what they were. Learning-rate schedules are in [`crate::schedule`].

use std::collections::BTreeMap;

use candle_core::safetensors::BufferedSafetensors;
use candle_core::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

mod update;

use update::{Moving, Update};
pub(crate) use update::{all_finite, sums_of_squares};

/// Tensors by name, in the order of their names.
pub type Tensors = BTreeMap<String, Tensor>;

/// Added to the gradient norm before dividing by it.
const NORM_FLOOR: f64 = 1e-6;

const FIRST: &str = "exp_avg.";
const SECOND: &str = "exp_avg_sq.";
const STEP: &str = "step";

/// Settings of the optimiser (I. Loshchilov, F. Hutter, arXiv 1711.05101).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decay of the mean of the gradients, at least 0 and below 1.
    pub beta1: f64,
    /// Decay of the mean of their squares, at least 0 and below 1.
    pub beta2: f64,
    /// Added to the root of the mean square, above 0.
    pub epsilon: f64,
    /// A step first shrinks every weight by learning rate × this, apart from the gradient; at least 0 and below 1.
    pub weight_decay: f64,
    /// Largest norm of all gradients together, above 0; larger ones are scaled down to it. Without it, none are.
    pub max_gradient_norm: Option<f64>,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01, max_gradient_norm: Some(1.0) }
    }
}

impl AdamWConfig {
    /// # Errors
    /// The first setting out of its range, with its value.
    pub fn validate(&self) -> Result<()> {
        let decay = |value: f64| (0.0..1.0).contains(&value);
        let max_norm = self.max_gradient_norm.unwrap_or(1.0);
        let checks = [
            ("beta1", self.beta1, decay(self.beta1), "between 0 and 1"),
            ("beta2", self.beta2, decay(self.beta2), "between 0 and 1"),
            ("epsilon", self.epsilon, self.epsilon.is_finite() && self.epsilon > 0.0, "finite and above 0"),
            ("weight_decay", self.weight_decay, decay(self.weight_decay), "between 0 and 1"),
            ("max_gradient_norm", max_norm, max_norm.is_finite() && max_norm > 0.0, "finite and above 0"),
        ];
        match checks.into_iter().find(|(_, _, valid, _)| !valid) {
            None => Ok(()),
            Some((field, value, _, expected)) => {
                Err(Error::invalid(format!("optimizer.{field}"), format!("{value} is not {expected}")))
            }
        }
    }
}

/// The state of the optimiser between two steps. Cheap to clone; immutable.
#[derive(Debug, Clone)]
pub struct AdamW {
    config: AdamWConfig,
    steps: u64,
    first: Tensors,
    second: Tensors,
}

/// What came of [`AdamW::step`].
#[derive(Debug, Clone)]
pub enum Step {
    /// The parameters and the optimiser after the step. `gradient_norm` is the norm before clipping.
    Taken {
        /// By the names that went in.
        parameters: Tensors,
        /// With its moments and counter advanced.
        optimizer: AdamW,
        /// L2 norm over all parameters.
        gradient_norm: f64,
    },
    /// The gradient norm, or a parameter or moment after the step, is not finite: parameters and optimiser stay as they
    /// are.
    Skipped {
        /// L2 norm over all parameters; may be NaN or infinite.
        gradient_norm: f64,
    },
}

impl AdamW {
    /// An optimiser before its first step over these F32 parameters.
    ///
    /// # Errors
    /// A setting out of its range; a parameter that is not F32.
    pub fn new(config: AdamWConfig, parameters: &Tensors) -> Result<Self> {
        config.validate()?;
        let mut zeros = Tensors::new();
        for (name, parameter) in parameters {
            if parameter.dtype() != DType::F32 {
                let reason = format!("is {:?}, expected F32 master weights", parameter.dtype());
                return Err(Error::invalid(format!("parameter {name}"), reason));
            }
            zeros.insert(name.clone(), parameter.zeros_like()?);
        }
        Ok(Self { config, steps: 0, first: zeros.clone(), second: zeros })
    }

    /// Steps taken so far; skipped ones do not count.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The settings, validated.
    pub fn config(&self) -> &AdamWConfig {
        &self.config
    }

    /// First and second moments by parameter name.
    pub fn moments(&self) -> (&Tensors, &Tensors) {
        (&self.first, &self.second)
    }

    /// One step with this learning rate. Gradients are scaled by min(1, max norm / (norm + 1e-6)) first.
    ///
    /// # Errors
    /// A parameter without a gradient, a gradient without a parameter, or one of another shape; a learning rate that
    /// is negative or not finite.
    pub fn step(&self, parameters: &Tensors, gradients: &Tensors, learning_rate: f64) -> Result<Step> {
        if !(learning_rate.is_finite() && learning_rate >= 0.0) {
            return Err(Error::invalid("learning rate", format!("{learning_rate} is not finite and not negative")));
        }
        same_tensors("parameter", parameters, &self.first)?;
        same_tensors("gradient", gradients, &self.first)?;
        let gradient_norm = global_norm(gradients)?;
        if !gradient_norm.is_finite() {
            return Ok(Step::Skipped { gradient_norm });
        }
        let max_norm = self.config.max_gradient_norm.unwrap_or(f64::INFINITY);
        let scale = (max_norm / (gradient_norm + NORM_FLOOR)).min(1.0);
        let mut optimizer = Self { steps: self.steps + 1, ..self.clone() };
        let update = optimizer.update(scale, learning_rate);
        let mut updated = Tensors::new();
        for (name, parameter) in parameters {
            // Proof: `same_tensors` found every parameter's name in all three maps.
            let [gradient, first, second] = [gradients, &self.first, &self.second].map(|tensors| &tensors[name]);
            let now = Moving { parameter: parameter.clone(), first: first.clone(), second: second.clone() };
            let next = update.apply(&now, gradient)?;
            updated.insert(name.clone(), next.parameter);
            optimizer.first.insert(name.clone(), next.first);
            optimizer.second.insert(name.clone(), next.second);
        }
        let all = [&updated, &optimizer.first, &optimizer.second];
        let all: Vec<&Tensor> = all.into_iter().flat_map(BTreeMap::values).collect();
        // A sum of squares of f32 in f64 is finite where all of them are.
        if !sums_of_squares(&all)?.iter().all(|sum| sum.is_finite()) {
            return Ok(Step::Skipped { gradient_norm });
        }
        Ok(Step::Taken { parameters: updated, optimizer, gradient_norm })
    }

    /// The shared numbers of the step that `self.steps` already counts.
    fn update(&self, scale: f64, learning_rate: f64) -> Update {
        let AdamWConfig { beta1, beta2, epsilon, weight_decay, .. } = self.config;
        let correction = |beta: f64| 1.0 - beta.powf(self.steps as f64);
        Update {
            scale,
            beta1,
            beta2,
            epsilon,
            keep: 1.0 - learning_rate * weight_decay,
            step_size: learning_rate / correction(beta1),
            root_correction: correction(beta2).sqrt(),
        }
    }

    /// The state as a safetensors file: `exp_avg.NAME`, `exp_avg_sq.NAME` and the scalar `step`. The same state gives
    /// the same bytes.
    ///
    /// # Errors
    /// A tensor that cannot be read back from its device; a moment that is not finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let step = i64::try_from(self.steps).map_err(|_| Error::invalid("optimizer step", "exceeds 2^63 - 1"))?;
        let mut tensors = Tensors::from([(STEP.to_string(), Tensor::new(step, &Device::Cpu)?)]);
        for (prefix, moments) in [(FIRST, &self.first), (SECOND, &self.second)] {
            for (name, tensor) in moments {
                finite(prefix, name, tensor)?;
                tensors.insert(format!("{prefix}{name}"), tensor.to_device(&Device::Cpu)?);
            }
        }
        safetensors::serialize(&tensors, None).map_err(|error| Error::invalid("optimizer state", error.to_string()))
    }

    /// The state that [`AdamW::to_bytes`] wrote, for the parameters it was written for.
    ///
    /// # Errors
    /// Bytes that are not such a state; a moment that is missing, unknown, of another shape or not finite.
    pub fn from_bytes(config: AdamWConfig, bytes: &[u8], parameters: &Tensors) -> Result<Self> {
        let mut state = Self::new(config, parameters)?;
        let file = BufferedSafetensors::new(bytes.to_vec())
            .map_err(|error| Error::invalid("optimizer state", error.to_string()))?;
        let expected = 1 + 2 * parameters.len();
        let found = file.tensors().len();
        if found != expected {
            return Err(Error::invalid("optimizer state", format!("holds {found} tensors, expected {expected}")));
        }
        let step = named(&file, STEP, &Device::Cpu)?.to_scalar::<i64>()?;
        state.steps =
            u64::try_from(step).map_err(|_| Error::invalid("optimizer state", format!("step {step} is negative")))?;
        for (prefix, moments) in [(FIRST, &mut state.first), (SECOND, &mut state.second)] {
            let mut read = Tensors::new();
            for (name, parameter) in parameters {
                let moment = named(&file, &format!("{prefix}{name}"), parameter.device())?;
                finite(prefix, name, &moment)?;
                read.insert(name.clone(), moment);
            }
            same_tensors(&format!("moment {prefix}"), &read, moments)?;
            *moments = read;
        }
        Ok(state)
    }
}

fn named(file: &BufferedSafetensors, name: &str, device: &Device) -> Result<Tensor> {
    let what = || format!("optimizer state: {name}");
    let tensor = file.load(name, device).map_err(|error| Error::invalid(what(), error.to_string()))?;
    let expected = if name == STEP { DType::I64 } else { DType::F32 };
    if tensor.dtype() != expected {
        return Err(Error::invalid(what(), format!("is {:?}, expected {expected:?}", tensor.dtype())));
    }
    Ok(tensor)
}

fn finite(prefix: &str, name: &str, moment: &Tensor) -> Result<()> {
    if all_finite(moment)? {
        return Ok(());
    }
    Err(Error::invalid(format!("optimizer state: {prefix}{name}"), "holds a value that is not finite"))
}

/// The Euclidean norm of all tensors together, summed in f64.
///
/// # Errors
/// A failing tensor operation.
pub fn global_norm(tensors: &Tensors) -> Result<f64> {
    let all: Vec<&Tensor> = tensors.values().collect();
    Ok(sums_of_squares(&all)?.iter().sum::<f64>().sqrt())
}

fn same_tensors(what: &str, found: &Tensors, expected: &Tensors) -> Result<()> {
    if let Some(name) = expected.keys().find(|name| !found.contains_key(*name)) {
        return Err(Error::invalid(format!("{what} {name}"), "missing"));
    }
    for (name, tensor) in found {
        let Some(twin) = expected.get(name) else {
            return Err(Error::invalid(format!("{what} {name}"), "not known to the optimizer"));
        };
        if tensor.dims() != twin.dims() {
            let reason = format!("has shape {:?}, expected {:?}", tensor.dims(), twin.dims());
            return Err(Error::invalid(format!("{what} {name}"), reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(values: &[(&str, &[f32])]) -> Tensors {
        values.iter().map(|(name, v)| (name.to_string(), Tensor::new(*v, &Device::Cpu).unwrap())).collect()
    }

    fn read(tensors: &Tensors, name: &str) -> Vec<f32> {
        tensors[name].to_vec1().unwrap()
    }

    fn take(optimizer: &AdamW, parameters: &Tensors, gradients: &Tensors) -> (Tensors, AdamW) {
        match optimizer.step(parameters, gradients, 0.01).unwrap() {
            Step::Taken { parameters, optimizer, .. } => (parameters, optimizer),
            Step::Skipped { gradient_norm } => panic!("skipped at norm {gradient_norm}"),
        }
    }

    #[test]
    fn a_gradient_norm_that_is_not_finite_skips_the_step() {
        let parameters = tensors(&[("a", &[1.0, 2.0]), ("b", &[3.0])]);
        let optimizer = AdamW::new(AdamWConfig::default(), &parameters).unwrap();
        for bad in [f32::NAN, f32::INFINITY] {
            let gradients = tensors(&[("a", &[0.1, bad]), ("b", &[0.1])]);
            let step = optimizer.step(&parameters, &gradients, 0.01).unwrap();
            assert!(matches!(step, Step::Skipped { gradient_norm } if !gradient_norm.is_finite()));
        }
        assert_eq!(optimizer.steps(), 0);
    }

    #[test]
    fn an_update_that_is_not_finite_skips_the_step_and_the_optimizer_stays_as_it_was() {
        let parameters = tensors(&[("a", &[1.0, 2.0]), ("b", &[3.0])]);
        let gradients = tensors(&[("a", &[0.1, -0.2]), ("b", &[1e30])]);
        let unclipped = AdamWConfig { max_gradient_norm: None, ..AdamWConfig::default() };
        let fresh = |config: &AdamWConfig| AdamW::new(config.clone(), &parameters).unwrap();
        for (optimizer, learning_rate) in [
            (fresh(&AdamWConfig::default()), 1e39),
            (fresh(&AdamWConfig::default()), f64::MAX),
            // The square of the gradient is what overflows.
            (fresh(&unclipped), 0.0),
            // Infinity times zero: the parameter is NaN.
            (fresh(&AdamWConfig { epsilon: 1e-300, ..AdamWConfig::default() }), 1e39),
        ] {
            let before = optimizer.to_bytes().unwrap();
            let step = optimizer.step(&parameters, &gradients, learning_rate).unwrap();
            assert!(matches!(step, Step::Skipped { gradient_norm } if gradient_norm.is_finite()), "{learning_rate}");
            assert_eq!((optimizer.steps(), optimizer.to_bytes().unwrap()), (0, before));
        }
        assert_eq!(read(&parameters, "a"), [1.0, 2.0]);
    }

    #[test]
    fn a_moment_that_is_not_finite_is_neither_written_nor_read() {
        let parameters = tensors(&[("a", &[1.0, 2.0]), ("b", &[3.0])]);
        let mut optimizer = AdamW::new(AdamWConfig::default(), &parameters).unwrap();
        let mut bytes = optimizer.to_bytes().unwrap();
        let nan = bytes.len() - 4;
        bytes[nan..].copy_from_slice(&f32::NAN.to_le_bytes());
        let read = AdamW::from_bytes(AdamWConfig::default(), &bytes, &parameters).unwrap_err().to_string();
        assert!(read.contains("optimizer state: exp_avg") && read.contains("is not finite"), "{read}");
        optimizer.second.extend(tensors(&[("b", &[f32::INFINITY])]));
        let written = optimizer.to_bytes().unwrap_err().to_string();
        assert_eq!(written, "optimizer state: exp_avg_sq.b: holds a value that is not finite");
    }

    #[test]
    fn a_step_leaves_its_inputs_as_they_were() {
        let parameters = tensors(&[("a", &[1.0, 2.0])]);
        let optimizer = AdamW::new(AdamWConfig::default(), &parameters).unwrap();
        let (moved, after) = take(&optimizer, &parameters, &tensors(&[("a", &[0.5, -0.5])]));
        assert_eq!(read(&parameters, "a"), [1.0, 2.0]);
        assert_eq!(read(optimizer.moments().0, "a"), [0.0, 0.0]);
        assert_ne!(read(&moved, "a"), [1.0, 2.0]);
        assert_eq!((optimizer.steps(), after.steps()), (0, 1));
    }

    #[test]
    fn missing_unknown_and_misshapen_gradients_are_named() {
        let parameters = tensors(&[("a", &[1.0, 2.0]), ("b", &[3.0])]);
        let optimizer = AdamW::new(AdamWConfig::default(), &parameters).unwrap();
        let error = |gradients: &[(&str, &[f32])]| {
            optimizer.step(&parameters, &tensors(gradients), 0.01).unwrap_err().to_string()
        };
        assert_eq!(error(&[("a", &[0.0, 0.0])]), "gradient b: missing");
        assert_eq!(
            error(&[("a", &[0.0, 0.0]), ("b", &[0.0]), ("c", &[0.0])]),
            "gradient c: not known to the optimizer"
        );
        assert_eq!(error(&[("a", &[0.0]), ("b", &[0.0])]), "gradient a: has shape [1], expected [2]");
    }

    #[test]
    fn a_restored_optimizer_continues_bit_for_bit() {
        let parameters = tensors(&[("a", &[1.0, 2.0]), ("b", &[3.0])]);
        let gradients = tensors(&[("a", &[0.3, -0.7]), ("b", &[1e-9])]);
        let fresh = AdamW::new(AdamWConfig::default(), &parameters).unwrap();
        let (parameters, optimizer) = take(&fresh, &parameters, &gradients);
        let bytes = optimizer.to_bytes().unwrap();
        assert_eq!(bytes, optimizer.to_bytes().unwrap());
        let restored = AdamW::from_bytes(AdamWConfig::default(), &bytes, &parameters).unwrap();
        let (straight, detour) = (take(&optimizer, &parameters, &gradients), take(&restored, &parameters, &gradients));
        assert_eq!(read(&straight.0, "a"), read(&detour.0, "a"));
        assert_eq!(straight.1.to_bytes().unwrap(), detour.1.to_bytes().unwrap());
    }

    #[test]
    fn a_damaged_or_foreign_state_is_refused() {
        let parameters = tensors(&[("a", &[1.0, 2.0])]);
        let bytes = AdamW::new(AdamWConfig::default(), &parameters).unwrap().to_bytes().unwrap();
        let load = |bytes: &[u8], parameters: &Tensors| AdamW::from_bytes(AdamWConfig::default(), bytes, parameters);
        assert!(load(&bytes[..bytes.len() - 1], &parameters).is_err());
        assert!(load(b"", &parameters).is_err());
        let error = load(&bytes, &tensors(&[("b", &[1.0, 2.0])])).unwrap_err().to_string();
        assert!(error.contains("exp_avg.b"), "{error}");
        let error = load(&bytes, &tensors(&[("a", &[1.0])])).unwrap_err().to_string();
        assert!(error.contains("shape [2], expected [1]"), "{error}");
    }

    #[test]
    fn half_precision_master_weights_are_refused() {
        let half = Tensor::zeros(2, DType::BF16, &Device::Cpu).unwrap();
        let error = AdamW::new(AdamWConfig::default(), &Tensors::from([("w".into(), half)])).unwrap_err();
        assert!(error.to_string().contains("parameter w: is BF16"), "{error}");
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let config = AdamWConfig { beta2: 1.0, ..Default::default() };
        assert_eq!(config.validate().unwrap_err().to_string(), "optimizer.beta2: 1 is not between 0 and 1");
        assert!(AdamWConfig { max_gradient_norm: Some(0.0), ..Default::default() }.validate().is_err());
    }
}
