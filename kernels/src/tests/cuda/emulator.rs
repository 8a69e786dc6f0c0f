//! The emulator itself: what the prelude's instructions do, and what is wrong must be caught.

use super::{compiler::Check, launch::arguments, program::Program};
use half::bf16;

const SUMS: &str = r#"
extern "C" __global__ void sums(float* out, const float* in, int n, float scale) {
    __shared__ float scratch[32];
    float sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += in[blockIdx.x * n + i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) out[blockIdx.x] = sum * scale;
}
"#;

#[test]
fn a_block_sums_rows_of_any_length() {
    let Some(program) = Program::of_source("sums.cu", SUMS, &[]) else { return };
    for (rows, n, threads) in [(3, 1, 32), (2, 77, 64), (5, 1000, 1024), (1, 129, 96)] {
        let values: Vec<f32> = (0..rows * n).map(|i| (i % 17) as f32 - 3.0).collect();
        let mut run = program.run();
        let (input, output) = (run.input(&values), run.output::<f32>(rows));
        let arguments = arguments![output, input, n as i32, 0.5f32];
        run.launch("sums", [rows as u32, 1, 1], [threads, 1, 1], 0, arguments);
        let expected: Vec<f32> = values.chunks(n).map(|row| row.iter().sum::<f32>() * 0.5).collect();
        assert_eq!(run.finish().read(output), expected);
    }
}

const PRODUCTS: &str = r#"
// out [16, 8] += a [16, 16] times b [16, 8]; fragments are loaded with ldmatrix, those of b transposed.
extern "C" __global__ void product(const bf16* a, const bf16* b, float* out) {
    extern __shared__ __align__(16) unsigned char shared[];
    bf16 *as = (bf16*)shared, *bs = as + 16 * 24;
    int lane = threadIdx.x, g = lane / 4, t = lane % 4;
    for (int i = lane; i < 256; i += WARP) as[i / 16 * 24 + i % 16] = a[i];
    for (int i = lane; i < 256; i += WARP) bs[i / 16 * 24 + i % 16] = i % 16 < 8 ? b[i / 16 * 8 + i % 16] : narrow(0);
    __syncwarp();
    u32 left[4], right[4];
    ldmatrix(left, as + lane % 16 * 24 + lane / 16 * 8);
    ldmatrix_transposed(right, bs + lane % 16 * 24 + lane / 16 * 8);
    float d[4] = {out[g * 8 + 2 * t], out[g * 8 + 2 * t + 1], out[(g + 8) * 8 + 2 * t], out[(g + 8) * 8 + 2 * t + 1]};
    mma(d, left, right);
    out[g * 8 + 2 * t] = d[0], out[g * 8 + 2 * t + 1] = d[1];
    out[(g + 8) * 8 + 2 * t] = d[2], out[(g + 8) * 8 + 2 * t + 1] = d[3];
}
// The same with fragments loaded value by value.
extern "C" __global__ void plain_product(const bf16* a, const bf16* b, float* out) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    u32 left[4], right[2];
    for (int i = 0; i < 4; i++) {
        const bf16* at = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
        left[i] = at[0].bits | (u32)at[1].bits << 16;
    }
    for (int i = 0; i < 2; i++) {
        const bf16* at = b + (2 * t + i * 8) * 8 + g;
        right[i] = at[0].bits | (u32)at[8].bits << 16;
    }
    float d[4] = {};
    mma(d, left, right);
    for (int i = 0; i < 4; i++) out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] += d[i];
}
"#;

#[test]
fn tensor_cores_multiply_matrices_however_their_fragments_were_loaded() {
    let Some(program) = Program::of_source("products.cu", PRODUCTS, &[]) else { return };
    // Small integers, so that every sum is exact.
    let a: Vec<bf16> = (0..256).map(|i| bf16::from_f32((i * 7 % 31) as f32 - 15.0)).collect();
    let b: Vec<bf16> = (0..128).map(|i| bf16::from_f32((i * 5 % 23) as f32 - 11.0)).collect();
    let before: Vec<f32> = (0..128).map(|i| i as f32).collect();
    let mut expected = before.clone();
    for (i, sum) in expected.iter_mut().enumerate() {
        *sum += (0..16).map(|k| a[i / 8 * 16 + k].to_f32() * b[k * 8 + i % 8].to_f32()).sum::<f32>();
    }
    for kernel in ["product", "plain_product"] {
        let mut run = program.run();
        let (a, b, out) = (run.input(&a), run.input(&b), run.input(&before));
        run.launch(kernel, [1; 3], [32, 1, 1], 2 * 16 * 24 * 2, arguments![a, b, out]);
        assert_eq!(run.finish().read(out), expected, "{kernel}");
    }
}

