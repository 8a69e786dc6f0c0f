//! Named tensors of a checkpoint, under their published names.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor, Var};
use half::{bf16, f16};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::{Config, Error, Result, module::Module};

/// Weights by published name (`visual.*`, `model.layers.*`, `lm_head.weight`).
#[derive(Clone, Debug)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
    /// Named in errors.
    origin: PathBuf,
}

impl Weights {
    /// Weights by either published spelling of their names; errors name `origin`, the file or folder they are from.
    pub fn new(tensors: BTreeMap<String, Tensor>, origin: &Path) -> Self {
        let tensors = tensors.into_iter().map(|(name, tensor)| (published_name(&name), tensor)).collect();
        Self { tensors, origin: origin.into() }
    }

    /// The tensor of this name, which must have this shape; it is no longer among the weights.
    ///
    /// # Errors
    /// Names the file: a tensor that is missing or of another shape.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.tensors.remove(name);
        match (misfit(name, tensor.as_ref().map(Tensor::dims), shape), tensor) {
            (None, Some(tensor)) => Ok(tensor),
            (reason, _) => Err(Error::file(&self.origin, reason.unwrap_or_default())),
        }
    }

    /// Refuses weights that a model of this shape has no place for: the config would be that of another checkpoint, and
    /// only a part of this one would be used. An untied head beside tied embeddings, and tables that follow from the
    /// config, are in some published files and are let pass.
    pub fn refuse_strays(&self, config: &Config) -> Result<()> {
        match strays(self.tensors.keys(), &shapes(config)).next() {
            Some(reason) => Err(Error::file(&self.origin, reason)),
            None => Ok(()),
        }
    }

    /// By published name.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// The same weights as trainable variables, by name.
    pub fn to_vars(&self) -> Result<BTreeMap<String, Var>> {
        self.tensors.iter().map(|(name, t)| Ok((name.clone(), Var::from_tensor(t)?))).collect()
    }

    /// Weights that are the given variables.
    pub fn of_vars(vars: &BTreeMap<String, Var>) -> Self {
        let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        Self { tensors, origin: "variables".into() }
    }

    /// Random weights of a model of this shape: normal with deviation 0.02 as in the published initialiser, norms 1,
    /// biases 0; the two projections that write to the residual stream are divided by sqrt(2 layers).
    ///
    /// The same seed gives the same values (rounded to `dtype`) on any number of threads.
    pub fn random(config: &Config, seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        let mut drawn = 0;
        let mut tensors = BTreeMap::new();
        for (name, shape) in shapes(config) {
            let count: usize = shape.iter().product();
            let dtype = weight_dtype(&name, dtype);
            let depth = if name.starts_with("visual.") { config.vision.depth } else { config.text.layers };
            let deviation = match name.rsplit('.').nth(1) {
                Some("o_proj" | "down_proj" | "proj") if !name.contains("patch_embed") => {
                    0.02 / (2.0 * depth as f32).sqrt()
                }
                _ => 0.02,
            };
            let tensor = match (name.ends_with("bias"), shape.len()) {
                (true, _) => Tensor::zeros(shape, dtype, device)?,
                (false, 1) => Tensor::ones(shape, dtype, device)?,
                _ => {
                    let draws = Normals { seed, first: drawn, deviation };
                    drawn += count;
                    match dtype {
                        DType::BF16 => Tensor::from_vec(draws.fill(count, bf16::from_f32), shape, device)?,
                        DType::F16 => Tensor::from_vec(draws.fill(count, f16::from_f32), shape, device)?,
                        _ => Tensor::from_vec(draws.fill(count, |x| x), shape, device)?.to_dtype(dtype)?,
                    }
                }
            };
            tensors.insert(name, tensor);
        }
        Ok(Self { tensors, origin: "random weights".into() })
    }
}

/// Values of one random stream, from the one numbered `first` on.
struct Normals {
    seed: u64,
    first: usize,
    deviation: f32,
}

impl Normals {
    /// Each value takes four words of the stream, so any chunk can be drawn on its own.
    fn fill<T: Copy + Default + Send>(&self, count: usize, from: impl Fn(f32) -> T + Sync) -> Vec<T> {
        const CHUNK: usize = 1 << 16;
        let mut values = vec![T::default(); count];
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(i, chunk)| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_word_pos(4 * (self.first + i * CHUNK) as u128);
            chunk.iter_mut().for_each(|value| *value = from(normal(&mut rng) * self.deviation));
        });
        values
    }
}

