//! Does a device compute what the CPU computes? The same small model with random weights on both: image features,
//! log-probabilities, gradients, samples and a training step.

use std::sync::Arc;

use addendum_policy::{
    Adapter, Config, Learner, LearnerConfig, LoraConfig, Result,
    algorithm::DrGrpo,
    generate::{GenerateRequest, Sample, generate},
    image::Patches,
    learner::{Recompute, TrainGroup, TrainResponse},
    model::{Model, Weights},
    optim::Tensors,
    pack::{EncodedPrompt, Packed, PromptTokens},
    sampling::{SamplingConfig, TokenSampler},
};
use candle_core::{DType, Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One quantity on both devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub what: &'static str,
    /// Largest difference, relative to the largest value on the CPU; for samples, the share of other tokens.
    pub difference: f64,
    /// What rounding explains.
    pub tolerance: f64,
}

impl Comparison {
    pub fn passes(&self) -> bool {
        self.difference <= self.tolerance
    }
}

/// Compares `device` with the CPU, weights in `dtype` on both.
pub fn against_cpu(device: &Device, dtype: DType) -> Result<Vec<Comparison>> {
    let config = config();
    let [cpu, other] = [SmallModel::new(&config, dtype, &Device::Cpu)?, SmallModel::new(&config, dtype, device)?];
    // Products in half precision round to 8 (bf16) or 11 (f16) bits on a GPU; on the CPU they are f32 ones.
    let (exact, trained) = match dtype {
        DType::BF16 => (2e-2, 3e-2),
        DType::F16 => (1e-2, 5e-2),
        _ => (1e-3, 1e-2),
    };
    let mut rows = Vec::new();
    let mut row = |what, difference, tolerance| rows.push(Comparison { what, difference, tolerance });
    row("image features", gap(&cpu.features()?, &other.features()?)?, exact);
    let [one, two] = [cpu.log_probs()?, other.log_probs()?];
    row("log-probabilities", gap(&one[0], &two[0])?, exact);
    row("entropies", gap(&one[1], &two[1])?, exact);
    for (what, recompute) in [("gradients", Recompute::Never), ("gradients, recomputed", Recompute::Always)] {
        row(what, gaps(&cpu.gradient(recompute)?, &other.gradient(recompute)?)?, trained);
    }
    let [one, two] = [cpu.samples(0.0)?, other.samples(0.0)?];
    row("greedy tokens", share_of_others(&one, &two), if dtype == DType::F32 { 0.0 } else { 0.5 });
    let [one, two] = [cpu.adapter_after_a_step()?, other.adapter_after_a_step()?];
    row("adapter after a step", gaps(one.tensors(), two.tensors())?, trained);
    Ok(rows)
}

/// Everything is large enough to cross a kernel's tile, and small enough for seconds on a CPU.
fn config() -> Config {
    let mut config = Config::tiny(2048);
    config.text.hidden_size = 256;
    config.text.intermediate_size = 704;
    config.vision.out_hidden_size = 256;
    config.text.mrope_section = [8, 12, 12];
    (config.image_token_id, config.vision_start_token_id, config.vision_end_token_id) = (2047, 2046, 2045);
    config.eos_token_id = 2044;
    config
}

struct SmallModel {
    config: Config,
    model: Model,
    device: Device,
    adapter: Adapter,
}

impl SmallModel {
    fn new(config: &Config, dtype: DType, device: &Device) -> Result<Self> {
        let weights = Weights::random(config, 0, dtype, device)?;
        let fresh = Adapter::new(config, LoraConfig::default(), 1, device)?;
        // B is zero in a fresh adapter; here it shall do something.
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut tensors = Tensors::new();
        for (name, tensor) in fresh.tensors() {
            let values: Vec<f32> = (0..tensor.elem_count()).map(|_| rng.random_range(-0.05..0.05)).collect();
            tensors.insert(name.clone(), Tensor::from_vec(values, tensor.shape(), device)?);
        }
        let adapter = Adapter::from_tensors(config, fresh.config().clone(), tensors)?;
        let model = Model::taking(config, weights)?;
        Ok(Self { config: config.clone(), model, device: device.clone(), adapter })
    }

