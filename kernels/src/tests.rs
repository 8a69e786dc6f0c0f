mod cuda;

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, Var};

use super::{attention::composed, *};

fn random(shape: &[usize], seed: u64) -> Result<Var> {
    use rand::{Rng, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let data: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Var::from_tensor(&Tensor::from_vec(data, shape, &Device::Cpu)?)
}

fn distance(a: &Tensor, b: &Tensor) -> Result<f32> {
    (a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar()
}

/// Value and gradients of the fused operation equal those of the composed one, for a random cotangent.
fn agree(vars: &[&Var], fused: impl Fn() -> Result<Tensor>, plain: impl Fn() -> Result<Tensor>) -> Result<()> {
    let (a, b) = (fused()?, plain()?);
    assert_eq!(a.dims(), b.dims());
    assert!(distance(&a, &b)? < 2e-5, "values differ by {}", distance(&a, &b)?);
    let cotangent = random(a.dims(), 99)?.as_detached_tensor();
    let (ga, gb) = ((a * &cotangent)?.sum_all()?.backward()?, (b * &cotangent)?.sum_all()?.backward()?);
    for (i, v) in vars.iter().enumerate() {
        let (x, y) = (ga.get(v.as_tensor()), gb.get(v.as_tensor()));
        let (x, y) = (x.unwrap_or_else(|| panic!("no gradient for {i}")), y.unwrap());
        assert!(distance(x, y)? < 5e-5, "gradient {i} differs by {}", distance(x, y)?);
    }
    Ok(())
}

#[test]
fn rms_norm_agrees_with_its_composition() -> Result<()> {
    let (x, w) = (random(&[7, 37], 1)?, random(&[37], 2)?);
    let plain = || {
        let mean = x.sqr()?.mean_keepdim(1)?;
        x.broadcast_div(&(mean + 1e-6)?.sqrt()?)?.broadcast_mul(&w)
    };
    agree(&[&x, &w], || rms_norm(&x, &w, 1e-6), plain)
}

#[test]
fn swiglu_agrees_with_its_composition() -> Result<()> {
    let (g, u) = (random(&[5, 33], 1)?, random(&[5, 33], 2)?);
    agree(&[&g, &u], || swiglu(&g, &u), || g.silu()?.mul(&u))
}

#[test]
fn rope_agrees_with_its_composition() -> Result<()> {
    let x = random(&[6, 3, 8], 1)?;
    let angles: Vec<f32> = (0..24).map(|i| i as f32 * 0.37).collect();
    let rotation = Rotation::new(&angles, 4, &Device::Cpu)?;
    let plain = || {
        let table = Tensor::from_vec(angles.clone(), (6, 1, 4), &Device::Cpu)?;
        let (a, b) = (x.narrow(2, 0, 4)?, x.narrow(2, 4, 4)?);
        let (cos, sin) = (table.cos()?, table.sin()?);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        Tensor::cat(&[first, second], 2)
    };
    agree(&[&x], || rope(&x, &rotation), plain)
}

#[test]
fn linear_layers_agree_with_their_compositions() -> Result<()> {
    let (x, w, bias) = (random(&[9, 20], 1)?, random(&[20, 12], 2)?, random(&[12], 3)?);
    agree(&[&x, &w], || linear(&x, &w, None), || x.matmul(&w))?;
    agree(&[&x, &w, &bias], || linear(&x, &w, Some(&bias)), || x.matmul(&w)?.broadcast_add(&bias))
}

/// Frozen weights are what other devices run without a fused kernel.
#[test]
fn frozen_layers_and_heads_agree_with_their_composition_for_other_devices() -> Result<()> {
    let (x, w) = (random(&[70, 20], 1)?, random(&[20, 53], 2)?.as_detached_tensor());
    let bias = random(&[53], 3)?.as_detached_tensor();
    agree(&[&x], || linear(&x, &w, Some(&bias)), || super::linear::composed(&x, &w, Some(&bias)))?;
    let targets: Vec<u32> = (0..70).map(|i| (i * 7) % 53).collect();
    let fused = || {
        let LogProbs { log_probs, entropy } = super::log_probs(&x, &w, &targets, 0.7)?;
        Tensor::stack(&[log_probs, entropy], 0)
    };
    agree(&[&x], fused, || super::log_probs::composed(&x, &w, &targets, 0.7))
}

/// The products are f32 ones, so a weight in half precision acts like the same values in single.
#[test]
fn weights_in_half_precision_act_like_their_values_in_single() -> Result<()> {
    // More rows and columns than one tile has.
    let (x, wide) = (random(&[9, 300], 1)?, random(&[300, 600], 2)?);
    let bias = random(&[600], 3)?.as_detached_tensor();
    let targets: Vec<u32> = (0..9).map(|i| i * 31).collect();
    let near = |half: Tensor, single: Tensor, vars: &[&Var]| -> Result<()> {
        assert!(distance(&half, &single)? < 1e-4, "values differ by {}", distance(&half, &single)?);
        let cotangent = random(half.dims(), 99)?.as_detached_tensor();
        let (half, single) =
            ((half * &cotangent)?.sum_all()?.backward()?, (single * cotangent)?.sum_all()?.backward()?);
        for var in vars {
            let gap = distance(half.get(var.as_tensor()).unwrap(), single.get(var.as_tensor()).unwrap())?;
            assert!(gap < 5e-4, "gradients differ by {gap}");
        }
        Ok(())
    };
    for dtype in [DType::BF16, DType::F16] {
        let half = wide.to_dtype(dtype)?.detach();
        let single = half.to_dtype(DType::F32)?;
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| -> Result<()> {
                near(linear(&x, &half, None)?, linear(&x, &single, None)?, &[&x])?;
                near(linear(&x, &half, Some(&bias))?, linear(&x, &single, Some(&bias))?, &[&x])?;
                let log_probs =
                    |w: &Tensor| Ok::<_, candle_core::Error>(super::log_probs(&x, w, &targets, 0.7)?.log_probs);
                near(log_probs(&half)?, log_probs(&single)?, &[&x])
            })?;
        }
    }
    Ok(())
}

