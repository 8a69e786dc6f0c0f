//! A fused product with its frozen weight, bias and LoRA updates.

use crate::{
    lora::Place,
    views::{Mat, MatMut},
    weight::Weight,
};

/// `y = x @ weight + bias + updates`.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    pub weight: Weight<'a>,
    pub bias: Option<&'a [f32]>,
    /// Where the factors lie, and all factors of the layer.
    pub lora: Option<(&'a Place, &'a [f32])>,
}

impl Product<'_> {
    pub fn inputs(&self) -> usize {
        self.weight.rows
    }

    pub fn outputs(&self) -> usize {
        self.weight.cols
    }

    /// `dst = keep * dst + y`, where `keep` is 0 or 1 (0 if there is a bias); `low` is scratch.
    pub fn forward(&self, mut dst: MatMut, keep: bool, x: Mat, low: &mut Vec<f32>) {
        if let Some(bias) = self.bias {
            (0..dst.rows()).for_each(|i| dst.row(i).copy_from_slice(bias));
        }
        self.weight.apply(dst.reborrow(), keep || self.bias.is_some(), x);
        if let Some((place, flat)) = self.lora {
            place.apply(dst, x, flat, low);
        }
    }

    /// `dx` becomes the gradient of the input, those of the factors are added to `dflat`; `g` is that of `y`.
    pub fn backward(&self, mut dx: Option<MatMut>, g: Mat, x: Mat, dflat: &mut [f32], low: &mut Vec<f32>) {
        if let Some(dx) = &mut dx {
            self.weight.apply_transposed(dx.reborrow(), false, g);
        }
        if let Some((place, flat)) = self.lora {
            place.backward(dx, g, x, flat, dflat, low);
        }
    }
}
