//! The language model: a decoder with grouped-query attention, M-RoPE, RMSNorm and SwiGLU.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

#[cfg(feature = "cuda")]
use addendum_kernels::cuda::{Draw, Drawn, Last, Stack, decode};
use addendum_kernels::{Cached, DecoderLayer, Fused, Rotation, Segment, copy_to, linear, rms_norm};
use candle_core::{DType, Device, Tensor};

use super::linear::transposed;
use crate::{
    Adapter, Config, Result,
    config::TextConfig,
    module::Module,
    positions::{Position, angles},
    weights::Weights,
};

/// The decoder with its embeddings and head. Cheap to clone: the weights are shared.
#[derive(Clone, Debug)]
pub struct Language {
    config: TextConfig,
    /// `[vocab, hidden]`; `None` where embeddings are the head's columns.
    embed: Option<Tensor>,
    layers: Vec<DecoderLayer>,
    norm: Tensor,
    /// `[hidden, vocab]`
    head: Tensor,
}

const EMBED: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";
const NORM: &str = "model.norm.weight";
const INPUT_NORM: &str = "input_layernorm";
const POST_NORM: &str = "post_attention_layernorm";

/// What a tensor of a decoder layer is called.
fn name(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}")
}

/// Keys and values of every layer, `[capacity, kv_heads, head_dim]` each, written in place.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
}

impl KvCache {
    /// Makes room for at least `capacity` tokens; what is in the cache stays where it is.
    pub fn grow(&mut self, capacity: usize) -> Result<()> {
        for rows in self.layers.iter_mut().flat_map(|(keys, values)| [keys, values]) {
            let (held, heads, dim) = rows.dims3()?;
            if held < capacity {
                let wider = Tensor::zeros((capacity, heads, dim), rows.dtype(), rows.device())?;
                wider.slice_set(rows, 0, 0)?;
                *rows = wider;
            }
        }
        Ok(())
    }
}

/// Where a forward pass keeps its keys and values.
pub enum Rows<'a> {
    /// Nowhere: segments count the tokens of this pass.
    Own,
    /// In the cache, token i at row `rows[i]`: segments count cache rows.
    Cached(&'a KvCache, &'a [usize]),
}

impl Language {
    /// Takes the weights of the language model out of `weights`.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape, by name.
    pub fn new(config: &Config, weights: &mut Weights) -> Result<Self> {
        let t = &config.text;
        let table = [t.vocab_size, t.hidden_size];
        let (embed, head) = match weights.take(EMBED, &table)? {
            tied if config.tie_word_embeddings => (None, tied),
            own => (Some(own), weights.take(HEAD, &table)?),
        };
        let mut layer = |i: usize| -> Result<DecoderLayer> {
            let mut take = |part: &str, shape: &[usize]| weights.take(&name(i, part), shape);
            let norms = [INPUT_NORM, POST_NORM].map(|part| take(&format!("{part}.weight"), &[t.hidden_size]));
            let mut fused = |modules: &[Module]| -> Result<Tensor> {
                let matrix = |&m: &Module| {
                    let (inputs, outputs) = m.shape(t);
                    take(&format!("{}.weight", m.path()), &[outputs, inputs])
                };
                transposed(&Tensor::cat(&modules.iter().map(matrix).collect::<Result<Vec<_>>>()?, 0)?)
            };
            let qkv = [Module::Q, Module::K, Module::V];
            let matrices = [&qkv[..], &[Module::O], &[Module::Gate, Module::Up], &[Module::Down]].map(&mut fused);
            let bias = qkv.map(|m| take(&format!("{}.bias", m.path()), &[m.shape(t).1]));
            let ([input_norm, post_norm], [qkv, o, gate_up, down]) = (norms, matrices);
            let layer = DecoderLayer {
                heads: t.heads,
                kv_heads: t.kv_heads,
                head_dim: t.head_dim(),
                eps: t.rms_norm_eps,
                input_norm: input_norm?,
                post_norm: post_norm?,
                qkv: qkv?,
                qkv_bias: Tensor::cat(&bias.into_iter().collect::<Result<Vec<_>>>()?, 0)?,
                o: o?,
                gate_up: gate_up?,
                down: down?,
                #[cfg(feature = "cuda")]
                resident: Default::default(),
            };
            Ok(layer.with_room()?)
        };
        Ok(Self {
            layers: (0..t.layers).map(&mut layer).collect::<Result<_>>()?,
            norm: weights.take(NORM, &[t.hidden_size])?,
            config: t.clone(),
            embed,
            head: transposed(&head)?,
        })
    }

    /// The weights by published name, as views.
    pub fn weights(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut weights = BTreeMap::from([(NORM.to_string(), self.norm.clone())]);
        let head = self.head.t()?;
        match &self.embed {
            None => drop(weights.insert(EMBED.to_string(), head)),
            Some(embed) => {
                weights.insert(EMBED.to_string(), embed.clone());
                weights.insert(HEAD.to_string(), head);
            }
        }
        for (i, layer) in self.layers.iter().enumerate() {
            for (part, norm) in [(INPUT_NORM, &layer.input_norm), (POST_NORM, &layer.post_norm)] {
                weights.insert(name(i, &format!("{part}.weight")), norm.clone());
            }
            for module in Module::ALL {
                let (product, columns) = module.place(&self.config);
                let part = |t: &Tensor| t.narrow(t.rank() - 1, columns.start, columns.len());
                let weight = part(layer.matrix(product))?.t()?;
                weights.insert(name(i, &format!("{}.weight", module.path())), weight);
                if module.has_bias() {
                    weights.insert(name(i, &format!("{}.bias", module.path())), part(&layer.qkv_bias)?);
                }
            }
        }
        Ok(weights)
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        self.head.device()
    }

