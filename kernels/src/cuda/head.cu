// The vocabulary: log-probabilities, their gradient, and the draw of a token. A block takes a row of logits.

// Largest value, sum of exp(z - largest) and of exp(z - largest) (z - largest) of z = scale * logits.
struct Sums {
    float top, total, weighted;
};

// Calls f(logit, token) for every token from `start` to `end`, which `threads` threads share, of which this is number
// `thread`; four at a time where rows are aligned. `start` is a multiple of four.
template <typename F>
__device__ inline void each(const float* logits, int vocab, int start, int end, int thread, int threads, F f) {
    if (vocab % 4 == 0) {
        for (int i = start + thread * 4; i < end; i += threads * 4) {
            float4 four = *(const float4*)(logits + i);
            f(four.x, i);
            f(four.y, i + 1);
            f(four.z, i + 2);
            f(four.w, i + 3);
        }
    } else {
        for (int i = start + thread; i < end; i += threads) f(logits[i], i);
    }
}

// The same for all tokens by all threads of the block.
template <typename F> __device__ inline void each(const float* logits, int vocab, F f) {
    each(logits, vocab, 0, vocab, threadIdx.x, blockDim.x, f);
}

__device__ inline Sums sums_of(const float* logits, int vocab, float scale) {
    __shared__ float scratch[WARP];
    float top = __int_as_float(0xff800000);
    each(logits, vocab, [&](float logit, int) { top = fmaxf(top, logit * scale); });
    top = block_max(top, scratch);
    float total = 0, weighted = 0;
    each(logits, vocab, [&](float logit, int) {
        float z = logit * scale - top, p = __expf(z);
        total += p;
        // What is not possible adds nothing.
        if (p > 0) weighted += p * z;
    });
    Sums sums = {top, block_sum(total, scratch), block_sum(weighted, scratch)};
    return sums;
}

// grid: rows. log p of the target and the entropy, in nats, and what the backward pass needs: logsumexp.
extern "C" __global__ void log_probs(const float* logits, const u32* targets, float* log_prob, float* entropy,
                                     float* lse, int vocab, float scale) {
    logits += (u64)blockIdx.x * vocab;
    Sums s = sums_of(logits, vocab, scale);
    if (threadIdx.x != 0) return;
    float shift = logf(s.total);
    log_prob[blockIdx.x] = logits[targets[blockIdx.x]] * scale - s.top - shift;
    entropy[blockIdx.x] = shift - s.weighted / s.total;
    lse[blockIdx.x] = s.top + shift;
}

// grid: rows. dz = scale (g_log_prob (onehot - p) - g_entropy p (log p + H)).
extern "C" __global__ void log_probs_backward(const float* logits, const u32* targets, const float* g_log_prob,
                                              const float* g_entropy, const float* lse, const float* entropy, bf16* dz,
                                              int vocab, float scale) {
    int row = blockIdx.x;
    logits += (u64)row * vocab;
    dz += (u64)row * vocab;
    float gl = g_log_prob[row] * scale, ge = g_entropy[row] * scale, shift = lse[row], h = entropy[row];
    int target = targets[row];
    for (int i = threadIdx.x; i < vocab; i += blockDim.x) {
        float log_p = logits[i] * scale - shift, p = __expf(log_p);
        float d = p > 0 ? -p * (gl + ge * (log_p + h)) : 0.0f;
        dz[i] = narrow(i == target ? d + gl : d);
    }
}

