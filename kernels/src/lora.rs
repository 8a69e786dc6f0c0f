//! LoRA (Hu et al. 2021): trained low-rank updates of frozen linear layers, never merged into them.
//!
//! Several layers that read the same input are one product with a fused weight; each of them has its own update of its
//! own columns. All factors of a decoder layer lie in one flat tensor in the order in which products read them, so one
//! operation takes them as one argument and gives back one gradient.

use std::{ops::Range, sync::Arc};

use candle_core::{Device, Result, Tensor};

use crate::{
    device::copy_to,
    product::{matmul, product},
    threads::parallelism,
    vector::vectorised,
    views::{Mat, MatMut},
};

/// The two factors of one adapted layer: `a` `[rank, in]`, `b` `[out, rank]`, and the factor of their product.
#[derive(Clone, Debug)]
pub struct LoraPair {
    /// The factor that reads the input.
    pub a: Tensor,
    /// The factor that writes the output; zero in a fresh adapter.
    pub b: Tensor,
    /// α / rank.
    pub scale: f64,
}

impl LoraPair {
    /// `scale * (x @ a^T) @ b^T` (equation 3), from candle's operations.
    pub fn update(&self, x: &Tensor) -> Result<Tensor> {
        // Factors may be views; a GPU multiplies by whole matrices and their transposes.
        let (a, b) = (self.a.contiguous()?, self.b.contiguous()?);
        x.matmul(&a.t()?)?.matmul(&b.t()?)? * self.scale
    }
}

/// The updates of one fused product: each of some of its columns.
pub type Updates = Vec<(Range<usize>, LoraPair)>;

/// The updates of several fused products.
#[derive(Clone, Debug)]
pub struct LoraFactors {
    pairs: Vec<Updates>,
    /// Every product's `A^T` side by side, `[in, sum of ranks]`, followed by its `B^T`, `[rank, out]` each.
    flat: Tensor,
    places: Arc<[Place]>,
}

/// Where the factors of a product lie.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub a: Range<usize>,
    /// Of all parts together.
    pub ranks: usize,
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub columns: Range<usize>,
    pub ranks: Range<usize>,
    pub b: Range<usize>,
    pub scale: f32,
}

impl LoraFactors {
    /// # Errors
    /// Factors on different devices.
    pub fn new(pairs: Vec<Updates>) -> Result<Self> {
        let (mut tensors, mut places, mut end) = (Vec::new(), Vec::new(), 0);
        let mut take = |tensors: &mut Vec<Tensor>, factor: Tensor| -> Result<Range<usize>> {
            let start = end;
            end += factor.elem_count();
            tensors.push(factor.flatten_all()?);
            Ok(start..end)
        };
        for updates in &pairs {
            if updates.is_empty() {
                places.push(Place { a: 0..0, ranks: 0, parts: vec![] });
                continue;
            }
            let all: Vec<&Tensor> = updates.iter().map(|(_, pair)| &pair.a).collect();
            let a = take(&mut tensors, Tensor::cat(&all, 0)?.t()?.contiguous()?)?;
            let mut place = Place { a, ranks: 0, parts: vec![] };
            for (columns, pair) in updates {
                let ranks = place.ranks..place.ranks + pair.a.dim(0)?;
                place.ranks = ranks.end;
                let b = take(&mut tensors, pair.b.t()?.contiguous()?)?;
                place.parts.push(Part { columns: columns.clone(), ranks, b, scale: pair.scale as f32 });
            }
            places.push(place);
        }
        Ok(Self { flat: Tensor::cat(&tensors, 0)?, places: places.into(), pairs })
    }