    fn features(&self) -> Result<Tensor> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let grid = [1, 12, 16];
        let rows = (0..12 * 16 * self.config.vision.patch_dim()).map(|_| rng.random_range(-1.0..1.0)).collect();
        self.model.vision.forward_images(&[&Patches { rows, grid }], &self.device)
    }

    fn prompt(&self) -> Result<EncodedPrompt> {
        let image = vec![self.config.image_token_id; 48];
        let ids =
            [vec![self.config.vision_start_token_id], image, vec![self.config.vision_end_token_id], tokens(40, 4)];
        let merge = self.config.vision.spatial_merge_size;
        let tokens = PromptTokens::new(ids.concat(), self.config.image_token_id, &[[1, 12, 16]], merge)?;
        Ok(EncodedPrompt { tokens, features: Some(self.features()?) })
    }

    /// Log-probabilities and entropies of a response.
    fn log_probs(&self) -> Result<[Tensor; 2]> {
        let (prompt, response) = (self.prompt()?, tokens(90, 5));
        let packed = Packed::new([(&prompt, vec![response.as_slice()])]);
        let output = packed.log_probs(&self.model.language, Some(&self.adapter), 0.9)?;
        Ok([output.log_probs, output.entropy])
    }

    fn learner(&self, recompute: Recompute) -> Result<Learner> {
        let config = LearnerConfig { recompute, ..LearnerConfig::default() };
        let (model, language) = (self.config.clone(), self.model.language.clone());
        Learner::new(model, language, self.adapter.clone(), Arc::new(DrGrpo), config)
    }

    fn group(&self) -> Result<TrainGroup> {
        let responses = (0..4)
            .map(|i| TrainResponse {
                tokens: tokens(20 + 9 * i, i as u64),
                reward: i as f64,
                ..TrainResponse::default()
            })
            .collect();
        Ok(TrainGroup { prompt: Arc::new(self.prompt()?), responses })
    }

    fn gradient(&self, recompute: Recompute) -> Result<Tensors> {
        Ok(self.learner(recompute)?.gradient(&[self.group()?])?.1)
    }

    fn adapter_after_a_step(&self) -> Result<Adapter> {
        let mut learner = self.learner(Recompute::Never)?;
        learner.step(&[self.group()?])?;
        Ok(learner.adapter())
    }

    fn samples(&self, temperature: f64) -> Result<Vec<Sample>> {
        let sampling = SamplingConfig { temperature, max_new_tokens: 24, ..SamplingConfig::default() };
        let requests = [GenerateRequest { prompt: Arc::new(self.prompt()?), seeds: vec![1, 2] }];
        let sampler = TokenSampler::new(sampling)?;
        let samples =
            generate(&self.model.language, Some(&self.adapter), &requests, &sampler, &[self.config.eos_token_id])?;
        Ok(samples.into_iter().flatten().collect())
    }
}

fn tokens(count: usize, seed: u64) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(0..2000)).collect()
}

fn largest(tensor: &Tensor) -> Result<f64> {
    Ok(f64::from(tensor.abs()?.max_all()?.to_scalar::<f32>()?))
}

fn gap(cpu: &Tensor, other: &Tensor) -> Result<f64> {
    let other = other.to_device(&Device::Cpu)?;
    Ok(largest(&(cpu - other)?)? / largest(cpu)?.max(f64::MIN_POSITIVE))
}

fn gaps(cpu: &Tensors, other: &Tensors) -> Result<f64> {
    let (mut difference, mut size) = (0f64, f64::MIN_POSITIVE);
    for (name, tensor) in cpu {
        let Some(other) = other.get(name) else { return Ok(f64::INFINITY) };
        difference = difference.max(largest(&(tensor - other.to_device(&Device::Cpu)?)?)?);
        size = size.max(largest(tensor)?);
    }
    Ok(difference / size)
}

fn share_of_others(cpu: &[Sample], other: &[Sample]) -> f64 {
    let pairs = cpu.iter().zip(other).flat_map(|(a, b)| a.tokens.iter().zip(&b.tokens));
    let (others, all) = pairs.fold((0, 0), |(others, all), (a, b)| (others + usize::from(a != b), all + 1));
    others as f64 / f64::from(all.max(1u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_computes_what_the_cpu_computes() {
        for dtype in [DType::F32, DType::BF16] {
            let rows = against_cpu(&Device::Cpu, dtype).unwrap();
            assert_eq!(rows.len(), 7);
            assert!(rows.iter().all(|row| row.difference == 0.0), "{rows:?}");
        }
    }

    #[test]
    fn a_difference_is_seen() {
        let one = SmallModel::new(&config(), DType::F32, &Device::Cpu).unwrap();
        let half = SmallModel::new(&config(), DType::BF16, &Device::Cpu).unwrap();
        let difference = gap(&one.log_probs().unwrap()[0], &half.log_probs().unwrap()[0]).unwrap();
        assert!(difference > 1e-5, "{difference}");
    }
}