    /// The vocabulary projection, `[hidden, vocab]`.
    pub fn head(&self) -> &Tensor {
        &self.head
    }

    /// An empty cache for so many tokens, in the type that the layers' kernels write.
    pub fn cache(&self, capacity: usize) -> Result<KvCache> {
        let shape = (capacity, self.config.kv_heads, self.config.head_dim());
        let empty = || Tensor::zeros(shape, self.cache_dtype(), self.device());
        Ok(KvCache { layers: (0..self.layers.len()).map(|_| Ok((empty()?, empty()?))).collect::<Result<_>>()? })
    }

    /// Bytes that a token takes in a cache.
    pub fn cache_row_bytes(&self) -> u64 {
        let values = 2 * self.layers.len() * self.config.kv_heads * self.config.head_dim();
        (values * self.cache_dtype().size_in_bytes()) as u64
    }

    fn cache_dtype(&self) -> DType {
        self.layers.first().map_or(DType::F32, DecoderLayer::cache_dtype)
    }

    /// `[tokens, hidden]`: embeddings, where the tokens `at` are replaced by the rows of `features`.
    pub fn embed(&self, ids: &[u32], features: Option<(&Tensor, &[usize])>) -> Result<Tensor> {
        let device = self.device();
        let index = Tensor::new(ids, device)?;
        let words = match &self.embed {
            Some(embed) => embed.index_select(&index, 0)?,
            None => transposed(&self.head.index_select(&index, 1)?)?,
        };
        let words = words.to_dtype(DType::F32)?;
        let Some((features, at)) = features.filter(|(_, at)| !at.is_empty()) else { return Ok(words) };
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        for (i, &at) in at.iter().enumerate() {
            order[at] = (ids.len() + i) as u32;
        }
        let both = Tensor::cat(&[&words, &copy_to(features, device)?], 0)?;
        Ok(both.index_select(&Tensor::new(order, device)?, 0)?)
    }

    /// Final hidden states (after the last norm) of embedded tokens `x` `[tokens, hidden]`.
    pub fn forward(
        &self,
        x: &Tensor,
        positions: &[Position],
        segments: &Arc<[Segment]>,
        adapter: Option<&Adapter>,
        rows: Rows,
    ) -> Result<Tensor> {
        self.normalise(&self.forward_layers(0..self.layers(), x, positions, segments, adapter, rows)?)
    }

    /// Of the weight matrices that every token goes through.
    pub fn bytes(&self) -> usize {
        let matrices = self.layers.iter().flat_map(|l| Fused::ALL.map(|product| l.matrix(product)));
        matrices.chain([&self.head]).map(|w| w.elem_count() * w.dtype().size_in_bytes()).sum()
    }

    /// How many decoder layers there are.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Final hidden states, from those after the last layer.
    pub fn normalise(&self, x: &Tensor) -> Result<Tensor> {
        Ok(rms_norm(x, &self.norm, self.config.rms_norm_eps)?)
    }

    /// Hidden states after the layers in `range`, without the last norm.
    pub fn forward_layers(
        &self,
        range: Range<usize>,
        x: &Tensor,
        positions: &[Position],
        segments: &Arc<[Segment]>,
        adapter: Option<&Adapter>,
        rows: Rows,
    ) -> Result<Tensor> {
        let angles = angles(positions, self.config.rope_theta, self.config.mrope_section);
        let rotation = Rotation::new(&angles, self.config.head_dim() / 2, x.device())?;
        let mut x = x.clone();
        for i in range {
            let (layer, lora) = (&self.layers[i], adapter.and_then(|a| a.layer(i)).map(|layer| layer.factors()));
            x = match &rows {
                Rows::Own => layer.forward(&x, &rotation, segments, lora)?,
                Rows::Cached(cache, rows) => {
                    let (keys, values) = &cache.layers[i];
                    layer.forward_cached(&x, &rotation, segments, lora, Cached { keys, values, rows })?
                }
            };
        }
        Ok(x)
    }

    /// As [`Language::forward`] of single tokens over a cache, with the draw of the next ones: all of it on a GPU. `None`
    /// where the device has no kernels for it.
    #[cfg(feature = "cuda")]
    pub fn decode(
        &self,
        ids: &[u32],
        positions: &[Position],
        segments: &[Segment],
        adapter: Option<&Adapter>,
        (cache, rows): (&KvCache, &[usize]),
        how: &Draw,
    ) -> Result<Option<Vec<Drawn>>> {
        let half = |t: &Tensor| t.dtype() == DType::BF16 && t.device().is_cuda();
        let embed = self.embed.as_ref();
        if self.cache_dtype() != DType::BF16 || !half(&self.head) || !embed.is_none_or(half) {
            return Ok(None);
        }
        let stack = Stack {
            embed,
            layers: &self.layers,
            caches: &cache.layers,
            lora: adapter.map(|a| (0..self.layers()).filter_map(|i| Some(a.layer(i)?.factors())).collect()),
            norm: &self.norm,
            head: &self.head,
        };
        let angles = angles(positions, self.config.rope_theta, self.config.mrope_section);
        Ok(Some(decode(&stack, &Last { ids, angles: &angles, rows, segments }, how)?))
    }

    /// Logits in f32 `[tokens, vocab]` of a few final hidden states.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        Ok(linear(hidden, &self.head, None)?)
    }
}
