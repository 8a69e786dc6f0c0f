//! The steps of an encoder between its matrix products. On CPUs each is one vectorised pass in place; other devices
//! take candle's own operations.
//!
//! Every row is computed for itself and in one order, so results do not depend on the number of threads.

use candle_core::{CpuStorage, D, InplaceOp1, InplaceOp2, InplaceOp3, Layout, Result, Tensor};
use rayon::prelude::*;

use super::encoder::Activation;

/// Rows that a thread takes at a time.
const ROWS: usize = 16;

/// `activation(x + bias)` of rows `x`, whose memory is reused; `None` only adds.
pub(super) fn add_bias(x: Tensor, bias: &Tensor, activation: Option<Activation>) -> Result<Tensor> {
    if x.device().is_cpu() {
        x.inplace_op2(bias, &AddBias(activation))?;
        return Ok(x);
    }
    let x = x.broadcast_add(bias)?;
    match activation {
        None => Ok(x),
        Some(Activation::Gelu) => x.gelu_erf(),
        Some(Activation::GeluNew) => x.gelu(),
        Some(Activation::Relu) => x.relu(),
    }
}

/// Layer normalisation of `x + residual + bias`. `parameters` `[3, width]` are the bias, then weight and bias of the
/// norm. The memory of `x` is reused.
pub(super) fn add_norm(x: Tensor, residual: &Tensor, parameters: &Tensor, eps: f32) -> Result<Tensor> {
    if x.device().is_cpu() {
        x.inplace_op3(residual, parameters, &AddNorm(eps))?;
        return Ok(x);
    }
    let [bias, weight, shift] = [parameters.get(0)?, parameters.get(1)?, parameters.get(2)?];
    candle_nn::ops::layer_norm(&(x + residual)?.broadcast_add(&bias)?, &weight, &shift, eps)
}

/// Softmax over the last dimension; the memory of `x` is reused.
pub(super) fn softmax(x: Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        x.inplace_op1(&Softmax)?;
        return Ok(x);
    }
    candle_nn::ops::softmax_last_dim(&x)
}

/// `scores[.., i, j] + picked[.., i, index[i, j]]`, or, transposed, `+ picked[.., j, index[i, j]]`: scores
/// `[heads, sequences, length, length]`, picked `[heads, sequences, length, count]`, index `[length, length]`. The
/// memory of the scores is reused.
pub(super) fn add_picked(scores: Tensor, picked: &Tensor, index: &Tensor, transposed: bool) -> Result<Tensor> {
    if scores.device().is_cpu() {
        scores.inplace_op3(&picked.contiguous()?, index, &AddPicked { transposed })?;
        return Ok(scores);
    }
    let index = if transposed { index.t()? } else { index.clone() };
    let added = picked.gather(&index.broadcast_as(scores.shape())?.contiguous()?, D::Minus1)?;
    if transposed { scores + added.transpose(2, 3)? } else { scores + added }
}

struct AddBias(Option<Activation>);

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout, bias: &CpuStorage, bias_layout: &Layout) -> Result<()> {
        let bias = floats(bias, bias_layout)?;
        let each = |f: &(dyn Fn(&mut [f32]) + Sync), x: &mut [f32]| {
            x.par_chunks_mut(ROWS * bias.len()).for_each(f);
        };
        let x = floats_mut(x, layout)?;
        match self.0 {
            None => each(&|rows| vectorised(|| map(rows, bias, |x| x)), x),
            Some(Activation::Gelu) => each(&|rows| vectorised(|| map(rows, bias, gelu)), x),
            Some(Activation::GeluNew) => each(&|rows| vectorised(|| map(rows, bias, gelu_new)), x),
            Some(Activation::Relu) => each(&|rows| vectorised(|| map(rows, bias, |x| x.max(0.))), x),
        }
        Ok(())
    }
}

#[inline(always)]
fn map(rows: &mut [f32], bias: &[f32], f: impl Fn(f32) -> f32) {
    for row in rows.chunks_exact_mut(bias.len()) {
        for (x, b) in row.iter_mut().zip(bias) {
            *x = f(*x + b);
        }
    }
}

struct AddNorm(f32);

