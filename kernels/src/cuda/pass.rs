//! A decoder layer while one of its passes is launched. The stream of hidden states is f32, what enters products bf16.

use candle_core::Result;
use half::bf16;

use super::{
    attention::Inputs,
    gpu::{Arg, Shape, Source, Work},
    pointer::{Held, Mat, Ptr},
    resident::{Factors, Matrices, PRODUCTS},
};
use crate::{
    attention::Dims,
    layer::{DecoderLayer, Fused},
    lora::LoraFactors,
};

/// Threads that share a token.
const ROW: usize = 256;

const _: () = assert!(PRODUCTS == Fused::COUNT);

/// Read locks on the weights of a layer.
pub struct Reads<'a> {
    floats: [Held<'a>; 3],
    matrices: [Held<'a>; Fused::COUNT],
}

impl<'a> Reads<'a> {
    pub fn new(layer: &'a DecoderLayer) -> Self {
        let floats = [&layer.input_norm, &layer.post_norm, &layer.qkv_bias];
        Self { floats: floats.map(Held::new), matrices: Fused::ALL.map(|product| Held::new(layer.matrix(product))) }
    }

    /// Both norms and the bias.
    pub fn floats(&self) -> Result<[Ptr<f32>; 3]> {
        let [input, post, bias] = self.floats.each_ref().map(Held::ptr);
        Ok([input?, post?, bias?])
    }

    pub fn matrices(&self, layer: &DecoderLayer) -> Result<Matrices> {
        let mut matrices = Matrices { at: [Ptr::null(); PRODUCTS], shapes: [(0, 0); PRODUCTS] };
        for (i, product) in Fused::ALL.into_iter().enumerate() {
            (matrices.at[i], matrices.shapes[i]) = (self.matrices[i].ptr()?, layer.matrix(product).dims2()?);
        }
        Ok(matrices)
    }
}

/// The table of a rotation.
#[derive(Clone, Copy)]
pub struct Angles {
    pub cos: Ptr<f32>,
    pub sin: Ptr<f32>,
}

/// A layer while one of its passes is launched.
pub struct Pass<'w, 'g> {
    pub work: &'w mut Work<'g>,
    pub tokens: usize,
    pub d: Dims,
    pub hidden: usize,
    pub wide: usize,
    eps: f32,
    norms: [Ptr<f32>; 2],
    bias: Ptr<f32>,
    pub angles: Angles,
    weights: [Ptr<bf16>; Fused::COUNT],
    factors: Option<Factors<'w>>,
}

impl<'w, 'g> Pass<'w, 'g> {
    pub fn new(
        work: &'w mut Work<'g>,
        layer: &DecoderLayer,
        reads: &Reads,
        angles: Angles,
        lora: Option<&'w LoraFactors>,
        tokens: usize,
    ) -> Result<Self> {
        let [input, post, bias] = reads.floats()?;
        let matrices = reads.matrices(layer)?;
        let factors = lora.map(|lora| layer.resident.hold(work, matrices, lora)).transpose()?;
        Ok(Self {
            work,
            tokens,
            d: Dims { heads: layer.heads, kv_heads: layer.kv_heads, dim: layer.head_dim },
            hidden: layer.input_norm.dim(0)?,
            wide: layer.down.dim(0)?,
            eps: layer.eps as f32,
            norms: [input, post],
            bias,
            angles,
            weights: matrices.at,
            factors,
        })
    }

    fn inputs(&self, product: Fused) -> usize {
        match product {
            Fused::Qkv | Fused::GateUp => self.hidden,
            Fused::O => self.d.heads * self.d.dim,
            Fused::Down => self.wide,
        }
    }

    pub fn outputs(&self, product: Fused) -> usize {
        match product {
            Fused::Qkv => (self.d.heads + 2 * self.d.kv_heads) * self.d.dim,
            Fused::O | Fused::Down => self.hidden,
            Fused::GateUp => 2 * self.wide,
        }
    }

    /// Columns of x A^T.
    fn low(&self, product: Fused) -> usize {
        self.factors.as_ref().map_or(0, |factors| factors.width[product as usize])
    }

    /// Values from one row of a product's input to the next.
    pub fn ld(&self, product: Fused) -> usize {
        self.inputs(product) + self.low(product)
    }

    pub fn each_token(&self, name: &'static str, args: &[Arg]) -> Result<()> {
        self.work.launch(Source::Layer, name, Shape::each(self.tokens, ROW), args)
    }

    /// A thread for every four gates.
    pub fn each_gate(&self, name: &'static str, args: &[Arg]) -> Result<()> {
        let shape = Shape { grid: [self.tokens, self.wide.div_ceil(4 * ROW), 1], block: ROW, shared: 0 };
        self.work.launch(Source::Layer, name, shape, args)
    }

    /// The input of the product behind norm `which`, x A^T included.
    pub fn norm(&self, which: usize, product: Fused, x: Ptr<f32>, y: Ptr<bf16>) -> Result<()> {
        let ld = self.ld(product);
        let args = [x.into(), self.norms[which].into(), y.into(), self.hidden.into(), ld.into(), self.eps.into()];
        self.each_token("rms_norm", &args)?;
        self.lower(product, y)
    }

    /// The input of the last product, x A^T included.
    pub fn activate(&self, gate_up: Ptr<bf16>, y: Ptr<bf16>) -> Result<()> {
        self.each_gate("swiglu", &[gate_up.into(), y.into(), self.wide.into(), self.ld(Fused::Down).into()])?;
        self.lower(Fused::Down, y)
    }

    /// Fills the columns of x A^T beside x.
    pub fn lower(&self, product: Fused, x: Ptr<bf16>) -> Result<()> {
        let Some(factors) = &self.factors else { return Ok(()) };
        let (inputs, low, ld) = (self.inputs(product), self.low(product), self.ld(product));
        let a = Mat::bf16(factors.a[product as usize], low);
        let to = Mat::bf16(x.add(inputs), ld);
        self.work.gemm([self.tokens, low, inputs], Mat::bf16(x, ld), a, to, [1.0, 0.0])
    }

    /// `y = keep * y + [x | x A^T] [W; s B^T]`; the columns of x A^T are filled.
    pub fn product(&self, product: Fused, x: Ptr<bf16>, y: Mat, keep: f32) -> Result<()> {
        let (k, n) = (self.ld(product), self.outputs(product));
        let weight = Mat::bf16(self.weights[product as usize], n);
        self.work.gemm([self.tokens, n, k], Mat::bf16(x, k), weight, y, [1.0, keep])
    }

    /// The gradient `dx` of a product's input from that of its output `g`, and those of the factors, in `dflat`. The columns
    /// of x A^T are filled.
    pub fn product_backward(
        &self,
        product: Fused,
        g: Ptr<bf16>,
        x: Ptr<bf16>,
        dx: Ptr<bf16>,
        dflat: Ptr<f32>,
    ) -> Result<()> {
        let (gpu, tokens) = (&*self.work, self.tokens);
        let (inputs, ld, n) = (self.inputs(product), self.ld(product), self.outputs(product));
        let weight = Mat::bf16(self.weights[product as usize], n).t();
        gpu.gemm([tokens, ld, n], Mat::bf16(g, n), weight, Mat::bf16(dx, ld), [1.0, 0.0])?;
        let Some(factors) = &self.factors else { return Ok(()) };
        let (place, low) = (&factors.places[product as usize], self.low(product));
        let dlow = Mat::bf16(dx.add(inputs), ld);
        let da = Mat::f32(dflat.add(place.a.start), place.ranks);
        gpu.gemm([inputs, place.ranks, tokens], Mat::bf16(x, ld).t(), dlow, da, [1.0, 0.0])?;
        for part in &place.parts {
            let sizes = [part.ranks.len(), part.columns.len(), tokens];
            let low = Mat::bf16(x.add(inputs + part.ranks.start), ld).t();
            let db = Mat::f32(dflat.add(part.b.start), part.columns.len());
            gpu.gemm(sizes, low, Mat::bf16(g.add(part.columns.start), n), db, [part.scale, 0.0])?;
        }
        let a = Mat::bf16(factors.a[product as usize], low).t();
        gpu.gemm([tokens, inputs, low], dlow, a, Mat::bf16(dx, ld), [1.0, 1.0])
    }

    pub fn qkv_inputs(&self, qkv: Ptr<bf16>) -> Inputs {
        let Dims { heads, kv_heads, dim } = self.d;
        let ld = self.outputs(Fused::Qkv);
        let (k, v) = (qkv.add(heads * dim), qkv.add((heads + kv_heads) * dim));
        Inputs { q: qkv, k, v, q_ld: ld, kv_ld: ld }
    }

    /// Queries, keys and values of x, rotated; to a cache too if there is one.
    pub fn project(
        &mut self,
        x: Ptr<f32>,
        qkv: Ptr<bf16>,
        [keys, values]: [Ptr<bf16>; 2],
        rows: Ptr<i32>,
    ) -> Result<()> {
        let ld = self.ld(Fused::Qkv);
        let h = self.work.take::<bf16>(self.tokens * ld)?;
        self.norm(0, Fused::Qkv, x, h)?;
        self.product(Fused::Qkv, h, Mat::bf16(qkv, self.outputs(Fused::Qkv)), 0.0)?;
        let Dims { heads, kv_heads, dim } = self.d;
        let mut args: Vec<Arg> = vec![qkv.into(), self.bias.into(), self.angles.cos.into(), self.angles.sin.into()];
        args.extend([Arg::from(keys), values.into(), rows.into(), heads.into(), kv_heads.into(), dim.into()]);
        self.each_token("rotate", &args)
    }

    /// Adds to `y` what the MLP makes of it.
    pub fn mlp(&mut self, y: Ptr<f32>, gate_up: Ptr<bf16>) -> Result<()> {
        let (ld, wide) = (self.ld(Fused::GateUp), self.ld(Fused::Down));
        let h = self.work.take::<bf16>(self.tokens * ld)?;
        self.norm(1, Fused::GateUp, y, h)?;
        self.product(Fused::GateUp, h, Mat::bf16(gate_up, 2 * self.wide), 0.0)?;
        let activated = self.work.take::<bf16>(self.tokens * wide)?;
        self.activate(gate_up, activated)?;
        self.product(Fused::Down, activated, Mat::f32(y, self.hidden), 1.0)
    }
}

impl Pass<'_, '_> {
    /// `dx = sum +` the gradient through a norm; rounded to `dx16` too unless it is null.
    #[allow(clippy::too_many_arguments)]
    pub fn norm_backward(
        &self,
        which: usize,
        x: Ptr<f32>,
        g: Ptr<bf16>,
        ld: usize,
        sum: Ptr<f32>,
        dx: Ptr<f32>,
        dx16: Ptr<bf16>,
    ) -> Result<()> {
        let mut args: Vec<Arg> = vec![x.into(), self.norms[which].into(), g.into(), sum.into(), dx.into(), dx16.into()];
        args.extend([Arg::from(self.hidden), ld.into(), self.eps.into()]);
        self.each_token("rms_norm_backward", &args)
    }
}

impl Work<'_> {
    /// `to = x` in bf16.
    pub fn round(&self, x: Ptr<f32>, to: Ptr<bf16>, len: usize) -> Result<()> {
        let shape = Shape::each(len.div_ceil(4 * ROW), ROW);
        self.launch(Source::Layer, "to_bf16", shape, &[x.into(), to.into(), Arg::Long(len as u64)])
    }
}