    /// The same values on another device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let mut moved = self.clone();
        for (_, pair) in moved.pairs.iter_mut().flatten() {
            (pair.a, pair.b) = (copy_to(&pair.a, device)?, copy_to(&pair.b, device)?);
        }
        moved.flat = copy_to(&moved.flat, device)?;
        Ok(moved)
    }

    /// Factors that lie as these do, with other values: `flat` holds all of them, `[factors]`. It may be a variable.
    pub fn with_flat(&self, flat: Tensor) -> Result<Self> {
        let mut pairs = self.pairs.clone();
        for (place, updates) in self.places.iter().zip(&mut pairs).filter(|(_, updates)| !updates.is_empty()) {
            let a = flat.narrow(0, place.a.start, place.a.len())?;
            let a = a.reshape((place.a.len() / place.ranks, place.ranks))?;
            for (part, (columns, pair)) in place.parts.iter().zip(updates) {
                pair.a = a.narrow(1, part.ranks.start, part.ranks.len())?.t()?;
                let b = flat.narrow(0, part.b.start, part.b.len())?;
                pair.b = b.reshape((part.ranks.len(), columns.len()))?.t()?;
            }
        }
        Ok(Self { pairs, flat, places: self.places.clone() })
    }

    /// The updates of a product.
    pub fn updates(&self, product: usize) -> &Updates {
        &self.pairs[product]
    }

    /// All values, `[factors]`.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    pub(crate) fn places(&self) -> &Arc<[Place]> {
        &self.places
    }
}

impl Place {
    /// `dst += updates of x`; `low` is scratch.
    pub fn apply(&self, mut dst: MatMut, x: Mat, flat: &[f32], low: &mut Vec<f32>) {
        if self.parts.is_empty() {
            return;
        }
        let par = parallelism();
        self.low(x, flat, low);
        self.scale(low);
        let (rows, low) = (dst.rows(), Mat::new(low, x.rows, self.ranks));
        for part in &self.parts {
            let dst = dst.part(0..rows, part.columns.clone());
            product(dst, true, low.columns(part.ranks.clone()), part.b(flat), par);
        }
    }

    /// From the gradient `g` of the product's output: the gradients of the factors are added to `dflat`, that of the
    /// input to `dx`.
    pub fn backward(&self, dx: Option<MatMut>, g: Mat, x: Mat, flat: &[f32], dflat: &mut [f32], low: &mut Vec<f32>) {
        if self.parts.is_empty() {
            return;
        }
        let par = parallelism();
        // The gradient that reaches the low-rank activations.
        let mut dlow = vec![0f32; x.rows * self.ranks];
        let mut of_low = MatMut::new(&mut dlow, x.rows, self.ranks);
        for part in &self.parts {
            let dst = of_low.part(0..x.rows, part.ranks.clone());
            matmul(dst, false, part.scale, g.columns(part.columns.clone()), part.b(flat).t(), par);
        }
        self.low(x, flat, low);
        let low = Mat::new(low, x.rows, self.ranks);
        for part in &self.parts {
            let db = MatMut::new(&mut dflat[part.b.clone()], part.ranks.len(), part.columns.len());
            let g = g.columns(part.columns.clone());
            matmul(db, true, part.scale, low.columns(part.ranks.clone()).t(), g, par);
        }
        let dlow = Mat::new(&dlow, x.rows, self.ranks);
        let da = MatMut::new(&mut dflat[self.a.clone()], x.cols, self.ranks);
        matmul(da, true, 1.0, x.t(), dlow, par);
        if let Some(dx) = dx {
            matmul(dx, true, 1.0, dlow, self.a(flat, x.cols).t(), par);
        }
    }

    fn a<'a>(&self, flat: &'a [f32], inputs: usize) -> Mat<'a> {
        Mat::new(&flat[self.a.clone()], inputs, self.ranks)
    }

    /// `x @ A^T` of all parts, `[tokens, ranks]`.
    fn low(&self, x: Mat, flat: &[f32], low: &mut Vec<f32>) {
        low.clear();
        low.resize(x.rows * self.ranks, 0.0);
        product(MatMut::new(low, x.rows, self.ranks), false, x, self.a(flat, x.cols), parallelism());
    }

    fn scale(&self, low: &mut [f32]) {
        vectorised(|| {
            for row in low.chunks_exact_mut(self.ranks) {
                for part in &self.parts {
                    row[part.ranks.clone()].iter_mut().for_each(|value| *value *= part.scale);
                }
            }
        });
    }
}

impl Part {
    fn b<'a>(&self, flat: &'a [f32]) -> Mat<'a> {
        Mat::new(&flat[self.b.clone()], self.ranks.len(), self.columns.len())
    }
}