#[test]
fn log_probs_and_entropy_agree_with_log_softmax() -> Result<()> {
    let (h, w) = (random(&[70, 16], 1)?, (random(&[16, 53], 2)?));
    let targets: Vec<u32> = (0..70).map(|i| (i * 7) % 53).collect();
    let plain = |entropy: bool| {
        let z = (h.matmul(&w)? / 0.7)?;
        let all = z.broadcast_sub(&z.log_sum_exp(1)?.unsqueeze(1)?)?;
        if entropy {
            (all.exp()? * &all)?.sum(1)?.neg()
        } else {
            all.gather(&Tensor::new(targets.as_slice(), &Device::Cpu)?.unsqueeze(1)?, 1)?.squeeze(1)
        }
    };
    agree(&[&h, &w], || Ok(super::log_probs(&h, &w, &targets, 0.7)?.log_probs), || plain(false))?;
    agree(&[&h, &w], || Ok(super::log_probs(&h, &w, &targets, 0.7)?.entropy), || plain(true))
}

fn segment(query: (usize, usize), before: (usize, usize), own: (usize, usize), causal: bool) -> Segment {
    let before = before.0..before.1;
    Segment { query: query.0..query.1, before: vec![before], own: own.0..own.1, causal }
}

#[test]
fn attention_agrees_with_its_composition_on_every_kind_of_segment() -> Result<()> {
    // A prompt of 70 tokens shared by two responses, then a window without causality.
    let packed = [
        segment((0, 70), (0, 0), (0, 70), true),
        segment((70, 78), (0, 70), (70, 78), true),
        segment((78, 79), (0, 70), (78, 79), true),
        segment((79, 88), (0, 0), (79, 88), false),
        // A response that goes on from a prompt and the beginning of another one.
        Segment { query: 88..90, before: vec![0..70, 70..73], own: 88..90, causal: true },
    ];
    let (q, k, v) = (random(&[90, 4, 16], 1)?, random(&[90, 2, 16], 2)?, random(&[90, 2, 16], 3)?);
    let segments: Arc<[Segment]> = packed.into();
    agree(&[&q, &k, &v], || attention(&q, &k, &v, &segments), || composed(&q, &k, &v, &segments))?;
    // Decoding: two queries over a cache that is longer than they are many.
    let cached: Arc<[Segment]> =
        [segment((0, 1), (0, 70), (72, 75), true), segment((1, 2), (0, 70), (80, 81), true)].into();
    let q = random(&[2, 4, 16], 4)?;
    agree(&[&q], || attention(&q, &k, &v, &cached), || composed(&q, &k, &v, &cached))
}