/// Box-Muller.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

/// The type of a weight in a model of `dtype`: matrices follow it, norms and biases are small and always F32.
pub fn weight_dtype(name: &str, dtype: DType) -> DType {
    let vector = name.ends_with(".bias") || name.contains("norm") || name.contains(".ln_q.");
    if vector { DType::F32 } else { dtype }
}

/// Everything that keeps tensors of these shapes from being the weights of a model of this shape: missing ones, those of
/// another shape, and those that it has no place for.
pub fn misfits(found: &BTreeMap<String, Vec<usize>>, config: &Config) -> Vec<String> {
    let expected = shapes(config);
    let wrong = |(name, shape): (&String, &Vec<usize>)| misfit(name, found.get(name).map(Vec::as_slice), shape);
    expected.iter().filter_map(wrong).chain(strays(found.keys(), &expected)).collect()
}

fn misfit(name: &str, found: Option<&[usize]>, expected: &[usize]) -> Option<String> {
    match found {
        None => Some(format!("tensor {name} is missing; expected shape {expected:?}")),
        Some(found) if found != expected => Some(format!("tensor {name} has shape {found:?}, expected {expected:?}")),
        Some(_) => None,
    }
}

fn strays<'a>(
    names: impl Iterator<Item = &'a String>,
    expected: &BTreeMap<String, Vec<usize>>,
) -> impl Iterator<Item = String> {
    let known = |name: &str| expected.contains_key(name) || name == "lm_head.weight" || name.ends_with("inv_freq");
    names.filter(move |name| !known(name)).map(|name| format!("tensor {name} has no place in the config's model"))
}

/// Newer libraries write `model.visual.` and `model.language_model.`.
pub fn published_name(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("model.language_model.") {
        format!("model.{rest}")
    } else if let Some(rest) = name.strip_prefix("model.visual.") {
        format!("visual.{rest}")
    } else {
        name.into()
    }
}

/// Every tensor of a model of this shape.
pub fn shapes(config: &Config) -> BTreeMap<String, Vec<usize>> {
    let (t, v) = (&config.text, &config.vision);
    let mut shapes = BTreeMap::new();
    let mut linear = |name: String, outputs: usize, inputs: usize, bias: bool| {
        if bias {
            shapes.insert(format!("{name}.bias"), vec![outputs]);
        }
        shapes.insert(format!("{name}.weight"), vec![outputs, inputs]);
    };
    let merged = v.hidden_size * v.spatial_merge_size * v.spatial_merge_size;
    for i in 0..v.depth {
        let name = |part: &str| format!("visual.blocks.{i}.{part}");
        linear(name("attn.qkv"), 3 * v.hidden_size, v.hidden_size, true);
        linear(name("attn.proj"), v.hidden_size, v.hidden_size, true);
        linear(name("mlp.gate_proj"), v.intermediate_size, v.hidden_size, true);
        linear(name("mlp.up_proj"), v.intermediate_size, v.hidden_size, true);
        linear(name("mlp.down_proj"), v.hidden_size, v.intermediate_size, true);
    }
    linear("visual.merger.mlp.0".into(), merged, merged, true);
    linear("visual.merger.mlp.2".into(), v.out_hidden_size, merged, true);
    for i in 0..t.layers {
        for module in Module::ALL {
            let (inputs, outputs) = module.shape(t);
            linear(format!("model.layers.{i}.{}", module.path()), outputs, inputs, module.has_bias());
        }
    }
    for i in 0..v.depth {
        for norm in ["norm1", "norm2"] {
            shapes.insert(format!("visual.blocks.{i}.{norm}.weight"), vec![v.hidden_size]);
        }
    }
    for i in 0..t.layers {
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            shapes.insert(format!("model.layers.{i}.{norm}.weight"), vec![t.hidden_size]);
        }
    }
    shapes.insert("visual.merger.ln_q.weight".into(), vec![v.hidden_size]);
    let patch = vec![v.hidden_size, v.in_channels, v.temporal_patch_size, v.patch_size, v.patch_size];
    shapes.insert("visual.patch_embed.proj.weight".into(), patch);
    shapes.insert("model.norm.weight".into(), vec![t.hidden_size]);
    shapes.insert("model.embed_tokens.weight".into(), vec![t.vocab_size, t.hidden_size]);
    if !config.tie_word_embeddings {
        shapes.insert("lm_head.weight".into(), vec![t.vocab_size, t.hidden_size]);
    }
    shapes
}