const WRONG: &str = r#"
extern "C" __global__ void without_barrier(float* out) {
    __shared__ float row[64];
    row[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = row[63 - threadIdx.x];
}
extern "C" __global__ void without_second_barrier(float* out) {
    __shared__ float row[64];
    for (int i = 0; i < 2; i++) {
        row[threadIdx.x] = i;
        __syncthreads();
        out[threadIdx.x] = row[63 - threadIdx.x];
    }
}
extern "C" __global__ void with_barriers(float* out) {
    __shared__ float row[64];
    for (int i = 0; i < 2; i++) {
        __syncthreads();
        row[threadIdx.x] = i;
        __syncthreads();
        out[threadIdx.x] = row[63 - threadIdx.x];
    }
}
template <int N> __device__ inline float turned(float value) {
    __shared__ float row[N];
    row[threadIdx.x] = value;
    return row[N - 1 - threadIdx.x];
}
extern "C" __global__ void without_barrier_in_a_template(float* out) { out[threadIdx.x] = turned<64>(1); }
extern "C" __global__ void without_warp_barrier(float* out) {
    __shared__ float row[64];
    row[threadIdx.x] = __shfl_xor_sync(ALL, 1.0f, 1);
    out[threadIdx.x] = row[threadIdx.x ^ 1];
}
extern "C" __global__ void same_place_in_all_blocks(float* out) {
    if (threadIdx.x == 0) out[0] = 1;
}
extern "C" __global__ void one_too_far(float* out) { out[threadIdx.x + 1] = 1; }
extern "C" __global__ void one_too_far_in_shared(float* out) {
    __shared__ float first[64], second[64];
    first[threadIdx.x] = second[threadIdx.x] = 0;
    __syncthreads();
    const float* at = threadIdx.x % 2 ? first : second;
    out[threadIdx.x] = at[threadIdx.x + 1];
}
extern "C" __global__ void one_too_far_in_dynamic(float* out) {
    extern __shared__ __align__(16) unsigned char shared[];
    float* row = (float*)shared;
    row[threadIdx.x + 1] = 1;
}
extern "C" __global__ void unaligned(float* out) { ((float4*)(out + 1))->x = 1; }
extern "C" __global__ void unaligned_row(float* out) {
    __shared__ __align__(16) bf16 tile[64 * 8 + 8];
    u32 r[4];
    ldmatrix(r, tile + threadIdx.x % 32 * 8 + 4);
}
extern "C" __global__ void half_a_block_at_a_barrier(float* out) {
    if (threadIdx.x < 32) __syncthreads();
}
extern "C" __global__ void two_barriers(float* out) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}
extern "C" __global__ void half_a_warp_in_a_shuffle(float* out) {
    if (threadIdx.x % 32 < 16) out[threadIdx.x] = __shfl_xor_sync(ALL, 1.0f, 1);
}
extern "C" __global__ void overwritten_by_a_copy(float* out) {
    __shared__ __align__(16) float row[64], other[64];
    row[threadIdx.x] = 1;
    __syncthreads();
    if (threadIdx.x < 16) copy_async(other + threadIdx.x * 4, out, false);
    copy_commit();
    float value = row[63 - threadIdx.x];
    if (threadIdx.x < 16) copy_async(row + threadIdx.x * 4, out, false);
    copy_commit();
    __syncthreads();
    copy_wait<0>();
    out[threadIdx.x] = value;
}
extern "C" __global__ void copied_without_barrier(float* out) {
    __shared__ __align__(16) float row[64];
    if (threadIdx.x < 16) copy_async(row + threadIdx.x * 4, out, false);
    copy_commit();
    copy_wait<0>();
    out[threadIdx.x] = row[threadIdx.x];
}
// The older of two copies is there, the newer one may not be.
extern "C" __global__ void half_waited_for(float* out) {
    __shared__ __align__(16) float row[128];
    for (int half = 0; half < 2; half++) {
        if (threadIdx.x < 16) copy_async(row + half * 64 + threadIdx.x * 4, out, half == 1);
        copy_commit();
    }
    copy_wait<1>();
    __syncthreads();
    out[threadIdx.x] = row[threadIdx.x] + (threadIdx.x % 2 ? row[threadIdx.x + 64] : 1);
}
extern "C" __global__ void unwritten_shared(float* out) {
    __shared__ float row[64];
    out[threadIdx.x] = row[threadIdx.x];
}
"#;

