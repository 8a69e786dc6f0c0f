use candle_core::{DType, Storage, Tensor};

use crate::error::Result;

/// The numbers of one AdamW step that all parameters share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Update {
    /// Factor of the gradients, from clipping.
    pub scale: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// Factor of the parameters: 1 − learning rate × weight decay.
    pub keep: f64,
    /// Learning rate / (1 − β₁ᵗ).
    pub step_size: f64,
    /// √(1 − β₂ᵗ).
    pub root_correction: f64,
}

/// A parameter with its moments.
#[derive(Debug)]
pub(super) struct Moving {
    pub parameter: Tensor,
    pub first: Tensor,
    pub second: Tensor,
}

impl Update {
    /// The parameter and its moments after the step. Nothing is changed in place, and no graph is recorded.
    pub fn apply(&self, now: &Moving, gradient: &Tensor) -> Result<Moving> {
        let gradient = gradient.to_dtype(DType::F32)?.detach();
        #[cfg(feature = "cuda")]
        if now.parameter.device().is_cuda() {
            return self.on_a_gpu(now, &gradient);
        }
        if now.parameter.device().is_cpu() { self.in_one_pass(now, &gradient) } else { self.by_tensors(now, &gradient) }
    }

    /// One pass over memory, which is all that an update costs on a CPU.
    fn in_one_pass(&self, now: &Moving, gradient: &Tensor) -> Result<Moving> {
        let [mut parameter, mut first, mut second] =
            [to_host(&now.parameter)?, to_host(&now.first)?, to_host(&now.second)?];
        let [scale, beta1, beta2, epsilon, keep, step_size, root_correction] =
            [self.scale, self.beta1, self.beta2, self.epsilon, self.keep, self.step_size, self.root_correction]
                .map(|number| number as f32);
        let [rest1, rest2] = [self.beta1, self.beta2].map(|beta| (1.0 - beta) as f32);
        on_host(gradient, |gradient| {
            let moments = first.iter_mut().zip(&mut second);
            for ((p, (m, v)), g) in parameter.iter_mut().zip(moments).zip(gradient) {
                let g = g * scale;
                *m = *m * beta1 + g * rest1;
                *v = *v * beta2 + g * g * rest2;
                *p = *p * keep - *m / (v.sqrt() / root_correction + epsilon) * step_size;
            }
        })?;
        let shape = now.parameter.shape();
        let tensor = |values: Vec<f32>| Tensor::from_vec(values, shape, now.parameter.device());
        Ok(Moving { parameter: tensor(parameter)?, first: tensor(first)?, second: tensor(second)? })
    }

    #[cfg(feature = "cuda")]
    fn on_a_gpu(&self, now: &Moving, gradient: &Tensor) -> Result<Moving> {
        let &Self { scale, beta1, beta2, epsilon, keep, step_size, root_correction } = self;
        let numbers = addendum_kernels::cuda::AdamW { scale, beta1, beta2, epsilon, keep, step_size, root_correction };
        let [p, m, v] = [&now.parameter, &now.first, &now.second].map(|t| t.detach().contiguous());
        let of = [&p?, &m?, &v?, &gradient.contiguous()?];
        let [parameter, first, second] = addendum_kernels::cuda::adamw(numbers, of)?;
        Ok(Moving { parameter, first, second })
    }

    fn by_tensors(&self, now: &Moving, gradient: &Tensor) -> Result<Moving> {
        let gradient = (gradient * self.scale)?;
        let first = ((&now.first * self.beta1)? + (&gradient * (1.0 - self.beta1))?)?;
        let second = ((&now.second * self.beta2)? + (gradient.sqr()? * (1.0 - self.beta2))?)?;
        let root = (second.sqrt()? / self.root_correction)?;
        let direction = (&first / (root + self.epsilon)?)?;
        let parameter = ((now.parameter.detach() * self.keep)? - (direction * self.step_size)?)?;
        Ok(Moving { parameter, first, second })
    }
}

/// Whether every value is finite. On a device: whether zero times every value is zero.
pub fn all_finite(tensor: &Tensor) -> Result<bool> {
    if tensor.device().is_cpu() && tensor.dtype() == DType::F32 {
        return on_host(tensor, |values| values.iter().fold(true, |all, value| all & value.is_finite()));
    }
    #[cfg(feature = "cuda")]
    if tensor.device().is_cuda() && matches!(tensor.dtype(), DType::F32 | DType::BF16) {
        let sums = addendum_kernels::cuda::sums_of_squares(&[&tensor.contiguous()?])?;
        return Ok(sums.iter().all(|sum| sum.is_finite()));
    }
    Ok(tensor.affine(0.0, 0.0)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?.is_finite())
}

/// Σ x² of every tensor, summed in f64.
pub fn sums_of_squares(tensors: &[&Tensor]) -> Result<Vec<f64>> {
    #[cfg(feature = "cuda")]
    if tensors.iter().all(|t| t.device().is_cuda() && t.dtype() == DType::F32) {
        let flat = tensors.iter().map(|t| t.detach().contiguous()).collect::<candle_core::Result<Vec<_>>>()?;
        return Ok(addendum_kernels::cuda::sums_of_squares(&flat.iter().collect::<Vec<_>>())?);
    }
    tensors.iter().map(|tensor| sum_of_squares(tensor)).collect()
}

fn sum_of_squares(tensor: &Tensor) -> Result<f64> {
    if tensor.device().is_cpu() && tensor.dtype() == DType::F32 {
        return on_host(tensor, |values| values.iter().map(|&value| f64::from(value) * f64::from(value)).sum());
    }
    Ok(tensor.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar()?)
}

fn to_host(tensor: &Tensor) -> Result<Vec<f32>> {
    on_host(tensor, <[f32]>::to_vec)
}

/// Reads the values of an F32 tensor on the CPU, in row-major order.
fn on_host<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let (Storage::Cpu(cpu), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
        return Err(candle_core::Error::Msg("expected a contiguous tensor on the CPU".into()).into());
    };
    Ok(read(&cpu.as_slice::<f32>()?[start..end]))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn one_pass_and_tensor_operations_agree_also_on_transposed_tensors() {
        let tensor = |seed: f32| {
            let values: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7 + seed).sin().abs() + 0.01).collect();
            Tensor::from_vec(values, (3, 4), &Device::Cpu).unwrap()
        };
        let now = Moving {
            parameter: tensor(1.0).t().unwrap(),
            first: tensor(2.0).t().unwrap(),
            second: tensor(3.0).t().unwrap(),
        };
        let gradient = tensor(4.0).t().unwrap();
        let update = Update {
            scale: 0.5,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            keep: 0.999,
            step_size: 0.03,
            root_correction: 0.4,
        };
        let (one, two) = (update.in_one_pass(&now, &gradient).unwrap(), update.by_tensors(&now, &gradient).unwrap());
        for (a, b) in [(one.parameter, two.parameter), (one.first, two.first), (one.second, two.second)] {
            let difference = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(difference < 1e-6, "{difference}");
        }
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let tensor = Tensor::new(&[1.0, bad, f32::MAX, f32::MAX], &Device::Cpu).unwrap();
            for dtype in [DType::F32, DType::BF16] {
                assert!(!all_finite(&tensor.to_dtype(dtype).unwrap()).unwrap());
            }
            assert!(all_finite(&tensor.narrow(0, 2, 2).unwrap()).unwrap());
        }
        let expected =
            gradient.to_dtype(DType::F64).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        assert!((sum_of_squares(&gradient).unwrap() - expected).abs() < 1e-12);
    }
}
