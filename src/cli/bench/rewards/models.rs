//! The networks under CheXbert and RaTEScore at their published sizes, with random weights and a vocabulary for
//! [`Language`], as folders that any implementation loads.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use candle_core::{Device, Tensor, safetensors};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use super::texts::Language;

const HIDDEN: usize = 768;
const INNER: usize = 3072;
const LAYERS: usize = 12;

/// Answers per head of CheXbert.
const ANSWERS: [usize; 14] = [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 2];

/// The tagger's classes.
const LABELS: [&str; 11] = [
    "O",
    "B-ANATOMY",
    "I-ANATOMY",
    "B-ABNORMALITY",
    "I-ABNORMALITY",
    "B-DISEASE",
    "I-DISEASE",
    "B-NON-ABNORMALITY",
    "I-NON-ABNORMALITY",
    "B-NON-DISEASE",
    "I-NON-DISEASE",
];

/// What the tagger's first class is ahead of the others.
const OUTSIDE: f32 = 1.;

/// Writes the three folders `chexbert` (`chexbert.safetensors`), `tagger` and `embedder`.
pub fn write(folder: &Path, language: &Language, rng: &mut ChaCha8Rng) -> Result<()> {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "."];
    let bert = Model { folder: folder.join("chexbert"), special };
    let more = json!({"model_type": "bert", "type_vocab_size": 2, "pad_token_id": 0});
    bert.write(config(30522, 512, 1e-12, more), language, "chexbert.safetensors", bert_weights(rng)?)?;

    let tagger = Model { folder: folder.join("tagger"), special };
    let labels: Map<_, _> = LABELS.iter().enumerate().map(|(i, label)| (i.to_string(), json!(label))).collect();
    let more = json!({
        "model_type": "deberta-v2", "type_vocab_size": 0, "pad_token_id": 0, "relative_attention": true,
        "max_relative_positions": -1, "position_buckets": 256, "pos_att_type": ["p2c", "c2p"],
        "norm_rel_ebd": "layer_norm", "share_att_key": true, "position_biased_input": false, "id2label": labels,
        "pooler_hidden_size": HIDDEN,
    });
    tagger.write(config(128_100, 512, 1e-7, more), language, "model.safetensors", tagger_weights(rng)?)?;

    let special = ["<s>", "<pad>", "</s>", "[UNK]", "."];
    let embedder = Model { folder: folder.join("embedder"), special };
    let more = json!({"model_type": "mpnet", "relative_attention_num_buckets": 32, "pad_token_id": 1});
    embedder.write(config(30527, 514, 1e-5, more), language, "model.safetensors", embedder_weights(rng)?)
}

/// A config.json: what all three have in common, and more.
fn config(vocabulary: usize, positions: usize, eps: f64, more: Value) -> Value {
    let mut config = json!({
        "vocab_size": vocabulary, "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 12,
        "intermediate_size": INNER, "max_position_embeddings": positions, "layer_norm_eps": eps, "hidden_act": "gelu",
    });
    if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
        config.extend(more);
    }
    config
}

struct Model {
    folder: PathBuf,
    /// The first of the vocabulary, in order.
    special: [&'static str; 5],
}

impl Model {
    fn write(&self, config: Value, language: &Language, file: &str, weights: HashMap<String, Tensor>) -> Result<()> {
        let failed = || format!("{}: cannot be written", self.folder.display());
        fs::create_dir_all(&self.folder).with_context(failed)?;
        fs::write(self.folder.join("config.json"), config.to_string()).with_context(failed)?;
        let vocabulary: Vec<String> = self.special.map(String::from).into_iter().chain(language.pieces()).collect();
        fs::write(self.folder.join("vocab.txt"), vocabulary.join("\n") + "\n").with_context(failed)?;
        safetensors::save(&weights, self.folder.join(file)).with_context(failed)
    }
}

/// Random weights by name.
struct Tensors<'a> {
    tensors: HashMap<String, Tensor>,
    rng: &'a mut ChaCha8Rng,
}

impl<'a> Tensors<'a> {
    fn new(rng: &'a mut ChaCha8Rng) -> Self {
        Self { tensors: HashMap::new(), rng }
    }