#[test]
fn mistakes_of_kernels_are_caught_under_cuda_emulation() {
    let Some(program) = Program::of_source("wrong.cu", WRONG, &[]) else { return };
    let said = |kernel: &str, check| {
        let mut run = program.run();
        let out = run.output::<f32>(64);
        run.launch(kernel, [2, 1, 1], [64, 1, 1], 256, arguments![out]);
        // Blocks write the same rows here.
        run.attempt(check, 1).err().unwrap_or_default()
    };
    for (kernel, check, expected) in [
        ("without_barrier", Check::Races, "static shared memory"),
        ("without_second_barrier", Check::Races, "static shared memory"),
        ("without_barrier_in_a_template", Check::Races, "static shared memory"),
        ("without_warp_barrier", Check::Races, "static shared memory"),
        ("overwritten_by_a_copy", Check::Races, "static shared memory"),
        ("copied_without_barrier", Check::Races, "static shared memory"),
        ("same_place_in_all_blocks", Check::Races, "buffer 0"),
        ("one_too_far", Check::Memory, "heap-buffer-overflow"),
        ("one_too_far_in_shared", Check::Memory, "insufficient space|global-buffer-overflow"),
        ("one_too_far_in_dynamic", Check::Memory, "use-after-poison"),
        ("unaligned", Check::Memory, "misaligned address"),
        ("unaligned_row", Check::Memory, "not aligned to 16 bytes"),
        ("half_a_block_at_a_barrier", Check::Memory, "thread 32 has returned"),
        ("two_barriers", Check::Memory, "never come"),
        ("half_a_warp_in_a_shuffle", Check::Memory, "never come"),
    ] {
        let said = said(kernel, check);
        assert!(expected.split('|').any(|expected| said.contains(expected)), "{kernel}: {said}");
    }
    assert!(!said("with_barriers", Check::Races).contains("shared"));
}

#[test]
fn shared_memory_that_no_thread_wrote_is_not_a_number() {
    let Some(program) = Program::of_source("wrong.cu", WRONG, &[]) else { return };
    let mut run = program.run();
    let out = run.input(&[0f32; 64]);
    run.launch("unwritten_shared", [1; 3], [64, 1, 1], 0, arguments![out]);
    assert!(run.finish().read(out).iter().all(|x| x.is_nan()));
}

#[test]
fn a_copy_that_is_not_waited_for_is_not_there() {
    let Some(program) = Program::of_source("wrong.cu", WRONG, &[]) else { return };
    let mut run = program.run();
    let out = run.input(&[0f32; 64]);
    run.launch("half_waited_for", [1; 3], [64, 1, 1], 0, arguments![out]);
    let values = run.finish().read(out);
    assert!(values.iter().enumerate().all(|(i, &x)| if i % 2 == 0 { x == 1.0 } else { x.is_nan() }), "{values:?}");
}

/// Without a barrier what is read depends on who runs first, which the seed decides.
#[test]
fn a_missing_barrier_shows_in_the_values_too() {
    let Some(program) = Program::of_source("wrong.cu", WRONG, &[]) else { return };
    let mut wrong = 0;
    for seed in 0..8 {
        let mut run = program.run();
        let out = run.output::<f32>(64);
        run.launch("without_barrier", [1; 3], [64, 1, 1], 0, arguments![out]);
        let values = run.attempt(Check::Memory, seed).unwrap().read(out);
        wrong += usize::from(values.iter().enumerate().any(|(i, &x)| x != (63 - i) as f32));
    }
    assert_eq!(wrong, 8);
}
