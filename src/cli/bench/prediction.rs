//! What the memory model predicts for a workload.

use addendum::train::memory::Group;
use addendum_policy::{
    generate::BatchConfig,
    memory::{DeviceKind, Memory, StepShape},
};

use super::{
    bed::Bed,
    workload::{Stage, Workload},
};

/// Bytes at the peak of a step, everything included that the model counts; activations are kept, not computed again. To be
/// called by a thread of the pool that computes the steps.
pub fn predicted(workload: &Workload, stage: Stage, bed: &Bed) -> u64 {
    let kind = DeviceKind::of(&bed.device);
    let memory = Memory::new(&bed.config, workload.dtype.into(), &workload.lora(), kind);
    let images = bed.prompts.iter().map(|(tokens, _)| tokens.image_at.len()).sum();
    let patches = |(_, images): &(_, Vec<addendum_policy::image::Patches>)| {
        images.iter().map(|image| image.grid.iter().product::<usize>()).sum()
    };
    let standing = memory.weights() + memory.context();
    let encoding = memory.vision(bed.prompts.iter().map(patches).max().unwrap_or(0));
    let sampling = match stage {
        Stage::Step => 0,
        Stage::Sample | Stage::Loop => sampling(workload, bed, &memory) - memory.weights(),
    };
    let learning = match stage {
        Stage::Sample => [0, 0],
        Stage::Step | Stage::Loop => learning(workload, bed, &memory, kind),
    };
    let [trained, activations] = learning;
    standing + memory.features(images) + encoding.max(trained + sampling.max(activations))
}

fn sampling(workload: &Workload, bed: &Bed, memory: &Memory) -> u64 {
    let config = BatchConfig::busy(&bed.model.language);
    let group = if workload.no_shared_prefix { 1 } else { workload.sampled() };
    let requests = if workload.one_study_at_a_time { 1 } else { workload.groups * workload.sampled() / group };
    let sequences = config.max_sequences.min(requests * group);
    memory.batch(&config, bed.prompt_tokens(), [sequences, group], workload.new_tokens)
}

/// What is trained, and the activations of the micro-batches that run at the same time.
fn learning(workload: &Workload, bed: &Bed, memory: &Memory, kind: DeviceKind) -> [u64; 2] {
    let (prompt_tokens, response_tokens) = (bed.prompt_tokens(), workload.new_tokens);
    let size = if workload.no_shared_prefix { 1 } else { workload.group_size };
    let groups = workload.groups * workload.group_size / size;
    let tokens = Group { prompt_tokens, size, response_tokens }.tokens();
    let together = (workload.micro_batch_tokens / tokens).clamp(1, groups);
    let step = memory.step(StepShape {
        tokens: together * tokens,
        response_tokens: together * size * response_tokens,
        recompute: false,
    });
    let lanes = match kind {
        DeviceKind::Cpu => rayon::current_num_threads().min(groups.div_ceil(together)),
        DeviceKind::Cuda => 1,
    };
    [step.trained, step.activations * lanes as u64]
}
