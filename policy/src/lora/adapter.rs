//! One version of the trained weights.

use std::collections::BTreeSet;

use addendum_kernels::{Fused, LoraFactors, LoraPair, Updates, copy_to};
use candle_core::{DType, Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::config::LoraConfig;
use crate::{
    Config, Error, Result,
    module::Module,
    optim::{Tensors, sums_of_squares},
};

/// The updates of one decoder layer.
#[derive(Clone, Debug)]
pub struct LayerAdapter {
    pairs: [Option<LoraPair>; Module::COUNT],
    factors: LoraFactors,
}

impl LayerAdapter {
    fn new(model: &Config, pairs: [Option<LoraPair>; Module::COUNT]) -> Result<Self> {
        let mut updates: Vec<Updates> = vec![vec![]; Fused::COUNT];
        for module in Module::ALL {
            if let Some(pair) = &pairs[module as usize] {
                let (product, columns) = module.place(&model.text);
                updates[product as usize].push((columns, pair.clone()));
            }
        }
        Ok(Self { factors: LoraFactors::new(updates)?, pairs })
    }

    /// The same updates with other values, which `flat` holds.
    fn with_flat(&self, model: &Config, flat: Tensor) -> Result<Self> {
        let factors = self.factors.with_flat(flat)?;
        let mut pairs = self.pairs.clone();
        let mut parts = [0; Fused::COUNT];
        for (module, pair) in Module::ALL.into_iter().zip(&mut pairs).filter(|(_, pair)| pair.is_some()) {
            let (product, _) = module.place(&model.text);
            let part = &mut parts[product as usize];
            *pair = factors.updates(product as usize).get(*part).map(|(_, pair)| pair.clone());
            *part += 1;
        }
        Ok(Self { pairs, factors })
    }

    /// The update of one linear layer; `None` where it is not adapted.
    pub fn get(&self, module: Module) -> Option<&LoraPair> {
        self.pairs[module as usize].as_ref()
    }

    /// All of them, as the layer's products read them.
    pub fn factors(&self) -> &LoraFactors {
        &self.factors
    }
}

/// One version of the trained weights. Cheap to clone; nothing changes it.
#[derive(Clone, Debug)]
pub struct Adapter {
    config: LoraConfig,
    /// By PEFT name without the `base_model.model.` prefix.
    tensors: Tensors,
    layers: Vec<LayerAdapter>,
}

/// `model.language_model.layers.N.<module>.lora_A.weight`, and `lora_B`.
pub(super) fn tensor_names(layer: usize, module: Module) -> [String; 2] {
    ["A", "B"].map(|factor| format!("model.language_model.layers.{layer}.{}.lora_{factor}.weight", module.path()))
}

impl Adapter {
    /// A fresh adapter, which changes nothing: A uniform in ±1/sqrt(inputs) as PEFT draws it, B zero.
    pub fn new(model: &Config, config: LoraConfig, seed: u64, device: &Device) -> Result<Self> {
        config.validate()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut tensors = Tensors::new();
        for layer in 0..model.text.layers {
            for module in Module::ALL.into_iter().filter(|m| config.target_modules.contains(m)) {
                let (inputs, outputs) = module.shape(&model.text);
                let bound = 1.0 / (inputs as f32).sqrt();
                let a: Vec<f32> = (0..config.rank * inputs).map(|_| rng.random_range(-bound..bound)).collect();
                let [a_name, b_name] = tensor_names(layer, module);
                tensors.insert(a_name, Tensor::from_vec(a, (config.rank, inputs), device)?);
                tensors.insert(b_name, Tensor::zeros((outputs, config.rank), DType::F32, device)?);
            }
        }
        Self::from_tensors(model, config, tensors)
    }

    /// An adapter made of these tensors, which must be exactly those that `config` asks for.
    pub fn from_tensors(model: &Config, config: LoraConfig, tensors: Tensors) -> Result<Self> {
        config.validate()?;
        let mut layers = Vec::with_capacity(model.text.layers);
        let mut expected = 0;
        for index in 0..model.text.layers {
            let mut pairs = [const { None }; Module::COUNT];
            for &module in &config.target_modules {
                let (inputs, outputs) = module.shape(&model.text);
                let [a_name, b_name] = tensor_names(index, module);
                let get = |name: &str, shape: [usize; 2]| match tensors.get(name) {
                    None => Err(Error::invalid(format!("adapter tensor {name}"), "missing")),
                    Some(t) if t.dims() != shape => {
                        let reason = format!("has shape {:?}, expected {shape:?}", t.dims());
                        Err(Error::invalid(format!("adapter tensor {name}"), reason))
                    }
                    Some(t) => Ok(t.clone()),
                };
                let a = get(&a_name, [config.rank, inputs])?;
                let b = get(&b_name, [outputs, config.rank])?;
                pairs[module as usize] = Some(LoraPair { a, b, scale: config.scale() });
                expected += 2;
            }
            layers.push(LayerAdapter::new(model, pairs)?);
        }
        if tensors.len() != expected {
            let known: BTreeSet<_> = (0..layers.len())
                .flat_map(|i| config.target_modules.iter().flat_map(move |&m| tensor_names(i, m)))
                .collect();
            let stray = tensors.keys().find(|name| !known.contains(*name)).cloned().unwrap_or_default();
            return Err(Error::invalid(format!("adapter tensor {stray}"), "belongs to no adapted layer of this model"));
        }
        Ok(Self { config, tensors, layers })
    }

    /// Rank, scale and adapted layers.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// The A of the first pair whose update s B A may hold a value that is not finite: where s ‖B‖ ‖A‖, which bounds its
    /// values, is no f32. `None` for an adapter that can be used.
    pub fn overflow(&self) -> Result<Option<String>> {
        let modules = |(index, layer): (usize, &'_ LayerAdapter)| {
            let adapted = self.config.target_modules.iter().filter_map(|&m| Some((m, layer.get(m)?.clone())));
            adapted.map(|(module, pair)| (index, module, pair)).collect::<Vec<_>>()
        };
        let pairs: Vec<_> = self.layers.iter().enumerate().flat_map(modules).collect();
        let factors: Vec<&Tensor> = pairs.iter().flat_map(|(_, _, pair)| [&pair.a, &pair.b]).collect();
        let squares = sums_of_squares(&factors)?;
        let bad = pairs.iter().zip(squares.chunks_exact(2)).find(|((_, _, pair), squares)| {
            let bound = pair.scale * squares[0].sqrt() * squares[1].sqrt();
            !(bound as f32).is_finite()
        });
        Ok(bad.map(|((index, module, _), _)| {
            let [a_name, _] = tensor_names(*index, *module);
            a_name
        }))
    }

    /// The same weights on another device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if self.tensors.values().all(|t| t.device().same_device(device)) {
            return Ok(self.clone());
        }
        let mut moved = self.clone();
        for tensor in moved.tensors.values_mut() {
            *tensor = copy_to(tensor, device)?;
        }
        for layer in &mut moved.layers {
            for pair in layer.pairs.iter_mut().flatten() {
                (pair.a, pair.b) = (copy_to(&pair.a, device)?, copy_to(&pair.b, device)?);
            }
            layer.factors = layer.factors.to_device(device)?;
        }
        Ok(moved)
    }

    /// The same adapter with other values, one tensor for each layer that holds all of its factors as
    /// [`LayerAdapter::factors`] do; they may be variables.
    pub fn with_flats(&self, model: &Config, flats: Vec<Tensor>) -> Result<Self> {
        let layers = self.layers.iter().zip(flats).map(|(layer, flat)| layer.with_flat(model, flat));
        let layers: Vec<LayerAdapter> = layers.collect::<Result<_>>()?;
        let mut tensors = Tensors::new();
        for (index, layer) in layers.iter().enumerate() {
            for module in Module::ALL {
                let Some(LoraPair { a, b, .. }) = layer.get(module) else { continue };
                let [a_name, b_name] = tensor_names(index, module);
                tensors.insert(a_name, a.clone());
                tensors.insert(b_name, b.clone());
            }
        }
        Ok(Self { config: self.config.clone(), tensors, layers })
    }

    /// Factors by PEFT name without the `base_model.model.` prefix.
    pub fn tensors(&self) -> &Tensors {
        &self.tensors
    }

    /// The updates of a decoder layer; `None` beyond the last one.
    pub fn layer(&self, index: usize) -> Option<&LayerAdapter> {
        self.layers.get(index)
    }
}
