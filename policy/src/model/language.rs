//! The language model: a decoder with grouped-query attention, M-RoPE, RMSNorm and SwiGLU.

use std::{ops::Range, sync::Arc};

use addendum_kernels::{
    Rotation, Segment, attention, cached_attention, copy_rows, linear, lora_linear, rms_norm, rope, swiglu,
};
use candle_core::{DType, Device, Tensor};

use super::linear::Linear;
use crate::{
    Config, Result,
    config::TextConfig,
    lora::{Adapter, LayerAdapter},
    module::Module,
    positions::{Position, angles},
    weights::Weights,
};

#[derive(Clone, Debug)]
pub struct Language {
    config: TextConfig,
    embed: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    head: Tensor,
}

#[derive(Clone, Debug)]
struct Layer {
    input_norm: Tensor,
    post_norm: Tensor,
    /// By `Module as usize`.
    linears: [Linear; Module::COUNT],
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
    pub fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let t = &config.text;
        let embed = weights.get("model.embed_tokens.weight", &[t.vocab_size, t.hidden_size])?;
        let head = if config.tie_word_embeddings {
            embed.clone()
        } else {
            weights.get("lm_head.weight", &[t.vocab_size, t.hidden_size])?
        };
        let layer = |i: usize| -> Result<Layer> {
            let linear = |m: Module| {
                let (inputs, outputs) = m.shape(t);
                Linear::new(weights, &format!("model.layers.{i}.{}", m.path()), inputs, outputs, m.has_bias())
            };
            let norm = |n: &str| weights.get(&format!("model.layers.{i}.{n}.weight"), &[t.hidden_size]);
            let [q, k, v, o, gate, up, down] = Module::ALL.map(linear);
            Ok(Layer {
                input_norm: norm("input_layernorm")?,
                post_norm: norm("post_attention_layernorm")?,
                linears: [q?, k?, v?, o?, gate?, up?, down?],
            })
        };
        Ok(Self {
            layers: (0..t.layers).map(layer).collect::<Result<_>>()?,
            norm: weights.get("model.norm.weight", &[t.hidden_size])?,
            config: t.clone(),
            embed,
            head,
        })
    }

    pub fn device(&self) -> &Device {
        self.head.device()
    }

    /// The vocabulary projection, `[vocab, hidden]`.
    pub fn head(&self) -> &Tensor {
        &self.head
    }

    pub fn cache(&self, capacity: usize) -> Result<KvCache> {
        let shape = (capacity, self.config.kv_heads, self.config.head_dim());
        let empty = || Tensor::zeros(shape, DType::F32, self.embed.device());
        Ok(KvCache { layers: (0..self.layers.len()).map(|_| Ok((empty()?, empty()?))).collect::<Result<_>>()? })
    }

    /// Bytes that a token takes in a cache.
    pub fn cache_row_bytes(&self) -> u64 {
        let values = 2 * self.layers.len() * self.config.kv_heads * self.config.head_dim();
        (values * DType::F32.size_in_bytes()) as u64
    }

    /// `[tokens, hidden]`: embeddings, where the tokens `at` are replaced by the rows of `features`.
    pub fn embed(&self, ids: &[u32], features: Option<(&Tensor, &[usize])>) -> Result<Tensor> {
        let device = self.embed.device();
        let words = self.embed.index_select(&Tensor::new(ids, device)?, 0)?.to_dtype(DType::F32)?;
        let Some((features, at)) = features.filter(|(_, at)| !at.is_empty()) else { return Ok(words) };
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        for (i, &at) in at.iter().enumerate() {
            order[at] = (ids.len() + i) as u32;
        }
        let both = Tensor::cat(&[&words, &features.to_device(device)?], 0)?;
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
        let linears = self.layers.iter().flat_map(|layer| &layer.linears).map(|linear| &linear.weight);
        linears.chain([&self.head]).map(|w| w.elem_count() * w.dtype().size_in_bytes()).sum()
    }

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
            let adapter = adapter.and_then(|a| a.layer(i));
            let cache = match &rows {
                Rows::Own => None,
                Rows::Cached(cache, rows) => Some((&cache.layers[i], *rows)),
            };
            x = self.layers[i].forward(&self.config, &x, &rotation, segments, adapter, cache)?;
        }
        Ok(x)
    }

    /// Logits in f32 `[tokens, vocab]` of a few final hidden states.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        Ok(linear(hidden, &self.head, None)?)
    }
}

impl Layer {
    fn forward(
        &self,
        config: &TextConfig,
        x: &Tensor,
        rotation: &Rotation,
        segments: &Arc<[Segment]>,
        adapter: Option<&LayerAdapter>,
        cache: Option<(&(Tensor, Tensor), &[usize])>,
    ) -> Result<Tensor> {
        let apply = |m: Module, x: &Tensor| -> Result<Tensor> {
            let linear = &self.linears[m as usize];
            match adapter.and_then(|a| a.get(m)) {
                Some(pair) => Ok(lora_linear(x, &linear.weight, linear.bias.as_ref(), pair)?),
                None => linear.forward(x),
            }
        };
        let (tokens, dim) = (x.dim(0)?, config.head_dim());
        let h = rms_norm(x, &self.input_norm, config.rms_norm_eps)?;
        let q = rope(&apply(Module::Q, &h)?.reshape((tokens, config.heads, dim))?, rotation)?;
        let k = rope(&apply(Module::K, &h)?.reshape((tokens, config.kv_heads, dim))?, rotation)?;
        let v = apply(Module::V, &h)?.reshape((tokens, config.kv_heads, dim))?;
        let attended = match cache {
            None => attention(&q, &k, &v, segments)?,
            Some(((keys, values), rows)) => {
                copy_rows(keys, &k, rows)?;
                copy_rows(values, &v, rows)?;
                cached_attention(&q, keys, values, segments)?
            }
        };
        let x = (x + apply(Module::O, &attended.reshape((tokens, config.heads * dim))?)?)?;
        let h = rms_norm(&x, &self.post_norm, config.rms_norm_eps)?;
        let h = swiglu(&apply(Module::Gate, &h)?, &apply(Module::Up, &h)?)?;
        Ok((x + apply(Module::Down, &h)?)?)
    }
}
