use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Cached, DecoderLayer, Fused, composed};
use crate::{LoraFactors, LoraPair, Rotation, Segment};

const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const DIM: usize = 8;
const HIDDEN: usize = 24;
const WIDE: usize = 40;

fn random(shape: &[usize], rng: &mut ChaCha8Rng) -> Result<Var> {
    let data: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-0.5..0.5)).collect();
    Var::from_tensor(&Tensor::from_vec(data, shape, &Device::Cpu)?)
}

fn distance(a: &Tensor, b: &Tensor) -> Result<f32> {
    (a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar()
}

fn layer(rng: &mut ChaCha8Rng, dtype: DType) -> Result<DecoderLayer> {
    let qkv = (HEADS + 2 * KV_HEADS) * DIM;
    let mut frozen = |shape: &[usize]| Ok::<_, candle_core::Error>(random(shape, rng)?.as_detached_tensor());
    Ok(DecoderLayer {
        heads: HEADS,
        kv_heads: KV_HEADS,
        head_dim: DIM,
        eps: 1e-6,
        input_norm: frozen(&[HIDDEN])?,
        post_norm: frozen(&[HIDDEN])?,
        qkv: frozen(&[HIDDEN, qkv])?.to_dtype(dtype)?,
        qkv_bias: frozen(&[qkv])?,
        o: frozen(&[HEADS * DIM, HIDDEN])?.to_dtype(dtype)?,
        gate_up: frozen(&[HIDDEN, 2 * WIDE])?.to_dtype(dtype)?,
        down: frozen(&[WIDE, HIDDEN])?.to_dtype(dtype)?,
        #[cfg(feature = "cuda")]
        resident: Default::default(),
    })
}

/// Updates of every product: of all of its columns, of some, or of none.
fn factors(rng: &mut ChaCha8Rng, all: bool) -> Result<(Vec<Var>, LoraFactors)> {
    let (q, k) = (HEADS * DIM, KV_HEADS * DIM);
    let mut vars = Vec::new();
    let mut update = |inputs: usize, from: usize, to: usize, rank: usize| -> Result<_> {
        let (a, b) = (random(&[rank, inputs], rng)?, random(&[to - from, rank], rng)?);
        let pair = LoraPair { a: a.as_tensor().clone(), b: b.as_tensor().clone(), scale: 1.5 };
        vars.extend([a, b]);
        Ok((from..to, pair))
    };
    let mut pairs: Vec<Vec<_>> = vec![vec![]; Fused::COUNT];
    if all {
        pairs[0] = vec![update(HIDDEN, 0, q, 3)?, update(HIDDEN, q, q + k, 3)?, update(HIDDEN, q + k, q + 2 * k, 2)?];
        pairs[1] = vec![update(q, 0, HIDDEN, 3)?];
        pairs[2] = vec![update(HIDDEN, 0, WIDE, 3)?, update(HIDDEN, WIDE, 2 * WIDE, 5)?];
    } else {
        pairs[0] = vec![update(HIDDEN, 0, q, 3)?, update(HIDDEN, q + k, q + 2 * k, 3)?];
    }
    pairs[3] = vec![update(WIDE, 0, HIDDEN, 3)?];
    Ok((vars, LoraFactors::new(pairs)?))
}

fn rotation(tokens: usize) -> Result<Rotation> {
    let angles: Vec<f32> = (0..tokens * DIM / 2).map(|i| i as f32 * 0.37).collect();
    Rotation::new(&angles, DIM / 2, &Device::Cpu)
}

/// A prompt of two thirds of the tokens, and two responses.
fn segments(tokens: usize) -> Arc<[Segment]> {
    let (a, b) = (tokens * 2 / 3, tokens * 5 / 6);
    let prompt = 0..a;
    let response = |range: std::ops::Range<usize>| Segment {
        query: range.clone(),
        before: vec![prompt.clone()],
        own: range,
        causal: true,
    };
    [Segment::alone(0..a, true), response(a..b), response(b..tokens)].into()
}

#[test]
fn a_fused_layer_and_its_gradients_agree_with_its_composition() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    // Fewer tokens than a block, and more than several of both passes.
    for (tokens, all, threads) in [(18, true, 1), (18, false, 3), (840, true, 3)] {
        let layer = layer(&mut rng, DType::F32)?;
        let (vars, lora) = factors(&mut rng, all)?;
        let x = random(&[tokens, HIDDEN], &mut rng)?;
        let (rotation, segments) = (rotation(tokens)?, segments(tokens));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let cotangent = random(&[tokens, HIDDEN], &mut rng)?.as_detached_tensor();
        let fused = pool.install(|| layer.forward(&x, &rotation, &segments, Some(&lora)))?;
        let plain = composed::forward(&layer, &x, &rotation, &segments, Some(&lora), None)?;
        assert!(distance(&fused, &plain)? < 2e-5, "values differ by {}", distance(&fused, &plain)?);
        let gradients = |y: Tensor| (y * &cotangent)?.sum_all()?.backward();
        let (fused, plain) = (pool.install(|| gradients(fused))?, gradients(plain)?);
        for (i, var) in vars.iter().chain([&x]).enumerate() {
            let (fused, plain) = (fused.get(var.as_tensor()).unwrap(), plain.get(var.as_tensor()).unwrap());
            let scale: f32 = plain.abs()?.flatten_all()?.max(0)?.to_scalar()?;
            let gap = distance(fused, plain)?;
            assert!(gap < 1e-4 * scale.max(1.0), "{tokens} tokens: gradient {i} differs by {gap} of {scale}");
        }
    }
    Ok(())
}

