// Attention over lists of tiles, forward and backward, without a matrix of scores in memory (FlashAttention 2, Dao 2023,
// arXiv 2307.08691, algorithms 1 and 2; grouped queries and key ranges are ours).
//
// A tile of queries is `tokens` neighbouring tokens with all query heads of one key head: row r of the tile is token
// r / group, head r % group. So keys are read once for all heads that share them, and in decoding once for all samples of
// a group. HEAD_DIM is a multiple of 16.

#define QUERIES 64
#define KEYS 64
#define THREADS 128
#define STRIDE (HEAD_DIM + 8)
#define CHUNKS (HEAD_DIM / 8)
#define STEPS (HEAD_DIM / 16)
#define LOG2E 1.4426950408889634f
#define LN2 0.6931471805599453f
#define NONE __int_as_float(0xff800000)

// Which keys a tile of queries sees: all of its ranges, of the last one `limit` keys for the first token and `step` more
// for every other.
struct Tile {
    int token, tokens;
    int range, ranges;
    int limit, step;
    // Where its rows are in the partial results.
    int part;
    int unused;
};

struct Range {
    int start, length;
};

// Which rows of queries see a tile of keys: runs of tokens; key j is seen by token i of a run if j < limit + i step.
struct KeyTile {
    int key, keys;
    int run, runs;
};

struct Run {
    int token, tokens;
    int limit, step;
};

// Begins to copy rows of keys or values to shared memory, `rows` of them, and zeros up to `most`.
__device__ inline void fetch(bf16* to, const bf16* from, int ld, int rows, int most) {
    for (int i = threadIdx.x; i < most * CHUNKS; i += THREADS) {
        int row = i / CHUNKS, column = i % CHUNKS * 8;
        bool valid = row < rows;
        copy_async(to + row * STRIDE + column, from + (valid ? (u64)row * ld + column : 0), valid);
    }
}

// The same for rows `first` to `first + most` of a run of tokens: row r is token r / group, head r % group.
__device__ inline void fetch_queries(bf16* to, const bf16* from, int ld, int first, int rows, int most, int group) {
    for (int i = threadIdx.x; i < most * CHUNKS; i += THREADS) {
        int row = i / CHUNKS, column = i % CHUNKS * 8, r = first + row;
        bool valid = r < rows;
        u64 at = valid ? (u64)(r / group) * ld + r % group * HEAD_DIM + column : 0;
        copy_async(to + row * STRIDE + column, from + at, valid);
    }
}

// Goes through the keys that a tile of queries sees, KEYS at a time.
struct Cursor {
    int range, base;
    Range keys;
};

__device__ inline Cursor begin(Tile tile, const Range* ranges) {
    Cursor cursor = {0, 0, {0, 0}};
    if (tile.ranges) cursor.keys = ranges[tile.range];
    return cursor;
}

__device__ inline bool valid(Cursor cursor, Tile tile) { return cursor.range < tile.ranges; }

__device__ inline Cursor next(Cursor cursor, Tile tile, const Range* ranges) {
    cursor.base += KEYS;
    if (cursor.base >= cursor.keys.length) {
        cursor.base = 0;
        cursor.range++;
        if (cursor.range < tile.ranges) cursor.keys = ranges[tile.range + cursor.range];
    }
    return cursor;
}

// Begins to copy keys and values behind each other.
__device__ inline void fetch_keys(bf16* to, Cursor cursor, const bf16* k, const bf16* v, int ld, int kv) {
    u64 at = (u64)(cursor.keys.start + cursor.base) * ld + kv * HEAD_DIM;
    int n = min(KEYS, cursor.keys.length - cursor.base);
    fetch(to, k + at, ld, n, KEYS);
    fetch(to + KEYS * STRIDE, v + at, ld, n, KEYS);
    copy_commit();
}

// Keys of those at a cursor that a row of the tile sees.
__device__ inline int seen(Cursor cursor, Tile tile, int token) {
    int n = min(KEYS, cursor.keys.length - cursor.base);
    return cursor.range == tile.ranges - 1 ? min(n, tile.limit + token * tile.step - cursor.base) : n;
}

// Fragments of 16 rows and 16 columns: as the left operand, or of 16 columns times 16 rows, as two right operands.
__device__ inline const bf16* left_row(const bf16* at) {
    int lane = threadIdx.x % WARP;
    return at + lane % 16 * STRIDE + lane / 16 * 8;
}
__device__ inline const bf16* right_row(const bf16* at) {
    int lane = threadIdx.x % WARP;
    return at + (lane / 16 * 8 + lane % 8) * STRIDE + lane / 8 % 2 * 8;
}

