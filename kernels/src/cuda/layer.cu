// What a decoder layer is made of besides products and attention.
//
// Activations that enter a product have extra columns behind their own, which the product of the LoRA factors A fills; so
// rows are `ld` values apart. Widths are multiples of 4.

// grid: tokens. y = x w / sqrt(mean(x^2) + eps).
extern "C" __global__ void rms_norm(const float* x, const float* weight, bf16* y, int width, int ld, float eps) {
    __shared__ float scratch[WARP];
    x += (u64)blockIdx.x * width;
    y += (u64)blockIdx.x * ld;
    float squares = 0;
    for (int i = threadIdx.x * 4; i < width; i += blockDim.x * 4) {
        float4 v = load4(x + i);
        squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
    float inverse = rsqrtf(block_sum(squares, scratch) / width + eps);
    for (int i = threadIdx.x * 4; i < width; i += blockDim.x * 4) {
        float4 v = load4(x + i), w = load4(weight + i);
        store4(y + i, make_float4(v.x * inverse * w.x, v.y * inverse * w.y, v.z * inverse * w.z, v.w * inverse * w.w));
    }
}

// grid: tokens. dx = sum + the gradient through the norm of g, that of its output; `dx16` is a copy. `dx` may be `sum`.
extern "C" __global__ void rms_norm_backward(const float* x, const float* weight, const bf16* g, const float* sum,
                                             float* dx, bf16* dx16, int width, int ld, float eps) {
    __shared__ float scratch[WARP];
    u64 row = (u64)blockIdx.x * width;
    x += row, sum += row, dx += row, g += (u64)blockIdx.x * ld;
    float squares = 0, along = 0;
    for (int i = threadIdx.x * 4; i < width; i += blockDim.x * 4) {
        float4 v = load4(x + i), w = load4(weight + i), d = load4(g + i);
        squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
        along += v.x * w.x * d.x + v.y * w.y * d.y + v.z * w.z * d.z + v.w * w.w * d.w;
    }
    float inverse = rsqrtf(block_sum(squares, scratch) / width + eps);
    along = block_sum(along, scratch) * inverse * inverse / width;
    for (int i = threadIdx.x * 4; i < width; i += blockDim.x * 4) {
        float4 v = load4(x + i), w = load4(weight + i), d = load4(g + i), s = load4(sum + i);
        s.x += (d.x * w.x - v.x * along) * inverse;
        s.y += (d.y * w.y - v.y * along) * inverse;
        s.z += (d.z * w.z - v.z * along) * inverse;
        s.w += (d.w * w.w - v.w * along) * inverse;
        store4(dx + i, s);
        if (dx16) store4(dx16 + row + i, s);
    }
}

// grid: tokens. Adds the bias to queries, keys and values, rotates queries and keys, in place; where there is a cache,
// keys and values go to its row `rows[token]` too, unless that is negative. cos and sin are [tokens, dim / 2]; `bias` may be 0.
extern "C" __global__ void rotate(bf16* qkv, const float* bias, const float* cos, const float* sin, bf16* keys,
                                  bf16* values, const int* rows, int heads, int kv_heads, int dim) {
    int token = blockIdx.x, half = dim / 2, width = (heads + 2 * kv_heads) * dim;
    qkv += (u64)token * width;
    cos += (u64)token * half;
    sin += (u64)token * half;
    bool cached = keys && rows[token] >= 0;
    u64 to = cached ? (u64)rows[token] * kv_heads * dim : 0;
    for (int i = threadIdx.x; i < (heads + 2 * kv_heads) * half; i += blockDim.x) {
        int head = i / half, j = i % half, at = head * dim + j;
        float a = widen(qkv[at]), b = widen(qkv[at + half]);
        if (bias) a += bias[at], b += bias[at + half];
        if (head < heads + kv_heads) {
            float x = a;
            a = x * cos[j] - b * sin[j];
            b = b * cos[j] + x * sin[j];
        }
        qkv[at] = narrow(a);
        qkv[at + half] = narrow(b);
        if (cached && head >= heads) {
            bf16* cache = head < heads + kv_heads ? keys : values;
            int own = (head - heads) % kv_heads * dim + j;
            cache[to + own] = narrow(a);
            cache[to + own + half] = narrow(b);
        }
    }
}

// grid: tokens. Turns the gradients of rotated queries (in place) and, summed over `splits` parts [splits, 2, tokens,
// kv_heads * dim], of rotated keys and of values into those of the product [tokens, (heads + 2 kv_heads) * dim].
extern "C" __global__ void unrotate(bf16* dqkv, const float* parts, const float* cos, const float* sin, int splits,
                                    int tokens, int heads, int kv_heads, int dim) {
    int token = blockIdx.x, half = dim / 2, width = (heads + 2 * kv_heads) * dim;
    dqkv += (u64)token * width;
    cos += (u64)token * half;
    sin += (u64)token * half;
    for (int i = threadIdx.x; i < (heads + 2 * kv_heads) * half; i += blockDim.x) {
        int head = i / half, j = i % half, at = head * dim + j;
        float a = 0, b = 0;
        if (head < heads) {
            a = widen(dqkv[at]);
            b = widen(dqkv[at + half]);
        } else {
            int which = head < heads + kv_heads ? 0 : 1;
            u64 own = (u64)(head - heads) % kv_heads * dim + j;
            for (int split = 0; split < splits; split++) {
                const float* part = parts + ((u64)(split * 2 + which) * tokens + token) * kv_heads * dim + own;
                a += part[0];
                b += part[half];
            }
        }
        if (head < heads + kv_heads) {
            float x = a;
            a = x * cos[j] + b * sin[j];
            b = b * cos[j] - x * sin[j];
        }
        dqkv[at] = narrow(a);
        dqkv[at + half] = narrow(b);
    }
}

// grid: tokens, blocks that share a token. y = silu(gate) up, of gates and ups side by side [tokens, 2 width].
extern "C" __global__ void swiglu(const bf16* gate_up, bf16* y, int width, int ld) {
    gate_up += (u64)blockIdx.x * 2 * width;
    y += (u64)blockIdx.x * ld;
    for (int i = (blockIdx.y * blockDim.x + threadIdx.x) * 4; i < width; i += gridDim.y * blockDim.x * 4) {
        float4 g = load4(gate_up + i), u = load4(gate_up + width + i);
        store4(y + i, make_float4(g.x / (1 + __expf(-g.x)) * u.x, g.y / (1 + __expf(-g.y)) * u.y,
                                  g.z / (1 + __expf(-g.z)) * u.z, g.w / (1 + __expf(-g.w)) * u.w));
    }
}

__device__ inline void swiglu_gradients(float gate, float up, float d, float* dgate, float* dup) {
    float sigmoid = 1 / (1 + __expf(-gate)), silu = gate * sigmoid;
    *dgate = d * up * (sigmoid + silu * (1 - sigmoid));
    *dup = d * silu;
}

// grid: tokens, enough for width / 4. From the gradient `dy` [tokens, ld] of y, the gradients of gates and ups [tokens, 2 width].
extern "C" __global__ void swiglu_backward(const bf16* gate_up, const bf16* dy, bf16* dgate_up, int width, int ld) {
    gate_up += (u64)blockIdx.x * 2 * width;
    dgate_up += (u64)blockIdx.x * 2 * width;
    dy += (u64)blockIdx.x * ld;
    int i = (blockIdx.y * blockDim.x + threadIdx.x) * 4;
    if (i >= width) return;
    float4 g = load4(gate_up + i), u = load4(gate_up + width + i), d = load4(dy + i), dg, du;
    swiglu_gradients(g.x, u.x, d.x, &dg.x, &du.x);
    swiglu_gradients(g.y, u.y, d.y, &dg.y, &du.y);
    swiglu_gradients(g.z, u.z, d.z, &dg.z, &du.z);
    swiglu_gradients(g.w, u.w, d.w, &dg.w, &du.w);
    store4(dgate_up + i, dg);
    store4(dgate_up + width + i, du);
}

// grid: enough for count / 4. Rounds to bf16.
extern "C" __global__ void to_bf16(const float* x, bf16* y, u64 count) {
    u64 i = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (i + 4 <= count) {
        store4(y + i, load4(x + i));
    } else {
        for (; i < count; i++) y[i] = narrow(x[i]);
    }
}

// grid: rows of `from`. to[row][column + i] = scale * from[row][i], `to` having `ld` columns.
extern "C" __global__ void place(const float* from, bf16* to, int width, int ld, int column, float scale) {
    from += (u64)blockIdx.x * width;
    to += (u64)blockIdx.x * ld + column;
    for (int i = threadIdx.x; i < width; i += blockDim.x) to[i] = narrow(from[i] * scale);
}

// grid: tokens. Row i of x [tokens, width] becomes column ids[i] of the matrix [width, vocab].
extern "C" __global__ void embed_columns(const bf16* matrix, const u32* ids, float* x, int width, u64 vocab) {
    matrix += ids[blockIdx.x];
    x += (u64)blockIdx.x * width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) x[i] = widen(matrix[i * vocab]);
}

// grid: tokens. Row i of x [tokens, width] becomes row ids[i] of the matrix [vocab, width].
extern "C" __global__ void embed_rows(const bf16* matrix, const u32* ids, float* x, int width) {
    matrix += (u64)ids[blockIdx.x] * width;
    x += (u64)blockIdx.x * width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) x[i] = widen(matrix[i]);
}