#[test]
fn attention_does_not_depend_on_the_number_of_threads() -> Result<()> {
    let (q, k, v) = (random(&[40, 4, 16], 1)?, random(&[40, 2, 16], 2)?, random(&[40, 2, 16], 3)?);
    let segments: Arc<[Segment]> = [segment((0, 40), (0, 0), (0, 40), true)].into();
    let run = |threads| -> Result<Vec<f32>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let grads = attention(&q, &k, &v, &segments)?.sqr()?.sum_all()?.backward()?;
            grads.get(k.as_tensor()).unwrap().flatten_all()?.to_vec1()
        })
    };
    assert_eq!(run(1)?, run(3)?);
    Ok(())
}

#[test]
fn segments_outside_the_tensors_are_refused() -> Result<()> {
    let q = Tensor::zeros((2, 2, 4), DType::F32, &Device::Cpu)?;
    let segments: Arc<[Segment]> = [segment((0, 3), (0, 0), (0, 3), true)].into();
    assert!(attention(&q, &q, &q, &segments).is_err());
    Ok(())
}

/// Threads would write the same rows.
#[test]
fn segments_that_share_a_query_or_see_no_key_are_refused() -> Result<()> {
    let q = Tensor::zeros((4, 2, 4), DType::F32, &Device::Cpu)?;
    let refuses = |segments: &[Segment]| attention(&q, &q, &q, &segments.into()).is_err();
    assert!(refuses(&[segment((2, 4), (0, 0), (0, 4), true), segment((0, 3), (0, 0), (0, 3), true)]));
    assert!(refuses(&[segment((0, 2), (0, 0), (0, 0), false)]));
    assert!(!refuses(&[segment((2, 4), (0, 0), (0, 4), true), segment((0, 2), (0, 0), (0, 3), true)]));
    Ok(())
}

#[test]
fn copied_rows_land_where_they_should() -> Result<()> {
    let cache = Tensor::zeros((5, 2), DType::F32, &Device::Cpu)?;
    copy_rows(&cache, &Tensor::new(&[[1f32, 2.], [3., 4.]], &Device::Cpu)?, &[4, 1])?;
    assert_eq!(cache.to_vec2::<f32>()?, [[0., 0.], [3., 4.], [0., 0.], [0., 0.], [1., 2.]]);
    assert!(copy_rows(&cache, &Tensor::new(&[[1f32, 2.]], &Device::Cpu)?, &[5]).is_err());
    Ok(())
}

#[test]
fn products_of_few_rows_agree_with_the_plain_product_and_round_by_row() -> Result<()> {
    // Rows and columns that fill no tile, lengths that fill no vector, and enough work for several threads.
    for (rows, inputs, outputs) in
        [(1, 1, 1), (5, 37, 6), (3, 256, 401), (63, 40, 203), (61, 1100, 96), (127, 300, 130)]
    {
        let (x, w) = (random(&[rows, inputs], 1)?.as_detached_tensor(), random(&[inputs, outputs], 2)?);
        let w = w.as_detached_tensor();
        let bias = random(&[outputs], 3)?.as_detached_tensor();
        let plain = x.matmul(&w)?.broadcast_add(&bias)?;
        let pool = |n: usize| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        let y = pool(3).install(|| linear(&x, &w, Some(&bias)))?;
        assert!(distance(&y, &plain)? < 5e-5, "{rows} x {inputs} x {outputs}: {}", distance(&y, &plain)?);
        for row in [0, rows / 2, rows - 1] {
            let alone = pool(1).install(|| linear(&x.narrow(0, row, 1)?, &w, Some(&bias)))?;
            assert_eq!(alone.to_vec2::<f32>()?[0], y.to_vec2::<f32>()?[row], "row {row} of {rows}");
        }
    }
    Ok(())
}
