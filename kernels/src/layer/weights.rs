//! What a decoder layer is made of.

use candle_core::{DType, Result, Tensor};

#[cfg(feature = "cuda")]
use crate::cuda::Resident;

/// The weights of a decoder layer; matrices are `[in, out]`.
#[derive(Clone, Debug)]
pub struct DecoderLayer {
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// What RMS norms add to the mean square.
    pub eps: f64,
    /// `[hidden]`
    pub input_norm: Tensor,
    /// `[hidden]`
    pub post_norm: Tensor,
    /// `[hidden, (heads + 2 kv_heads) * head_dim]`: queries, keys, values.
    pub qkv: Tensor,
    /// `[(heads + 2 kv_heads) * head_dim]`
    pub qkv_bias: Tensor,
    /// `[heads * head_dim, hidden]`
    pub o: Tensor,
    /// `[hidden, 2 * intermediate]`: gates, ups.
    pub gate_up: Tensor,
    /// `[intermediate, hidden]`
    pub down: Tensor,
    /// Factors that lie beside the weights on a GPU; see `with_room`.
    #[cfg(feature = "cuda")]
    pub resident: Resident,
}

/// The fused products of a layer; their updates stand in [`LoraFactors`](crate::LoraFactors) in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fused {
    /// Input to queries, keys and values.
    Qkv,
    /// Attention's output back to the hidden width.
    O,
    /// Input of the MLP to gates and ups.
    GateUp,
    /// The MLP's product of both back to the hidden width.
    Down,
}

impl Fused {
    /// How many products a layer has.
    pub const COUNT: usize = 4;
    /// In the order in which a layer computes them.
    pub const ALL: [Self; Self::COUNT] = [Self::Qkv, Self::O, Self::GateUp, Self::Down];
}

/// Where a layer's keys and values are: in tensors `[capacity, kv_heads, head_dim]`, token i of the call at row `rows[i]`.
#[derive(Clone, Copy)]
pub struct Cached<'a> {
    /// With the positions (rotary embedding) already in them.
    pub keys: &'a Tensor,
    /// As long as `keys`.
    pub values: &'a Tensor,
    /// Where each token of the call is written; as many as tokens, all different.
    pub rows: &'a [usize],
}

impl DecoderLayer {
    /// The type of keys and values in a cache.
    pub fn cache_dtype(&self) -> DType {
        #[cfg(feature = "cuda")]
        if self.resident.is_there() {
            return DType::BF16;
        }
        DType::F32
    }

    /// The same layer laid out for the kernels of its device: on a GPU, with room for factors behind its weights.
    pub fn with_room(self) -> Result<Self> {
        #[cfg(feature = "cuda")]
        {
            let matrices = Fused::ALL.map(|product| self.matrix(product));
            if let Some(([qkv, o, gate_up, down], resident)) = Resident::with_room(matrices, self.head_dim)? {
                return Ok(Self { qkv, o, gate_up, down, resident, ..self });
            }
        }
        Ok(self)
    }

    /// The weight of a product, `[in, out]`.
    pub fn matrix(&self, product: Fused) -> &Tensor {
        match product {
            Fused::Qkv => &self.qkv,
            Fused::O => &self.o,
            Fused::GateUp => &self.gate_up,
            Fused::Down => &self.down,
        }
    }
}