// scores += left (16 rows) times right (8 n rows) transposed, over all dimensions.
template <int N> __device__ inline void products(float scores[][4], const bf16* left, const bf16* right) {
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
        u32 a[4];
        ldmatrix(a, left_row(left + k * 16));
#pragma unroll
        for (int n = 0; n < N / 2; n++) {
            u32 b[4];
            ldmatrix(b, right_row(right + n * 16 * STRIDE + k * 16));
            mma(scores[2 * n], a, b);
            mma(scores[2 * n + 1], a, b + 2);
        }
    }
}

// sums += weights (16 rows, 8 n columns, as they lie in accumulators) times values (8 n rows).
template <int N> __device__ inline void weigh(float sums[][4], const float weights[][4], const bf16* values) {
#pragma unroll
    for (int n = 0; n < N / 2; n++) {
        const float *w = weights[2 * n], *x = weights[2 * n + 1];
        u32 a[4] = {pack(w[0], w[1]), pack(w[2], w[3]), pack(x[0], x[1]), pack(x[2], x[3])};
#pragma unroll
        for (int k = 0; k < STEPS; k++) {
            u32 b[4];
            ldmatrix_transposed(b, left_row(values + n * 16 * STRIDE + k * 16));
            mma(sums[2 * k], a, b);
            mma(sums[2 * k + 1], a, b + 2);
        }
    }
}

// Over the four lanes that hold a row.
__device__ inline float row_max(float value) {
    value = fmaxf(value, __shfl_xor_sync(ALL, value, 1));
    return fmaxf(value, __shfl_xor_sync(ALL, value, 2));
}
__device__ inline float row_sum(float value) {
    value += __shfl_xor_sync(ALL, value, 1);
    return value + __shfl_xor_sync(ALL, value, 2);
}

// grid: tiles, key heads. Without `parts`, rows of `out` [tokens, heads * D] and their logsumexp `lse` [tokens, heads] are
// final. With it, the tile's rows of `parts` [key heads, rows, D] are sums, and of `weights` [key heads, rows, 2] the
// largest score (to base 2) and the total weight, for `combine`.
extern "C" __global__ void __launch_bounds__(THREADS, 1) attention(
    const bf16* q, const bf16* k, const bf16* v, bf16* out, float* lse, float* parts, float* weights, const Tile* tiles,
    const Range* ranges, int q_ld, int kv_ld, int out_ld, int heads, int group, int part_rows, float scale) {
    extern __shared__ __align__(16) unsigned char shared[];
    bf16* qs = (bf16*)shared;
    bf16* buffers = qs + QUERIES * STRIDE;
    Tile tile = tiles[blockIdx.x];
    int kv = blockIdx.y, rows = tile.tokens * group;
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, first = warp * 16 + lane / 4;
    bool busy = warp * 16 < rows;
    fetch_queries(qs, q + (u64)tile.token * q_ld + kv * group * HEAD_DIM, q_ld, 0, rows, QUERIES, group);

    float sums[2 * STEPS][4] = {};
    float top[2] = {NONE, NONE}, total[2] = {0, 0};
    float scale2 = scale * LOG2E;
    Cursor now = begin(tile, ranges);
    if (valid(now, tile)) fetch_keys(buffers, now, k, v, kv_ld, kv);
    for (int turn = 0; valid(now, tile); turn ^= 1) {
        bf16 *ks = buffers + turn * 2 * KEYS * STRIDE, *vs = ks + KEYS * STRIDE;
        Cursor after = next(now, tile, ranges);
        if (valid(after, tile)) {
            fetch_keys(buffers + (turn ^ 1) * 2 * KEYS * STRIDE, after, k, v, kv_ld, kv);
            copy_wait<1>();
        } else {
            copy_wait<0>();
        }
        __syncthreads();
        if (busy) {
            float scores[KEYS / 8][4] = {};
            products<KEYS / 8>(scores, qs + warp * 16 * STRIDE, ks);
            float best[2] = {NONE, NONE};
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int row = first + e / 2 * 8;
                int visible = seen(now, tile, row / group);
#pragma unroll
                for (int b = 0; b < KEYS / 8; b++) {
                    scores[b][e] = b * 8 + lane % 4 * 2 + e % 2 < visible ? scores[b][e] * scale2 : NONE;
                    best[e / 2] = fmaxf(best[e / 2], scores[b][e]);
                }
            }
            float keep[2];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float larger = fmaxf(top[i], row_max(best[i]));
                // Nothing seen yet: any finite number will do.
                best[i] = larger == NONE ? 0.0f : larger;
                keep[i] = exp2f(top[i] - best[i]);
                total[i] *= keep[i];
                top[i] = larger;
            }
#pragma unroll
            for (int b = 0; b < KEYS / 8; b++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    scores[b][e] = exp2f(scores[b][e] - best[e / 2]);
                    total[e / 2] += scores[b][e];
                }
            }
