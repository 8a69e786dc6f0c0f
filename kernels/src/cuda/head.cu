// The vocabulary: log-probabilities, their gradient, and the draw of a token. A block takes a row of logits.

// Largest value, sum of exp(z - largest) and of exp(z - largest) (z - largest) of z = scale * logits.
struct Sums {
    float top, total, weighted;
};

__device__ inline Sums sums_of(const float* logits, int vocab, float scale) {
    __shared__ float scratch[WARP];
    float top = __int_as_float(0xff800000);
    for (int i = threadIdx.x; i < vocab; i += blockDim.x) top = fmaxf(top, logits[i] * scale);
    top = block_max(top, scratch);
    float total = 0, weighted = 0;
    for (int i = threadIdx.x; i < vocab; i += blockDim.x) {
        float z = logits[i] * scale - top, p = __expf(z);
        total += p;
        // What is not possible adds nothing.
        if (p > 0) weighted += p * z;
    }
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
