// AdamW over flat parameters (Loshchilov & Hutter 2019), with the gradient scaled by the clipping.

extern "C" __global__ void adamw(const float* p, const float* m, const float* v, const float* g, float* new_p,
                                 float* new_m, float* new_v, u64 count, float scale, float beta1, float beta2,
                                 float epsilon, float keep, float step_size, float root_correction) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float d = g[i] * scale;
    float first = m[i] * beta1 + d * (1 - beta1), second = v[i] * beta2 + d * d * (1 - beta2);
    new_m[i] = first;
    new_v[i] = second;
    new_p[i] = p[i] * keep - first / (sqrtf(second) / root_correction + epsilon) * step_size;
}

// grid: any number of blocks. Partial sums of squares; the order of summation depends on the grid alone.
template <typename T> __device__ inline void add_squares(const T* x, double* sums, u64 count) {
    __shared__ double partial[1024];
    double sum = 0;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x) {
        float value = widen(x[i]);
        sum += (double)value * value;
    }
    partial[threadIdx.x] = sum;
    for (int width = blockDim.x / 2; width > 0; width /= 2) {
        __syncthreads();
        if (threadIdx.x < width) partial[threadIdx.x] += partial[threadIdx.x + width];
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = partial[0];
}

extern "C" __global__ void squares(const float* x, double* sums, u64 count) { add_squares(x, sums, count); }

extern "C" __global__ void squares_bf16(const bf16* x, double* sums, u64 count) { add_squares(x, sums, count); }