    /// Uniform, with the standard deviation 0.02 of the models' own initialisation.
    fn random(&mut self, name: String, shape: &[usize]) -> Result<()> {
        let bound = 0.02 * 3f32.sqrt();
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| self.rng.random_range(-bound..bound)).collect();
        self.tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
        Ok(())
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<()> {
        self.random(format!("{name}.weight"), &[outputs, inputs])?;
        self.random(format!("{name}.bias"), &[outputs])
    }

    fn norm(&mut self, name: &str) -> Result<()> {
        self.tensors.insert(format!("{name}.weight"), Tensor::ones(HIDDEN, candle_core::DType::F32, &Device::Cpu)?);
        self.random(format!("{name}.bias"), &[HIDDEN])
    }

    fn layers(&mut self, prefix: &str, attention: [&str; 4], norm: &str) -> Result<()> {
        for layer in 0..LAYERS {
            for name in attention {
                self.linear(&format!("{prefix}.{layer}.attention.{name}"), HIDDEN, HIDDEN)?;
            }
            self.norm(&format!("{prefix}.{layer}.attention.{norm}"))?;
            self.linear(&format!("{prefix}.{layer}.intermediate.dense"), HIDDEN, INNER)?;
            self.linear(&format!("{prefix}.{layer}.output.dense"), INNER, HIDDEN)?;
            self.norm(&format!("{prefix}.{layer}.output.LayerNorm"))?;
        }
        Ok(())
    }

    fn embeddings(&mut self, prefix: &str, tables: &[(&str, usize)]) -> Result<()> {
        for (name, rows) in tables {
            self.random(format!("{prefix}{name}.weight"), &[*rows, HIDDEN])?;
        }
        self.norm(&format!("{prefix}LayerNorm"))
    }
}

fn bert_weights(rng: &mut ChaCha8Rng) -> Result<HashMap<String, Tensor>> {
    let mut tensors = Tensors::new(rng);
    let tables = [("word_embeddings", 30522), ("position_embeddings", 512), ("token_type_embeddings", 2)];
    tensors.embeddings("bert.embeddings.", &tables)?;
    let attention = ["self.query", "self.key", "self.value", "output.dense"];
    tensors.layers("bert.encoder.layer", attention, "output.LayerNorm")?;
    for (head, answers) in ANSWERS.into_iter().enumerate() {
        tensors.linear(&format!("linear_heads.{head}"), HIDDEN, answers)?;
    }
    Ok(tensors.tensors)
}

fn tagger_weights(rng: &mut ChaCha8Rng) -> Result<HashMap<String, Tensor>> {
    let mut tensors = Tensors::new(rng);
    tensors.embeddings("deberta.embeddings.", &[("word_embeddings", 128_100)])?;
    tensors.random("deberta.encoder.rel_embeddings.weight".into(), &[512, HIDDEN])?;
    tensors.norm("deberta.encoder.LayerNorm")?;
    let attention = ["self.query_proj", "self.key_proj", "self.value_proj", "output.dense"];
    tensors.layers("deberta.encoder.layer", attention, "output.LayerNorm")?;
    tensors.linear("classifier", HIDDEN, LABELS.len())?;
    // Random scores are near each other. This much more for the first class leaves a sentence a few entities.
    let mut bias = vec![0f32; LABELS.len()];
    bias[0] = OUTSIDE;
    tensors.tensors.insert("classifier.bias".into(), Tensor::new(bias, &Device::Cpu)?);
    Ok(tensors.tensors)
}

fn embedder_weights(rng: &mut ChaCha8Rng) -> Result<HashMap<String, Tensor>> {
    let mut tensors = Tensors::new(rng);
    tensors.embeddings("embeddings.", &[("word_embeddings", 30527), ("position_embeddings", 514)])?;
    tensors.random("encoder.relative_attention_bias.weight".into(), &[32, 12])?;
    tensors.layers("encoder.layer", ["attn.q", "attn.k", "attn.v", "attn.o"], "LayerNorm")?;
    Ok(tensors.tensors)
}
