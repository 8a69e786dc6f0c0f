//! A learning step with and without sharing what responses begin with, in turns.

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    bed::Bed,
    clock::{Laps, median_and_shortest},
    iteration::Iteration,
    work::Work,
    workload::{Stage, Workload},
};

/// Steps that share, of groups whose second half are edited copies of the first, and what those that do not took.
pub fn compare(bed: &Bed, shared: &Workload) -> Result<(Vec<(Laps, Work)>, Value)> {
    let apart = Workload { no_trie: true, ..shared.clone() };
    let mut with = Iteration::new(bed, shared)?;
    let mut without = Iteration::new(bed, &apart)?;
    let (mut shared_steps, mut apart_steps) = (Vec::new(), Vec::new());
    for i in 0..=shared.repeat {
        let pair = (with.step(Stage::Step)?, without.step(Stage::Step)?);
        // The first ones warm up.
        if i > 0 {
            shared_steps.push(pair.0);
            apart_steps.push(pair.1);
        }
    }
    let seconds = |steps: &[(Laps, _)]| {
        let laps: Vec<Laps> = steps.iter().map(|(laps, _)| *laps).collect();
        median_and_shortest(&laps).map(|(median, _)| median.total())
    };
    let times = seconds(&shared_steps).zip(seconds(&apart_steps));
    let beside = json!({
        "packed_tokens": with.packed_tokens()?,
        "packed_tokens_apart": without.packed_tokens()?,
        "seconds_per_step_apart": times.map(|(_, apart)| apart),
        "speedup": times.map(|(shared, apart)| apart / shared),
    });
    Ok((shared_steps, beside))
}