// Floats in their order as integers: the larger float is the larger integer, and both zeros are one.
__device__ inline u32 ordered(float value) {
    u32 bits = __float_as_uint(value + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ inline double block_total(double value, double* scratch) {
    for (int i = WARP / 2; i > 0; i /= 2) value += __shfl_xor_sync(ALL, value, i);
    __syncthreads();
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = value;
    __syncthreads();
    value = threadIdx.x % WARP < blockDim.x / WARP ? scratch[threadIdx.x % WARP] : 0.0;
    for (int i = WARP / 2; i > 0; i /= 2) value += __shfl_xor_sync(ALL, value, i);
    return value;
}

// What is kept of a row: ordered logits of at least `least`, and of those that are it, tokens before `end`.
struct Kept {
    u32 least;
    int end;
};

__device__ inline bool is_kept(Kept kept, float logit, int token) {
    u32 key = ordered(logit);
    return key > kept.least || (key == kept.least && token < kept.end);
}

// Of the row's kept tokens, how many have ordered logits from `from` to `to` (both included), or their weights
// exp(scale logit - top).
__device__ inline double between(const float* logits, int vocab, Kept kept, u32 from, u32 to, bool count, float scale,
                                 float top, double* scratch) {
    double sum = 0;
    each(logits, vocab, [&](float logit, int token) {
        u32 key = ordered(logit);
        if (from <= key && key <= to && is_kept(kept, logit, token)) {
            sum += count ? 1.0 : (double)__expf(logit * scale - top);
        }
    });
    return block_total(sum, scratch);
}

// grid: rows; block: whole warps. Draws the token at which the cumulative probability passes `uniforms[row]`, or the most
// likely one, the first of equals, where `greedy`. Filters are those of transformers in its order: repetition penalty,
// temperature, top-k, top-p, min-p. Ids of a row's history, each once, are `history[first[row]..first[row + 1]]`.
// The log-probability is that of the unfiltered distribution. `valid` is 0 where a logit is NaN or plus infinity, or no
// token is left. `logits` are overwritten, and `raw` has room for as many values as `history`.
extern "C" __global__ void draw(float* logits, const double* uniforms, const int* first, const u32* history, float* raw,
                                const u32* suppressed, int suppressed_count, u32* tokens, float* log_prob, int* valid,
                                int vocab, float scale, int greedy, int top_k, double top_p, float log_min_p,
                                float penalty) {
    __shared__ double scratch[WARP];
    __shared__ float maxima[WARP];
    __shared__ double shares[WARP];
    __shared__ u32 token;
    int row = blockIdx.x, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    logits += (u64)row * vocab;
    const float none = __int_as_float(0xff800000);

    double bad = 0;
    each(logits, vocab, [&](float logit, int) { bad += logit < -none ? 0 : 1; });
    bad = block_total(bad, scratch);
    Sums all = sums_of(logits, vocab, scale);

    __syncthreads();
    for (int i = first[row] + threadIdx.x; i < first[row + 1]; i += blockDim.x) {
        if (history[i] >= vocab) continue;
        float value = raw[i] = logits[history[i]];
        logits[history[i]] = value < 0 ? value * penalty : value / penalty;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < suppressed_count; i += blockDim.x) {
        if (suppressed[i] < vocab) logits[suppressed[i]] = none;
    }
    __syncthreads();
    float top = none;
    each(logits, vocab, [&](float logit, int) { top = fmaxf(top, logit); });
    top = block_max(top, maxima);
    if (bad > 0 || top == none) {
        if (threadIdx.x == 0) valid[row] = 0, tokens[row] = 0, log_prob[row] = 0;
        return;
    }
    // All that is possible.
    Kept kept = {ordered(none) + 1, vocab};
    if (greedy) kept.least = ordered(top);
    if (!greedy && top_k > 0 && top_k < vocab) {
        // The largest key that at least k tokens reach.
        u32 cut = 0;
        for (int bit = 31; bit >= 0; bit--) {
            u32 next = cut | 1u << bit;
            if (between(logits, vocab, kept, next, ~0u, true, scale, top * scale, scratch) >= top_k) cut = next;
        }
        if (cut > kept.least) kept.least = cut;
    }
    if (!greedy && top_p < 1) {
        double mass = between(logits, vocab, kept, 0, ~0u, false, scale, top * scale, scratch);
        double removable = (1 - top_p) * mass;
        // The smallest key up to which there is more than may be removed.
        u32 cut = 0;
        for (int bit = 31; bit >= 0; bit--) {
            u32 next = cut | 1u << bit;
            if (between(logits, vocab, kept, 0, next - 1, false, scale, top * scale, scratch) <= removable) cut = next;
        }
        cut = min(cut, ordered(top));
        double below = cut ? between(logits, vocab, kept, 0, cut - 1, false, scale, top * scale, scratch) : 0;
        double equal = between(logits, vocab, kept, cut, cut, true, scale, top * scale, scratch);
        double one = equal > 0 ? between(logits, vocab, kept, cut, cut, false, scale, top * scale, scratch) / equal : 1;
        // Of equals the later ones go first, but never the very last that is left.
        double keep = equal - floor((removable - below) / one);
        if (keep < 1) keep = 1;
        Kept less = {cut, 0};
        for (int bit = 30; bit >= 0; bit--) {
            Kept more = {cut, less.end | 1 << bit};
            double inside = 0;
            each(logits, vocab, [&](float logit, int i) {
                inside += ordered(logit) == cut && is_kept(kept, logit, i) && i < more.end;
            });
            if (block_total(inside, scratch) <= keep) less = more;
        }
        if (cut >= kept.least) kept = less;
    }
    if (!greedy && log_min_p > none) {
        // A logit that is below may not be the largest.
        u32 cut = ordered(fminf(top, top + log_min_p / scale));
        if (cut > kept.least) kept.least = cut, kept.end = vocab;
    }

    // Each warp adds up a stretch of tokens; then the warp in whose stretch it is looks for the token.
    int stretch = (vocab / warps + 4) / 4 * 4, start = min(vocab, warp * stretch), end = min(vocab, start + stretch);
    double own = 0;
    each(logits, vocab, start, end, lane, WARP, [&](float logit, int i) {
        if (is_kept(kept, logit, i)) own += greedy ? 1.0 : (double)__expf((logit - top) * scale);
    });
    for (int i = WARP / 2; i > 0; i /= 2) own += __shfl_xor_sync(ALL, own, i);
    __syncthreads();
    if (lane == 0) shares[warp] = own;
    __syncthreads();
    double total = 0, before = 0;
    for (int i = 0; i < warps; i++) total += shares[i];
    double aim = greedy ? 0 : uniforms[row] * total;
    // The first stretch that passes the aim; where rounding leaves none, the last with anything.
    int chosen = 0;
    double reached = 0;
    for (int i = 0; i < warps; i++) {
        if (shares[i] == 0) continue;
        before = reached;
        chosen = i;
        reached += shares[i];
        if (reached > aim) break;
    }
    if (warp == chosen) {
        double sum = before;
        int last = start;
        bool found = false;
        for (int base = start; base < end && !found; base += WARP) {
            int i = base + lane;
            bool in = i < end && is_kept(kept, logits[i], i);
            double weight = in ? (greedy ? 1.0 : (double)__expf((logits[i] - top) * scale)) : 0.0;
            for (int step = 1; step < WARP; step *= 2) {
                double other = __shfl_up_sync(ALL, weight, step);
                if (lane >= step) weight += other;
            }
            u32 passed = __ballot_sync(ALL, in && sum + weight > aim), inside = __ballot_sync(ALL, in);
            if (passed) {
                last = base + __ffs(passed) - 1;
                found = true;
            } else if (inside) {
                last = base + 31 - __clz(inside);
            }
            sum += __shfl_sync(ALL, weight, WARP - 1);
        }
        if (lane == 0) token = last;
    }
    __syncthreads();
    float value = logits[token];
    for (int i = first[row]; i < first[row + 1]; i++) {
        if (history[i] == token) value = raw[i];
    }
    if (threadIdx.x == 0) {
        valid[row] = 1;
        tokens[row] = token;
        log_prob[row] = value * scale - all.top - logf(all.total);
    }
}
