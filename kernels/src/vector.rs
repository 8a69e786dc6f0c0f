//! Loops over contiguous values that vectorise, whose sums always round the same way.

/// Runs a loop with the widest vector instructions of this CPU. The loop's helpers must be `#[inline(always)]`.
pub fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

const LANES: usize = 16;

/// `sum f(a, b)` in 16 fixed lanes, so that it vectorises and always rounds the same way.
#[inline(always)]
fn lanes(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut acc = [0f32; LANES];
    let (ca, cb) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = ca.remainder().iter().zip(cb.remainder()).map(|(&x, &y)| f(x, y)).sum();
    for (x, y) in ca.zip(cb) {
        for i in 0..LANES {
            acc[i] += f(x[i], y[i]);
        }
    }
    acc.iter().sum::<f32>() + tail
}

/// Dot product.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    lanes(a, b, |x, y| x * y)
}

/// Sum.
#[inline(always)]
pub fn sum(a: &[f32]) -> f32 {
    sum_of(a, |x| x)
}

/// `sum f(x)`.
#[inline(always)]
pub fn sum_of(a: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    lanes(a, a, |x, _| f(x))
}

/// Largest value, negative infinity when empty.
#[inline(always)]
pub fn max(a: &[f32]) -> f32 {
    let mut acc = [f32::NEG_INFINITY; LANES];
    let chunks = a.chunks_exact(LANES);
    let tail = chunks.remainder().iter().fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m });
    for x in chunks {
        for i in 0..LANES {
            acc[i] = if x[i] > acc[i] { x[i] } else { acc[i] };
        }
    }
    acc.iter().fold(tail, |m, &x| if x > m { x } else { m })
}

/// `e^x` to about 1e-7 relative, branch-free so that loops over it vectorise; 0 below -87.3, NaN of NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer in the low mantissa bits
    // Comparisons that NaN fails leave it as it is.
    let x = if x > 88.7 { 88.7 } else { x };
    let clamped = if x < -87.3 { -87.3 } else { x };
    let shifted = clamped * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = (clamped - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let exponent = (shifted.to_bits() as i32).wrapping_sub(0x4B40_0000);
    let scale = f32::from_bits((exponent.wrapping_add(127) << 23) as u32);
    if x <= -87.3 { 0.0 } else { y * scale }
}

/// Replaces `row` by its softmax at `scale` and returns `ln(sum(exp(scale * row)))`.
#[inline(always)]
pub fn softmax(row: &mut [f32], scale: f32) -> f32 {
    let top = max(row);
    for x in row.iter_mut() {
        *x = exp((*x - top) * scale);
    }
    let total = sum(row);
    let inverse = 1.0 / total;
    for x in row.iter_mut() {
        *x *= inverse;
    }
    top * scale + total.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_exact_to_a_few_units_in_the_last_place() {
        for i in -8600..8600 {
            let x = i as f32 / 100.;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.).abs() < 4e-7, "{x}");
        }
        assert_eq!(exp(f32::MIN), 0.);
        assert_eq!(exp(f32::NEG_INFINITY), 0.);
    }

    #[test]
    fn what_is_not_a_number_stays_visible_through_a_softmax() {
        assert!(exp(f32::NAN).is_nan());
        let mut row = [0.5; 40];
        row[7] = f32::NAN;
        softmax(&mut row, 1.0);
        assert!(row.iter().all(|x| x.is_nan()), "{row:?}");
    }
}
