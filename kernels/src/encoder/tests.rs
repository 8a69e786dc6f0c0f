use candle_core::{Device, Tensor};

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
    alike(&composed::softmax(&x).unwrap(), &candle_nn::ops::softmax_last_dim(&x).unwrap(), 1e-6);
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
    alike(&layer_norm(&plain, &weight, &shift, 1e-12).unwrap(), &expected, 2e-5);
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
