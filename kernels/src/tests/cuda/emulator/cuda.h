// What a kernel's source sees instead of CUDA: its types, intrinsics, barriers and warp-wide instructions. It is in
// front of the kernels in the one translation unit that is instrumented; `block.cc`, `warp.cc`, `races.cc` and
// `main.cc` behind it are not.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define ADDENDUM_EMULATED
#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
// Blocks run one after another, so static memory is a block's own. `program.rs` adds SHARED to each of its variables.
#define __shared__ static
#define SHARED(name) static const emulator::Shared name##_is_shared(&name, sizeof name);

namespace emulator {
// Makes static memory known where it is first come by, so that each block finds it undefined.
struct Shared {
    Shared(void* at, size_t bytes);
};
}

#define VECTOR2(name, type) struct alignas(2 * sizeof(type)) name { type x, y; }; \
    inline name make_##name(type x, type y) { return {x, y}; }
#define VECTOR4(name, type) struct alignas(4 * sizeof(type)) name { type x, y, z, w; }; \
    inline name make_##name(type x, type y, type z, type w) { return {x, y, z, w}; }
VECTOR2(float2, float) VECTOR2(int2, int) VECTOR2(uint2, unsigned) VECTOR2(double2, double)
VECTOR4(float4, float) VECTOR4(int4, int) VECTOR4(uint4, unsigned)
struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

template <class To, class From> To bits_of(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline unsigned __float_as_uint(float value) { return bits_of<unsigned>(value); }
inline int __float_as_int(float value) { return bits_of<int>(value); }
inline float __uint_as_float(unsigned bits) { return bits_of<float>(bits); }
inline float __int_as_float(int bits) { return bits_of<float>(bits); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline unsigned __umulhi(unsigned x, unsigned y) { return (uint64_t)x * y >> 32; }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) { return (unsigned __int128)x * y >> 64; }
template <class T> T __ldg(const T* at) { return *at; }
template <class A, class B> auto min(A a, B b) { using T = std::common_type_t<A, B>; return (T)b < (T)a ? (T)b : (T)a; }
template <class A, class B> auto max(A a, B b) { using T = std::common_type_t<A, B>; return (T)a < (T)b ? (T)b : (T)a; }

// Where threads meet. All that meet must have come to the same line; `line` is never passed.
#define LINE int line = __builtin_LINE()
void __syncthreads(LINE);
void __syncwarp(unsigned mask = 0xffffffffu, LINE);
unsigned __ballot_sync(unsigned mask, int predicate, LINE);
inline int __any_sync(unsigned mask, int predicate, LINE) { return __ballot_sync(mask, predicate, line) != 0; }
inline int __all_sync(unsigned mask, int predicate, LINE) { return __ballot_sync(mask, predicate, line) == mask; }

namespace emulator {
unsigned lane();
// The value that lane `source` of the warp gives.
uint64_t shuffle(unsigned mask, uint64_t value, unsigned source, int line);
template <class T> T shuffle(unsigned mask, T value, unsigned source, int line) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    return bits_of<T>((Bits)shuffle(mask, (uint64_t)bits_of<Bits>(value), source, line));
}
void mma(float d[4], const unsigned a[4], const unsigned b[2], int line);
void ldmatrix(unsigned r[4], const void* row, bool transposed, int line);
}

template <class T> T __shfl_sync(unsigned mask, T value, int source, LINE) {
    return emulator::shuffle(mask, value, source % 32u, line);
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int flipped, LINE) {
    return emulator::shuffle(mask, value, emulator::lane() ^ flipped, line);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, LINE) {
    unsigned source = emulator::lane() + by;
    return emulator::shuffle(mask, value, source < 32 ? source : emulator::lane(), line);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, LINE) {
    unsigned lane = emulator::lane();
    return emulator::shuffle(mask, value, lane < by ? lane : lane - by, line);
}

inline void mma(float d[4], const unsigned a[4], const unsigned b[2], LINE) { emulator::mma(d, a, b, line); }
inline void ldmatrix(unsigned r[4], const void* row, LINE) { emulator::ldmatrix(r, row, false, line); }
inline void ldmatrix_transposed(unsigned r[4], const void* row, LINE) { emulator::ldmatrix(r, row, true, line); }

// Copies to shared memory that other work may overtake: 16 bytes each, done when they are waited for and not before.
void copy_async(void* to, const void* from, bool valid);
void copy_commit();
namespace emulator { void copy_wait(unsigned left, const void* code); }
template <int N> void copy_wait() { emulator::copy_wait(N, __builtin_return_address(0)); }

namespace emulator {
// An argument of a launch: a pointer to elements of `size` bytes, or `size` bytes of a value.
struct Argument {
    bool pointer;
    size_t size;
    void* data;
};
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

template <class T> T take(const Argument& argument) {
    if constexpr (std::is_pointer_v<T>) {
        return (T)argument.data;
    } else {
        T value;
        memcpy(&value, argument.data, sizeof value);
        return value;
    }
}
template <class T> void check(const Argument& argument, int position) {
    size_t size = sizeof(T);
    if constexpr (std::is_pointer_v<T>) size = sizeof(std::remove_pointer_t<T>);
    if (argument.pointer != std::is_pointer_v<T> || (argument.size != size && argument.data))
        fail("argument %d is a %s of %zu bytes where a %s of %zu is taken", position,
             argument.pointer ? "buffer of elements" : "value", argument.size,
             std::is_pointer_v<T> ? "buffer of elements" : "value", size);
}

struct Kernel {
    const char* name;
    size_t arity;
    void (*check)(const Argument*);
    void (*call)(const Argument*);
};

template <auto kernel> struct Entry;
template <class... A, void (*kernel)(A...)> struct Entry<kernel> {
    template <size_t... I> static void check_all(const Argument* a, std::index_sequence<I...>) {
        (check<A>(a[I], I), ...);
    }
    template <size_t... I> static void call_all(const Argument* a, std::index_sequence<I...>) {
        kernel(take<A>(a[I])...);
    }
    static void check_arguments(const Argument* a) { check_all(a, std::index_sequence_for<A...>()); }
    static void call(const Argument* a) { call_all(a, std::index_sequence_for<A...>()); }
    static Kernel named(const char* name) { return {name, sizeof...(A), check_arguments, call}; }
};

// Behind the kernels in the generated source: their table, and the block's dynamic shared memory.
extern const Kernel kernels[];
extern const size_t kernel_count;
extern unsigned char* const dynamic_shared;
constexpr size_t MOST_DYNAMIC_SHARED = 227 << 10;
}
