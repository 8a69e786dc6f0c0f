use super::*;

const KINDS: [(DeviceKind, DType); 3] =
    [(DeviceKind::Cpu, DType::F32), (DeviceKind::Cuda, DType::BF16), (DeviceKind::Cuda, DType::F32)];

/// Two layers, 32 hidden values, two heads of 16 values that share a key head, 48 values inside the MLP, 100 words.
fn config() -> Config {
    let mut config = Config::tiny(100);
    let t = &mut config.text;
    (t.layers, t.hidden_size, t.heads, t.kv_heads, t.intermediate_size) = (2, 32, 2, 1, 48);
    config
}

fn lora() -> LoraConfig {
    LoraConfig { rank: 3, ..LoraConfig::default() }
}

fn memory((kind, dtype): (DeviceKind, DType)) -> Memory {
    Memory::new(&config(), dtype, &lora(), kind)
}

/// Ranks 9, 3, 6 and 3 of the products take 16, 8, 8 and 8 columns.
#[test]
fn a_step_of_cuda_kernels_takes_what_is_counted_by_hand() {
    let memory = memory(KINDS[1]);
    let plain = Memory::new(&config(), DType::BF16, &lora(), DeviceKind::Cpu);
    let room = 64 * (3 * 64 + 32 + 2 * 96 + 32);
    let a = 32 * 16 + 32 * 8 + 32 * 8 + 48 * 8;
    assert_eq!(memory.weights() - plain.weights(), 2 * 2 * (room + a));
    assert_eq!(memory.cache(5), 2 * 2 * 5 * 16 * 2);

    let x = 4 * 32;
    let kept = 4 * 32 + 2 * 64 + 2 * (32 + 8) + 4 * 2 + 2 * 96;
    // Rounded gradient; the MLP's product twice; gate and up; their input twice; the stream; attention's output; queries,
    // keys and values; delta; parts; their input twice.
    let backward = 2 * 32
        + 2 * 2 * (48 + 8)
        + 2 * 96
        + 2 * 2 * (32 + 8)
        + 4 * 32
        + 2 * (32 + 8)
        + 2 * 64
        + 4 * 2
        + 4 * 8 * 2 * 16
        + 2 * 2 * (32 + 16);
    let of = |tokens, response_tokens, recompute| {
        let step = memory.step(StepShape { tokens, response_tokens, recompute });
        assert_eq!((step.context, step.trained), (576 << 20, 5 * memory.adapter()));
        step.activations
    };
    let rows = 4 * (2 * x + 16);
    assert_eq!(of(10, 4, false), 10 * (2 * (x + kept) + 6 * x + backward) + rows);
    assert_eq!(of(10, 4, true), 10 * (2 * x + kept + 6 * x + backward) + rows);
    // Many responses to a short prompt: the head has the largest call, for 1,024 rows at a time.
    let (rows, head) = (2000 * (2 * x + 16), 1024 * (2 * 32 + 6 * 100));
    assert_eq!(of(100, 2000, false), 100 * (2 * (x + kept) + 6 * x) + rows + head);
}

#[test]
fn a_sampler_of_cuda_kernels_takes_what_is_counted_by_hand() {
    let memory = memory(KINDS[1]);
    let forward = 2 * (32 + 16) + 2 * 64 + 2 * (32 + 8) + 2 * 96 + 2 * (32 + 8) + 2 * (48 + 8);
    let batch = BatchConfig { prefill_tokens: 7, ..BatchConfig::default() };
    let beside = |sequences| {
        let all = memory.batch(&batch, 20, [sequences, 2], 5);
        all - memory.weights() - memory.adapter() - memory.cache(sequences / 2 * 20 + sequences * 5)
    };
    assert_eq!(beside(2), 7 * forward + 7 * 5 * 4 * 32);
    assert_eq!(beside(50), 50 * (forward + 4 * 32 + 2 * 32 + 4 * 100) + 7 * 5 * 4 * 32);
}

#[test]
fn more_tokens_take_more_and_recomputing_takes_less() {
    for kind in KINDS {
        let of =
            |tokens, recompute| memory(kind).step(StepShape { tokens, response_tokens: tokens, recompute }).total();
        for tokens in (100..3000).step_by(37) {
            assert!(of(tokens, false) < of(tokens + 1, false) && of(tokens, true) < of(tokens + 1, true), "{kind:?}");
            assert!(
                of(tokens, true) <= of(tokens, false) || matches!(kind, (DeviceKind::Cuda, DType::F32)),
                "{kind:?}"
            );
        }
    }
}

#[test]
fn the_largest_micro_batch_within_a_limit_is_the_last_that_fits_it() {
    for kind in &KINDS {
        for recompute in [false, true] {
            let memory = memory(*kind);
            let of = |tokens| memory.step(StepShape { tokens, response_tokens: tokens, recompute }).total();
            let empty = of(0);
            assert_eq!(memory.tokens_within(empty - 1, recompute), 0);
            for bytes in (0..50_000_000).step_by(1_234_567) {
                let tokens = memory.tokens_within(empty + bytes, recompute);
                assert!(of(tokens) <= empty + bytes && empty + bytes < of(tokens + 1), "{kind:?} {bytes} {tokens}");
            }
            assert!(memory.tokens_within(u64::MAX, recompute) > 1_000_000);
        }
    }
}

#[test]
fn scores_of_a_gpu_without_bf16_weights_grow_with_the_square_of_the_tokens() {
    let of = |kind, tokens| memory(kind).step(StepShape { tokens, response_tokens: 0, recompute: false }).activations;
    let doubled = |kind| of(kind, 20_000) as f64 / of(kind, 10_000) as f64;
    assert!(doubled(KINDS[2]) > 3.5 && doubled(KINDS[1]) < 2.1);
}

/// Without the feature `cuda` the kernels' launches are not compiled, but their text is there.
#[test]
fn sizes_are_those_that_the_kernels_are_launched_with() {
    let resident = include_str!("../../../kernels/src/cuda/resident.rs");
    let head = include_str!("../../../kernels/src/cuda/head.rs");
    let attention = include_str!("../../../kernels/src/cuda/attention.rs");
    for (text, name, value) in [
        (resident, "MOST_RANK", fused::ROOM),
        (resident, "STEP", fused::STEP),
        (head, "ROWS", fused::HEAD_ROWS as u64),
        (attention, "SPLITS", fused::SPLITS),
    ] {
        assert!(text.contains(&format!("const {name}: usize = {value};")), "{name} is not {value}");
    }
}