#pragma unroll
            for (int d = 0; d < 2 * STEPS; d++) {
#pragma unroll
                for (int e = 0; e < 4; e++) sums[d][e] *= keep[e / 2];
            }
            weigh<KEYS / 8>(sums, scores, vs);
        }
        __syncthreads();
        now = after;
    }
    if (!busy) return;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float all = row_sum(total[i]);
        int row = first + i * 8;
        if (row >= rows) continue;
        int column = lane % 4 * 2;
        if (parts) {
            u64 at = (u64)kv * part_rows + tile.part + row;
#pragma unroll
            for (int d = 0; d < 2 * STEPS; d++) {
                float2 pair = make_float2(sums[d][2 * i], sums[d][2 * i + 1]);
                *(float2*)(parts + at * HEAD_DIM + d * 8 + column) = pair;
            }
            if (column == 0) *(float2*)(weights + at * 2) = make_float2(top[i], all);
            continue;
        }
        u64 token = tile.token + row / group;
        int head = kv * group + row % group;
        float inverse = 1.0f / all;
#pragma unroll
        for (int d = 0; d < 2 * STEPS; d++) {
            u32 pair = pack(sums[d][2 * i] * inverse, sums[d][2 * i + 1] * inverse);
            *(u32*)(out + token * out_ld + head * HEAD_DIM + d * 8 + column) = pair;
        }
        if (lse && column == 0) lse[token * heads + head] = (top[i] + log2f(all)) * LN2;
    }
}

// grid: tokens, heads; block: HEAD_DIM / 4 threads rounded up to warps. The rows of a token's first head in the partial
// results are `rows[first[token]]` up to `rows[first[token + 1]]`.
extern "C" __global__ void combine(const float* parts, const float* weights, bf16* out, const int* first,
                                   const int* rows, int out_ld, int group, int part_rows) {
    int token = blockIdx.x, head = blockIdx.y, d = threadIdx.x * 4;
    u64 base = (u64)(head / group) * part_rows + head % group;
    float top = NONE;
    for (int i = first[token]; i < first[token + 1]; i++) top = fmaxf(top, weights[(base + rows[i]) * 2]);
    float4 sum = {0, 0, 0, 0};
    float total = 0;
    for (int i = first[token]; i < first[token + 1]; i++) {
        u64 at = base + rows[i];
        float share = exp2f(weights[at * 2] - top);
        total += share * weights[at * 2 + 1];
        if (d < HEAD_DIM) {
            float4 part = load4(parts + at * HEAD_DIM + d);
            sum.x += share * part.x, sum.y += share * part.y, sum.z += share * part.z, sum.w += share * part.w;
        }
    }
    float inverse = total > 0 ? 1 / total : 0;
    if (d >= HEAD_DIM) return;
    store4(out + (u64)token * out_ld + head * HEAD_DIM + d,
           make_float4(sum.x * inverse, sum.y * inverse, sum.z * inverse, sum.w * inverse));
}

// grid: tokens * heads / 4, a warp each. delta = sum over dimensions of out times its gradient.
extern "C" __global__ void attention_delta(const bf16* out, const bf16* grad, float* delta, int out_ld, int grad_ld,
                                           int heads, int rows) {
    int row = blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= rows) return;
    u64 token = row / heads;
    int head = row % heads;
    float sum = 0;
    for (int d = lane * 2; d < HEAD_DIM; d += WARP * 2) {
        u32 o = *(const u32*)(out + token * out_ld + head * HEAD_DIM + d);
        u32 g = *(const u32*)(grad + token * grad_ld + head * HEAD_DIM + d);
        sum += low(o) * low(g) + high(o) * high(g);
    }
    sum = warp_sum(sum);
    if (lane == 0) delta[row] = sum;
}