#[test]
fn a_layer_without_an_adapter_agrees_with_its_composition() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let (layer, x) = (layer(&mut rng, DType::F32)?, random(&[90, HIDDEN], &mut rng)?);
    let (rotation, segments) = (rotation(90)?, segments(90));
    let fused = layer.forward(&x, &rotation, &segments, None)?;
    let plain = composed::forward(&layer, &x, &rotation, &segments, None, None)?;
    assert!(distance(&fused, &plain)? < 2e-5);
    let (fused, plain) = (fused.sqr()?.sum_all()?.backward()?, plain.sqr()?.sum_all()?.backward()?);
    let gap = distance(fused.get(&x).unwrap(), plain.get(&x).unwrap())?;
    assert!(gap < 2e-4, "gradients differ by {gap}");
    Ok(())
}

#[test]
fn a_second_backward_pass_gives_the_same_gradient() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (layer, x) = (layer(&mut rng, DType::BF16)?, random(&[20, HIDDEN], &mut rng)?);
    let (vars, lora) = factors(&mut rng, true)?;
    let loss = layer.forward(&x, &rotation(20)?, &segments(20), Some(&lora))?.sum_all()?;
    let (first, second) = (loss.backward()?, loss.backward()?);
    for var in vars.iter().chain([&x]) {
        assert_eq!(distance(first.get(var.as_tensor()).unwrap(), second.get(var.as_tensor()).unwrap())?, 0.0);
    }
    Ok(())
}

/// Token by token over a cache, and all at once.
#[test]
fn decoding_over_a_cache_continues_a_prompt() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let (layer, x) = (layer(&mut rng, DType::F32)?, random(&[12, HIDDEN], &mut rng)?.as_detached_tensor());
    let (_, lora) = factors(&mut rng, true)?;
    let whole = layer.forward(&x, &rotation(12)?, &[Segment::alone(0..12, true)].into(), Some(&lora))?;
    let [keys, values] = [0, 1].map(|_| Tensor::zeros((30, KV_HEADS, DIM), DType::F32, &Device::Cpu));
    let (keys, values) = (keys?, values?);
    // The prompt's rows come after the response's.
    let rows: Vec<usize> = (20..28).collect();
    let prompt = Segment { query: 0..8, before: vec![], own: 20..28, causal: true };
    fn at<'a>(keys: &'a Tensor, values: &'a Tensor, rows: &'a [usize]) -> Cached<'a> {
        Cached { keys, values, rows }
    }
    let first = layer.forward_cached(
        &x.narrow(0, 0, 8)?,
        &rotation(8)?,
        &[prompt].into(),
        Some(&lora),
        at(&keys, &values, &rows),
    )?;
    assert!(distance(&first, &whole.narrow(0, 0, 8)?)? < 2e-5);
    let angles: Vec<f32> = (0..12 * DIM / 2).map(|i| i as f32 * 0.37).collect();
    for i in 8..12 {
        let rotation = Rotation::new(&angles[i * DIM / 2..(i + 1) * DIM / 2], DIM / 2, &Device::Cpu)?;
        let prompt = 20..28;
        let segment = Segment { query: 0..1, before: vec![prompt], own: 3..i - 4, causal: true };
        let row = [i - 5];
        let next = layer.forward_cached(
            &x.narrow(0, i, 1)?,
            &rotation,
            &[segment].into(),
            Some(&lora),
            at(&keys, &values, &row),
        )?;
        assert!(distance(&next, &whole.narrow(0, i, 1)?)? < 2e-5, "token {i}");
    }
    let segment = Segment { query: 0..1, before: vec![], own: 30..31, causal: true };
    assert!(
        layer
            .forward_cached(&x.narrow(0, 0, 1)?, &rotation(1)?, &[segment].into(), None, at(&keys, &values, &[30]))
            .is_err()
    );
    Ok(())
}