impl InplaceOp3 for AddNorm {
    fn name(&self) -> &'static str {
        "add-norm"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> Result<()> {
        let (residual, parameters) = (floats(residual, residual_layout)?, floats(parameters, parameters_layout)?);
        let width = parameters.len() / 3;
        let (bias, norm) = parameters.split_at(width);
        let (weight, shift) = norm.split_at(width);
        let x = floats_mut(x, layout)?;
        if residual.len() != x.len() {
            candle_core::bail!("add-norm: {} values and a residual of {}", x.len(), residual.len());
        }
        x.par_chunks_mut(ROWS * width).zip(residual.par_chunks(ROWS * width)).for_each(|(rows, residual)| {
            vectorised(|| {
                for (row, residual) in rows.chunks_exact_mut(width).zip(residual.chunks_exact(width)) {
                    for ((x, r), b) in row.iter_mut().zip(residual).zip(bias) {
                        *x += r + b;
                    }
                    let mean = sum(row, |x| x) / width as f32;
                    let variance = sum(row, |x| (x - mean) * (x - mean)) / width as f32;
                    let scale = 1. / (variance + self.0).sqrt();
                    for ((x, w), s) in row.iter_mut().zip(weight).zip(shift) {
                        *x = (*x - mean) * scale * w + s;
                    }
                }
            });
        });
        Ok(())
    }
}

struct Softmax;

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let width = layout.dims().last().copied().unwrap_or(1);
        floats_mut(x, layout)?.par_chunks_mut(ROWS * width).for_each(|rows| {
            vectorised(|| {
                for row in rows.chunks_exact_mut(width) {
                    let top = row.iter().fold(f32::NEG_INFINITY, |top, &x| if x > top { x } else { top });
                    row.iter_mut().for_each(|x| *x = exp(*x - top));
                    let scale = 1. / sum(row, |x| x);
                    row.iter_mut().for_each(|x| *x *= scale);
                }
            });
        });
        Ok(())
    }
}

struct AddPicked {
    transposed: bool,
}

impl InplaceOp3 for AddPicked {
    fn name(&self) -> &'static str {
        "add-picked"
    }

    fn cpu_fwd(
        &self,
        scores: &mut CpuStorage,
        layout: &Layout,
        picked: &CpuStorage,
        picked_layout: &Layout,
        index: &CpuStorage,
        index_layout: &Layout,
    ) -> Result<()> {
        let length = index_layout.dims()[0];
        let count = picked_layout.dims().last().copied().unwrap_or(1);
        let picked = floats(picked, picked_layout)?;
        let Some((0, _)) = index_layout.contiguous_offsets() else { candle_core::bail!("add-picked: a strided index") };
        let index: &[u32] = index.as_slice()?;
        let scores = floats_mut(scores, layout)?;
        if picked.len() * length != scores.len() * count || index.iter().any(|&i| i as usize >= count) {
            candle_core::bail!("add-picked: the index does not fit {count} values per row");
        }
        let squares = scores.par_chunks_mut(length * length).zip(picked.par_chunks(length * count));
        squares.for_each(|(square, picked)| {
            for (i, (row, index)) in square.chunks_exact_mut(length).zip(index.chunks_exact(length)).enumerate() {
                if self.transposed {
                    let values = picked.chunks_exact(count);
                    row.iter_mut().zip(index).zip(values).for_each(|((x, &at), values)| *x += values[at as usize]);
                } else {
                    let values = &picked[i * count..][..count];
                    row.iter_mut().zip(index).for_each(|(x, &at)| *x += values[at as usize]);
                }
            }
        });
        Ok(())
    }
}

fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else { candle_core::bail!("expected contiguous values") };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

fn floats_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let (Some((start, end)), CpuStorage::F32(values)) = (layout.contiguous_offsets(), storage) else {
        candle_core::bail!("expected contiguous f32 values");
    };
    Ok(&mut values[start..end])
}

/// Runs a loop with the widest vector instructions of this CPU.
fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// `sum f(x)` in 16 fixed lanes, so that it vectorises and always rounds the same way.
#[inline(always)]
fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut lanes = [0f32; 16];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&x| f(x)).sum::<f32>()
}

/// e^x within 2 units in the last place, 0 below -87: a power of two times the Taylor polynomial of the rest.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding 1.5 × 2²³ rounds to an integer, which the low bits then hold.
    const ROUND: f32 = 12_582_912.;
    // ln 2 in two parts, the first with few bits.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let clamped = x.clamp(-87., 88.);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let r = (clamped - power * LN_2[0]) - power * LN_2[1];
    let p = 1. / 5040. * r + 1. / 720.;
    let p = p * r + 1. / 120.;
    let p = p * r + 1. / 24.;
    let p = p * r + 1. / 6.;
    let p = (p * r + 0.5) * r * r + r + 1.;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    if x < -87. { 0. } else { p * f32::from_bits(exponent) }
}