// grid: tiles, key heads. The gradient of the queries, `dq` [tokens, heads * D]. With two buffers keys are copied while
// others are computed with; one is for GPUs with less shared memory.
extern "C" __global__ void __launch_bounds__(THREADS, 1) attention_dq(
    const bf16* q, const bf16* k, const bf16* v, const bf16* grad, const float* lse, const float* delta, bf16* dq,
    const Tile* tiles, const Range* ranges, int q_ld, int kv_ld, int grad_ld, int dq_ld, int heads, int group,
    int buffer_count, float scale) {
    extern __shared__ __align__(16) unsigned char shared[];
    bf16* qs = (bf16*)shared;
    bf16* gs = qs + QUERIES * STRIDE;
    bf16* buffers = gs + QUERIES * STRIDE;
    Tile tile = tiles[blockIdx.x];
    int kv = blockIdx.y, rows = tile.tokens * group;
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, first = warp * 16 + lane / 4;
    bool busy = warp * 16 < rows;
    fetch_queries(qs, q + (u64)tile.token * q_ld + kv * group * HEAD_DIM, q_ld, 0, rows, QUERIES, group);
    fetch_queries(gs, grad + (u64)tile.token * grad_ld + kv * group * HEAD_DIM, grad_ld, 0, rows, QUERIES, group);
    float of_row[2], shift[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int row = min(first + i * 8, rows - 1);
        u64 at = (u64)(tile.token + row / group) * heads + kv * group + row % group;
        of_row[i] = delta[at];
        shift[i] = lse[at] * LOG2E;
    }

    float sums[2 * STEPS][4] = {};
    float scale2 = scale * LOG2E;
    Cursor now = begin(tile, ranges);
    if (valid(now, tile)) fetch_keys(buffers, now, k, v, kv_ld, kv);
    bool ahead = buffer_count > 1;
    for (int turn = 0; valid(now, tile); turn ^= ahead) {
        bf16 *ks = buffers + turn * 2 * KEYS * STRIDE, *vs = ks + KEYS * STRIDE;
        Cursor after = next(now, tile, ranges);
        if (ahead && valid(after, tile)) {
            fetch_keys(buffers + (turn ^ 1) * 2 * KEYS * STRIDE, after, k, v, kv_ld, kv);
            copy_wait<1>();
        } else {
            copy_wait<0>();
        }
        __syncthreads();
        if (busy) {
            // Half the keys at a time, for the sake of registers.
            for (int half = 0; half < KEYS; half += KEYS / 2) {
                float scores[KEYS / 16][4] = {}, slopes[KEYS / 16][4] = {};
                products<KEYS / 16>(scores, qs + warp * 16 * STRIDE, ks + half * STRIDE);
                products<KEYS / 16>(slopes, gs + warp * 16 * STRIDE, vs + half * STRIDE);
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    int row = first + e / 2 * 8;
                    int visible = seen(now, tile, row / group);
#pragma unroll
                    for (int b = 0; b < KEYS / 16; b++) {
                        float p = half + b * 8 + lane % 4 * 2 + e % 2 < visible ? exp2f(scores[b][e] * scale2 - shift[e / 2]) : 0.0f;
                        scores[b][e] = p * (slopes[b][e] - of_row[e / 2]) * scale;
                    }
                }
                weigh<KEYS / 16>(sums, scores, ks + half * STRIDE);
            }
        }
        __syncthreads();
        if (!ahead && valid(after, tile)) fetch_keys(buffers, after, k, v, kv_ld, kv);
        now = after;
    }
    if (!busy) return;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int row = first + i * 8;
        if (row >= rows) continue;
        bf16* to = dq + (u64)(tile.token + row / group) * dq_ld + (kv * group + row % group) * HEAD_DIM;
#pragma unroll
        for (int d = 0; d < 2 * STEPS; d++) {
            *(u32*)(to + d * 8 + lane % 4 * 2) = pack(sums[d][2 * i], sums[d][2 * i + 1]);
        }
    }
}

#define ROWS 32

// A block of ROWS rows of the queries that see a tile of keys: which one of which run.
struct Rows {
    int index, block;
    Run run;
};

// The block that is `blocks` further on; past the last one `index` is the number of runs.
__device__ inline Rows skip(Rows rows, int blocks, KeyTile tile, const Run* runs, int group) {
    rows.block += blocks;
    while (rows.index < tile.runs) {
        int own = (rows.run.tokens * group + ROWS - 1) / ROWS;
        if (rows.block < own) break;
        rows.block -= own;
        if (++rows.index < tile.runs) rows.run = runs[tile.run + rows.index];
    }
    return rows;
}

