// What all kernels share. Compiled in front of each of them: by NVRTC for a GPU, and as C++ under an emulator for the
// tests (ADDENDUM_EMULATED), which supplies the instructions below that only a GPU has, shuffles, barriers and `__shared__`.
//
// Conventions: matrices are row-major; `ld` is the distance of two rows in values. Activations are bf16, sums f32.

#define WARP 32
#define ALL 0xffffffffu

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// A bf16 by its bits.
struct bf16 {
    u16 bits;
};

__device__ inline float widen(bf16 value) { return __uint_as_float((u32)value.bits << 16); }
__device__ inline float widen(float value) { return value; }

// Rounds to the nearest, ties to even; NaN stays NaN.
__device__ inline bf16 narrow(float value) {
    u32 bits = __float_as_uint(value);
    u32 rounded = bits + 0x7fffu + ((bits >> 16) & 1);
    bf16 result = {(u16)((value == value ? rounded : bits | 0x400000u) >> 16)};
    return result;
}

// Two neighbours in one register, the first in the low half.
__device__ inline u32 pack(float low, float high) { return (u32)narrow(low).bits | (u32)narrow(high).bits << 16; }
__device__ inline float low(u32 pair) { return __uint_as_float(pair << 16); }
__device__ inline float high(u32 pair) { return __uint_as_float(pair & 0xffff0000u); }

__device__ inline void store(float* at, float value) { *at = value; }
__device__ inline void store(bf16* at, float value) { *at = narrow(value); }

// Four neighbours; aligned to 16 and to 8 bytes.
__device__ inline float4 load4(const float* at) { return *(const float4*)at; }
__device__ inline float4 load4(const bf16* at) {
    uint2 pairs = *(const uint2*)at;
    return make_float4(low(pairs.x), high(pairs.x), low(pairs.y), high(pairs.y));
}
__device__ inline void store4(float* at, float4 v) { *(float4*)at = v; }
__device__ inline void store4(bf16* at, float4 v) { *(uint2*)at = make_uint2(pack(v.x, v.y), pack(v.z, v.w)); }

#ifndef ADDENDUM_EMULATED
// d += a b for a 16 x 16, b 16 x 8, d 16 x 8 (PTX ISA, mma.m16n8k16). With g = lane / 4 and t = lane % 4 a lane holds
//   a: rows g, g + 8, g, g + 8 at columns 2t, 2t + 1 (twice) and 2t + 8, 2t + 9 (twice)
//   b: rows 2t, 2t + 1 and 2t + 8, 2t + 9 of column g
//   d: columns 2t, 2t + 1 of row g, then of row g + 8
__device__ inline void mma(float d[4], const u32 a[4], const u32 b[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8 x 8 matrices of bf16 from shared memory: lane 8m + i names row i of matrix m (16 bytes, aligned). Lane l gets
// columns 2 (l % 4) and the next of row l / 4 of matrix m in r[m]; transposed: of the matrix's transpose.
__device__ inline void ldmatrix(u32 r[4], const bf16* row) {
    u32 at = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}
__device__ inline void ldmatrix_transposed(u32 r[4], const bf16* row) {
    u32 at = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}

// 16 bytes to shared memory while other work goes on, zeros unless `valid`; both ends aligned. A thread's copies up to a
// commit are a group; waiting leaves its N newest groups under way.
__device__ inline void copy_async(void* to, const void* from, bool valid) {
    u32 at = (u32)__cvta_generic_to_shared(to);
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(bytes) : "memory");
}
__device__ inline void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> __device__ inline void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }
#endif

__device__ inline float warp_sum(float value) {
    for (int i = WARP / 2; i > 0; i /= 2) value += __shfl_xor_sync(ALL, value, i);
    return value;
}

__device__ inline float warp_max(float value) {
    for (int i = WARP / 2; i > 0; i /= 2) value = fmaxf(value, __shfl_xor_sync(ALL, value, i));
    return value;
}

// Over a block of whole warps, at most 32; every thread gets the result. `scratch` holds 32 values and is free to be
// used again after the next barrier.
__device__ inline float block_sum(float value, float* scratch) {
    value = warp_sum(value);
    __syncthreads();
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = value;
    __syncthreads();
    value = threadIdx.x % WARP < blockDim.x / WARP ? scratch[threadIdx.x % WARP] : 0.0f;
    return warp_sum(value);
}

__device__ inline float block_max(float value, float* scratch) {
    value = warp_max(value);
    __syncthreads();
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = value;
    __syncthreads();
    value = threadIdx.x % WARP < blockDim.x / WARP ? scratch[threadIdx.x % WARP] : __int_as_float(0xff800000);
    return warp_max(value);
}