/// x Φ(x), with erf from Abramowitz and Stegun, formula 7.1.26 (absolute error below 1.5e-7).
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1. / (1. + 0.327_591_1 * z);
    let p = 1.061_405_4 * t - 1.453_152;
    let p = p * t + 1.421_413_7;
    let p = p * t - 0.284_496_74;
    let p = p * t + 0.254_829_6;
    let erf = 1. - p * t * exp(-z * z);
    0.5 * x * (1. + if x < 0. { -erf } else { erf })
}

/// The approximation of [`gelu`] by tanh (Hendrycks and Gimpel 2016).
#[inline(always)]
fn gelu_new(x: f32) -> f32 {
    let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
    // x σ(2 inner) is x/2 (1 + tanh inner).
    x / (1. + exp(-2. * inner))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn numbers(shape: &[usize], spread: f32) -> Tensor {
        let count: usize = shape.iter().product();
        let value = |i: usize| ((i * 7919 % 1013) as f32 / 506.5 - 1.) * spread;
        Tensor::from_vec((0..count).map(value).collect(), shape, &Device::Cpu).unwrap()
    }

    #[track_caller]
    fn alike(a: &Tensor, b: &Tensor, tolerance: f32) {
        assert_eq!(a.dims(), b.dims());
        let worst = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(worst <= tolerance, "differs by {worst}");
    }

    fn copied(x: &Tensor) -> Tensor {
        x.copy().unwrap()
    }

    #[test]
    fn biases_and_activations_agree_with_candle() {
        let (x, bias) = (numbers(&[37, 19], 9.), numbers(&[19], 1.));
        let plain = x.broadcast_add(&bias).unwrap();
        alike(&add_bias(copied(&x), &bias, None).unwrap(), &plain, 0.);
        alike(&add_bias(copied(&x), &bias, Some(Activation::Relu)).unwrap(), &plain.relu().unwrap(), 0.);
        alike(&add_bias(copied(&x), &bias, Some(Activation::Gelu)).unwrap(), &plain.gelu_erf().unwrap(), 2e-6);
        alike(&add_bias(copied(&x), &bias, Some(Activation::GeluNew)).unwrap(), &plain.gelu().unwrap(), 2e-6);
    }

    #[test]
    fn softmax_agrees_with_candle_and_ignores_what_is_masked() {
        let x = numbers(&[3, 5, 21], 30.);
        alike(&softmax(copied(&x)).unwrap(), &candle_nn::ops::softmax_last_dim(&x).unwrap(), 1e-6);
        let mask = Tensor::from_vec(vec![0., f32::MIN, 0.], (1, 3), &Device::Cpu).unwrap();
        let masked = softmax((numbers(&[1, 3], 2.) + mask).unwrap()).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(masked[0][1], 0.);
        assert!((masked[0][0] + masked[0][2] - 1.).abs() < 1e-6);
    }

    #[test]
    fn normalised_sums_agree_with_candle() {
        let (x, residual, parameters) = (numbers(&[33, 40], 3.), numbers(&[33, 40], 2.), numbers(&[3, 40], 1.5));
        let [bias, weight, shift] = [0, 1, 2].map(|i| parameters.get(i).unwrap());
        let plain = (&x + &residual).unwrap().broadcast_add(&bias).unwrap();
        let expected = candle_nn::ops::layer_norm(&plain, &weight, &shift, 1e-12).unwrap();
        alike(&add_norm(copied(&x), &residual, &parameters, 1e-12).unwrap(), &expected, 2e-5);
    }

    #[test]
    fn picked_values_agree_with_gathering() {
        let (scores, picked) = (numbers(&[2, 3, 6, 6], 1.), numbers(&[2, 3, 6, 4], 1.));
        let index: Vec<u32> = (0..36).map(|i| i * 5 % 4).collect();
        let index = Tensor::from_vec(index, (6, 6), &Device::Cpu).unwrap();
        for transposed in [false, true] {
            let turned = if transposed { index.t().unwrap() } else { index.clone() };
            let turned = turned.broadcast_as((2, 3, 6, 6)).unwrap().contiguous().unwrap();
            let added = picked.gather(&turned, 3).unwrap();
            let added = if transposed { added.transpose(2, 3).unwrap() } else { added };
            let got = add_picked(copied(&scores), &picked, &index, transposed).unwrap();
            alike(&got, &(&scores + added).unwrap(), 0.);
        }
        let outside = Tensor::full(4u32, (6, 6), &Device::Cpu).unwrap();
        assert!(add_picked(copied(&scores), &picked, &outside, false).is_err());
    }

    #[test]
    fn exponentials_are_exact_to_a_few_units_in_the_last_place() {
        for i in -8600..8600 {
            let x = i as f32 / 100.;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.).abs() < 4e-7, "{x}");
        }
        assert_eq!(exp(f32::MIN), 0.);
    }
}