// grid: key tiles, key heads, splits. Each split takes every gridDim.z-th block of query rows and writes its share of the
// gradients of keys and values, `parts` [splits, 2, keys, key heads * D].
extern "C" __global__ void __launch_bounds__(THREADS, 1) attention_dkv(
    const bf16* q, const bf16* k, const bf16* v, const bf16* grad, const float* lse, const float* delta, float* parts,
    const KeyTile* tiles, const Run* runs, int q_ld, int kv_ld, int grad_ld, int heads, int group, int keys,
    float scale) {
    extern __shared__ __align__(16) unsigned char shared[];
    __shared__ float shifts[2][ROWS], of_rows[2][ROWS];
    bf16* ks = (bf16*)shared;
    bf16* vs = ks + KEYS * STRIDE;
    bf16* buffers = vs + KEYS * STRIDE;
    KeyTile tile = tiles[blockIdx.x];
    int kv = blockIdx.y, kv_width = heads / group * HEAD_DIM;
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    bool busy = warp * 16 < tile.keys;
    u64 at = (u64)tile.key * kv_ld + kv * HEAD_DIM;
    fetch(ks, k + at, kv_ld, tile.keys, KEYS);
    fetch(vs, v + at, kv_ld, tile.keys, KEYS);

    // Begins to copy a block of rows.
    auto fetch_rows = [&](Rows rows, int turn) {
        Run run = rows.run;
        bf16* qs = buffers + turn * 2 * ROWS * STRIDE;
        int count = run.tokens * group;
        u64 own = kv * group * HEAD_DIM;
        fetch_queries(qs, q + (u64)run.token * q_ld + own, q_ld, rows.block * ROWS, count, ROWS, group);
        bf16* gs = qs + ROWS * STRIDE;
        fetch_queries(gs, grad + (u64)run.token * grad_ld + own, grad_ld, rows.block * ROWS, count, ROWS, group);
        copy_commit();
        if (threadIdx.x < ROWS) {
            int row = min(rows.block * ROWS + (int)threadIdx.x, count - 1);
            u64 at = (u64)(run.token + row / group) * heads + kv * group + row % group;
            shifts[turn][threadIdx.x] = lse[at] * LOG2E;
            of_rows[turn][threadIdx.x] = delta[at];
        }
    };

    float dk[2 * STEPS][4] = {}, dv[2 * STEPS][4] = {};
    float scale2 = scale * LOG2E;
    Rows now = {0, 0, {0, 0, 0, 0}};
    if (tile.runs) now.run = runs[tile.run];
    now = skip(now, blockIdx.z, tile, runs, group);
    if (now.index < tile.runs) fetch_rows(now, 0);
    for (int turn = 0; now.index < tile.runs; turn ^= 1) {
        bf16 *qs = buffers + turn * 2 * ROWS * STRIDE, *gs = qs + ROWS * STRIDE;
        Rows after = skip(now, gridDim.z, tile, runs, group);
        if (after.index < tile.runs) {
            fetch_rows(after, turn ^ 1);
            copy_wait<1>();
        } else {
            copy_wait<0>();
        }
        __syncthreads();
        if (busy) {
            Run run = now.run;
            int base = now.block * ROWS, rows = run.tokens * group;
            float scores[ROWS / 8][4] = {}, slopes[ROWS / 8][4] = {};
            products<ROWS / 8>(scores, ks + warp * 16 * STRIDE, qs);
#pragma unroll
            for (int b = 0; b < ROWS / 8; b++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    int row = b * 8 + lane % 4 * 2 + e % 2, key = warp * 16 + lane / 4 + e / 2 * 8;
                    bool visible = base + row < rows && key < run.limit + (base + row) / group * run.step;
                    scores[b][e] = visible ? exp2f(scores[b][e] * scale2 - shifts[turn][row]) : 0.0f;
                }
            }
            weigh<ROWS / 8>(dv, scores, gs);
            products<ROWS / 8>(slopes, vs + warp * 16 * STRIDE, gs);
#pragma unroll
            for (int b = 0; b < ROWS / 8; b++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    int row = b * 8 + lane % 4 * 2 + e % 2;
                    scores[b][e] *= (slopes[b][e] - of_rows[turn][row]) * scale;
                }
            }
            weigh<ROWS / 8>(dk, scores, qs);
        }
        __syncthreads();
        now = after;
    }
    if (!busy) return;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int key = warp * 16 + lane / 4 + i * 8;
        if (key >= tile.keys) continue;
        u64 to = ((u64)blockIdx.z * 2 * keys + tile.key + key) * kv_width + kv * HEAD_DIM;
#pragma unroll
        for (int d = 0; d < 2 * STEPS; d++) {
            u64 column = d * 8 + lane % 4 * 2;
            *(float2*)(parts + to + column) = make_float2(dk[d][2 * i], dk[d][2 * i + 1]);
            *(float2*)(parts + to + (u64)keys * kv_width + column) = make_float2(dv[d][2 * i], dv[d][2 * i + 1]);
        }
    }
}
