//! Merging: an adapter's update added to the weights it adapts, W' = W + s B A, in memory and in a checkpoint folder.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use safetensors::Dtype;

use crate::{
    Adapter, Config, Error, Result,
    checkpoint::{
        self,
        folder::{self, COMPANIONS, CONFIG, TOKENIZER},
        reader::Reader,
    },
    files,
    module::Module,
    weights::{Weights, published_name},
};

impl Adapter {
    /// The weight `[out, in]` of a layer's module with the update added, in f32, rounded to the weight's type once.
    /// A module that is not adapted keeps its weight.
    pub fn merged(&self, layer: usize, module: Module, weight: &Tensor) -> Result<Tensor> {
        let Some(pair) = self.layer(layer).and_then(|l| l.get(module)) else { return Ok(weight.clone()) };
        let update = (pair.b.matmul(&pair.a)? * pair.scale)?.to_device(weight.device())?;
        Ok((weight.to_dtype(DType::F32)? + update)?.to_dtype(weight.dtype())?)
    }

    /// All weights of a model, the adapted ones with their update added.
    pub fn merge(&self, weights: &Weights) -> Result<Weights> {
        let merged = weights.tensors().iter().map(|(name, weight)| {
            let weight = match module_of(name) {
                Some((layer, module)) => self.merged(layer, module, weight)?,
                None => weight.clone(),
            };
            Ok((name.clone(), weight))
        });
        Ok(Weights::new(merged.collect::<Result<_>>()?, Path::new("merged weights")))
    }
}

/// Writes to `out` a copy of the checkpoint folder `source` with the adapter of the PEFT folder `adapter` merged in.
///
/// The copy has the source's files, tensor names, types and sharding, so whatever loads the source loads it. Weights
/// are copied in the file and rewritten one by one: it takes the memory of the largest. `config.json` is written last,
/// so a folder that has one is complete.
///
/// # Errors
/// Names the file: one of either folder that cannot be used, an adapted weight that the source lacks, an `out` that is
/// no new or empty folder.
pub fn merge_folder(source: &Path, adapter: &Path, out: &Path) -> Result<()> {
    let config = Config::load(&source.join(CONFIG))?;
    let tokenizer = source.join(TOKENIZER).exists().then(|| folder::tokenizer(source)).transpose()?;
    let adapter = Adapter::load_peft(&config, adapter, &Device::Cpu)?;
    let files = checkpoint::weight_files(source)?;
    let plan = plan(source, &files, &config, &adapter)?;

    std::fs::create_dir_all(out).map_err(Error::io(out))?;
    if std::fs::read_dir(out).map_err(Error::io(out))?.next().is_some() {
        return Err(Error::file(out, "is not empty; expected a new folder"));
    }
    for (file, weights) in &plan {
        merge_file(file, &out.join(file.file_name().unwrap_or_default()), weights, &adapter)?;
    }
    for name in COMPANIONS.into_iter().chain([checkpoint::INDEX]) {
        copy_if_there(source, out, name)?;
    }
    if let Some(tokenizer) = tokenizer {
        folder::complete(out, &tokenizer)?;
    }
    copy_if_there(source, out, CONFIG)
}

/// A weight to be merged: its name in the file, and its place in the model.
type Target = (String, usize, Module);

/// The adapted weights by file. All of them are there, each once and of the model's shape.
fn plan(source: &Path, files: &[PathBuf], config: &Config, adapter: &Adapter) -> Result<Vec<(PathBuf, Vec<Target>)>> {
    let mut found = BTreeMap::new();
    let mut plan = Vec::new();
    for file in files {
        let reader = Reader::open(file)?;
        let mut weights = Vec::new();
        for name in reader.names() {
            let Some((layer, module)) = module_of(&published_name(&name)) else { continue };
            if adapter.layer(layer).and_then(|l| l.get(module)).is_none() {
                continue;
            }
            if found.insert((layer, module), ()).is_some() {
                return Err(Error::file(file, format!("tensor {name} is there twice")));
            }
            let (inputs, outputs) = module.shape(&config.text);
            let shape = reader.info(&name).map(|info| info.shape.clone()).unwrap_or_default();
            if shape != [outputs, inputs] {
                let reason = format!("tensor {name} has shape {shape:?}, expected [{outputs}, {inputs}]");
                return Err(Error::file(file, reason));
            }
            weights.push((name, layer, module));
        }
        plan.push((file.clone(), weights));
    }
    for layer in 0..config.text.layers {
        if let Some(module) = adapter.config().target_modules.iter().find(|m| !found.contains_key(&(layer, **m))) {
            let reason = format!("tensor model.layers.{layer}.{}.weight is missing, but adapted", module.path());
            return Err(Error::file(source, reason));
        }
    }
    Ok(plan)
}

fn merge_file(source: &Path, out: &Path, weights: &[Target], adapter: &Adapter) -> Result<()> {
    let part = out.with_extension("part");
    std::fs::copy(source, &part).map_err(Error::io(&part))?;
    let mut reader = Reader::open(source)?;
    let mut file = OpenOptions::new().write(true).open(&part).map_err(Error::io(&part))?;
    for (name, layer, module) in weights {
        let weight = reader.tensor(name, DType::F32, &Device::Cpu)?;
        let merged = adapter.merged(*layer, *module, &weight)?.flatten_all()?.to_vec1::<f32>()?;
        let Some(info) = reader.info(name) else { continue };
        let bytes = encode(&merged, info.dtype).ok_or_else(|| {
            Error::file(source, format!("tensor {name} with its update does not fit the type {:?}", info.dtype))
        })?;
        write_at(&mut file, reader.offset(info), &bytes).map_err(Error::io(&part))?;
    }
    file.sync_all().map_err(Error::io(&part))?;
    std::fs::rename(&part, out).map_err(Error::io(out))
}

fn write_at(file: &mut File, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// Little-endian values; `None` where one is not finite in the type, or the type is none of the three.
fn encode(values: &[f32], dtype: Dtype) -> Option<Vec<u8>> {
    match dtype {
        Dtype::F32 => {
            values.iter().all(|v| v.is_finite()).then(|| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        Dtype::BF16 => {
            let values: Vec<bf16> = values.iter().map(|v| bf16::from_f32(*v)).collect();
            values.iter().all(|v| v.is_finite()).then(|| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        Dtype::F16 => {
            let values: Vec<f16> = values.iter().map(|v| f16::from_f32(*v)).collect();
            values.iter().all(|v| v.is_finite()).then(|| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        _ => None,
    }
}

fn copy_if_there(source: &Path, out: &Path, name: &str) -> Result<()> {
    let from = source.join(name);
    if from.is_file() {
        let bytes = files::bytes(&from)?;
        checkpoint::write_whole(&out.join(name), &bytes)?;
    }
    Ok(())
}

/// The decoder layer and module whose weight has this published name.
fn module_of(name: &str) -> Option<(usize, Module)> {
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let path = rest.strip_suffix(".weight")?;
    let module = Module::ALL.into_iter().find(|m| m.path() == path)?;
    Some((layer.parse().ok()?, module))
}
