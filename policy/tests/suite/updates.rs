//! Several updates per step, masks, and what an algorithm may answer.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use addendum_policy::{
    Adapter, Error, LearnerConfig, LoraConfig, Policy, Result,
    algorithm::{Algorithm, AlgorithmConfig, DrGrpo, Member},
    learner::{Learner, LearnerState, SharedPrefix, TrainGroup, TrainResponse},
    objective::{Batch, Objective, ObjectiveOutput, ResponseTerms},
    pack::{EncodedPrompt, Packed, PromptTokens},
};
use candle_core::{Device, Tensor};

use crate::common::{assert_close, tiny::tiny_policy};

fn adapter(policy: &Policy) -> Adapter {
    let settings = LoraConfig { rank: 2, ..LoraConfig::default() };
    let fresh = Adapter::new(policy.config(), settings.clone(), 1, &Device::Cpu).unwrap();
    let tensors = fresh.tensors().iter().map(|(name, t)| (name.clone(), t.affine(1.0, 0.02).unwrap()));
    Adapter::from_tensors(policy.config(), settings, tensors.collect()).unwrap()
}

fn group(seed: u32, lengths: &[usize]) -> TrainGroup {
    let tokens = PromptTokens::new((0..4 + seed).map(|i| 5 + (i * 7 + seed) % 50).collect(), 1, &[], 2).unwrap();
    let response = |(i, &length): (usize, &usize)| TrainResponse {
        tokens: (0..length as u32).map(|t| 3 + (t * 11 + seed + i as u32 * 5) % 60).collect(),
        behaviour: i.is_multiple_of(2).then(|| vec![-4.0 + 0.1 * i as f32; length]),
        reward: (i * i) as f64 + f64::from(seed),
        ..TrainResponse::default()
    };
    let responses = lengths.iter().enumerate().map(response).collect();
    TrainGroup { prompt: Arc::new(EncodedPrompt { tokens, features: None }), responses }
}

fn groups() -> Vec<TrainGroup> {
    vec![group(1, &[6, 3, 5]), group(2, &[4, 9]), group(3, &[7, 2, 2, 5]), group(4, &[1, 8])]
}

fn config(minibatches: usize, epochs: usize) -> LearnerConfig {
    let mut config = LearnerConfig { minibatches, epochs, ..LearnerConfig::default() };
    config.schedule.learning_rate = 0.02;
    config
}

fn learner_of(policy: &Policy, algorithm: impl Algorithm + 'static, config: LearnerConfig) -> Learner {
    policy.learner(adapter(policy), Arc::new(algorithm), config).unwrap()
}

fn learner(policy: &Policy, minibatches: usize, epochs: usize) -> Learner {
    learner_of(policy, DrGrpo, config(minibatches, epochs))
}

/// The adapter after steps on these batches, one update each.
fn after(policy: &Policy, batches: &[&[TrainGroup]]) -> Adapter {
    let mut learner = learner(policy, 1, 1);
    for batch in batches {
        learner.step(batch).unwrap();
    }
    learner.adapter()
}

/// Of every response, log-probabilities under the adapter or the base.
fn log_probs(policy: &Policy, adapter: Option<&Adapter>, groups: &[TrainGroup]) -> Vec<Vec<f32>> {
    let responses = groups.iter().flat_map(|g| g.responses.iter().map(move |r| (&*g.prompt, &r.tokens)));
    let alone = |(prompt, tokens): (&EncodedPrompt, &Vec<u32>)| {
        let packed = Packed::new([(prompt, vec![tokens.as_slice()])]);
        packed.log_probs(&policy.model().language, adapter, 1.0).unwrap().log_probs.to_vec1().unwrap()
    };
    responses.map(alone).collect()
}

/// What the objective says of groups whose start of the step, present and reference are these adapters.
fn oracle(policy: &Policy, groups: &[TrainGroup], start: &Adapter, now: &Adapter) -> ObjectiveOutput {
    let [new, proximal, reference] = [Some(now), Some(start), None].map(|adapter| log_probs(policy, adapter, groups));
    let mut terms = Vec::new();
    for group in groups {
        let mean = group.responses.iter().map(|r| r.reward).sum::<f64>() / group.responses.len() as f64;
        for response in &group.responses {
            let i = terms.len();
            terms.push(ResponseTerms {
                new: &new[i],
                proximal: &proximal[i],
                behaviour: response.behaviour.as_deref(),
                reference: Some(&reference[i]),
                mask: None,
                advantage: response.reward - mean,
                shared: 0,
            });
        }
    }
    Objective::new(config(1, 1).objective).unwrap().evaluate(&terms).unwrap()
}

/// Fails from its n-th question for advantages on.
struct Failing(AtomicUsize);

impl Algorithm for Failing {
    fn advantages(&self, group: &[Member]) -> Result<Vec<f64>> {
        match self.0.fetch_sub(1, Ordering::Relaxed) {
            0 => Err(Error::Invalid { what: "group".into(), reason: "one too many".into() }),
            _ => DrGrpo.advantages(group),
        }
    }
}

/// Answers as it was told.
struct Told(Vec<f64>, Option<Vec<bool>>);

impl Algorithm for Told {
    fn advantages(&self, _: &[Member]) -> Result<Vec<f64>> {
        Ok(self.0.clone())
    }

    fn mask(&self, _: &Member) -> Option<Vec<bool>> {
        self.1.clone()
    }
}

#[test]
fn the_first_minibatch_moves_the_adapter_as_a_step_on_it_alone() {
    let (policy, mut groups) = (tiny_policy(), groups());
    let alone = after(&policy, &[&groups[..2]]);
    // Nothing in the second half can move it further.
    groups[2..].iter_mut().for_each(|g| g.responses.clear());
    let mut two = learner(&policy, 2, 1);
    let stats = two.step(&groups).unwrap();
    assert_eq!((stats.updates, stats.skipped), (1, false));
    assert!(two.adapter() == alone);
}

#[test]
fn later_updates_are_measured_by_the_policy_at_the_start_of_the_step() {
    let (policy, groups) = (tiny_policy(), groups());
    let start = adapter(&policy);
    let (one, two) = (after(&policy, &[&groups]), after(&policy, &[&groups[..2]]));
    // The batch as a whole, twice, and its halves, once each.
    let expected = [
        [oracle(&policy, &groups, &start, &start), oracle(&policy, &groups, &start, &one)],
        [oracle(&policy, &groups[..2], &start, &start), oracle(&policy, &groups[2..], &start, &two)],
    ];
    for ((minibatches, epochs), updates) in [(1, 2), (2, 1)].into_iter().zip(expected) {
        let stats = learner(&policy, minibatches, epochs).step(&groups).unwrap();
        let counts = updates.iter().map(|output| output.gradient.concat().len() as f64);
        let all: f64 = counts.clone().sum();
        let loss: f64 = updates.iter().zip(counts).map(|(output, n)| output.loss * n / all).sum();
        assert_close(stats.loss, loss, 1e-3, 1e-5, "loss");
        let mut tally = updates[0].tally;
        tally.merge(&updates[1].tally);
        let metrics = tally.metrics();
        assert_close(stats.metrics.clip_fraction, metrics.clip_fraction, 0.0, 0.02, "clipped");
        assert_close(stats.metrics.approximate_kl_k3, metrics.approximate_kl_k3, 1e-2, 1e-6, "distance to the start");
        assert_close(stats.metrics.importance_weight_mean, metrics.importance_weight_mean, 1e-3, 0.0, "weights");
        assert!(metrics.approximate_kl_k3 > 1e-4, "the policy did not move: the test shows nothing");
        assert_eq!((stats.updates, stats.response_tokens), (2, 52));
    }
    let stats = learner(&policy, 1, 4).step(&groups).unwrap();
    assert!(stats.metrics.clip_fraction > 0.0, "four epochs leave the clip range");
}

#[test]
fn an_epoch_that_starts_anew_is_another_step() {
    let (policy, groups) = (tiny_policy(), groups());
    let mut epochs = learner(&policy, 1, 2);
    epochs.step(&groups).unwrap();
    // Ratios to the start of the step, or to themselves.
    assert!(epochs.adapter() != after(&policy, &[&groups, &groups]));
    assert!(epochs.adapter() != after(&policy, &[&groups]));
}

#[test]
fn more_minibatches_than_groups_are_as_many_as_groups() {
    let (policy, groups) = (tiny_policy(), groups());
    let of = |minibatches| {
        let mut learner = learner(&policy, minibatches, 1);
        let stats = learner.step(&groups).unwrap();
        (stats.updates, learner.adapter())
    };
    assert_eq!(of(3).0, 3);
    assert!(of(4) == of(9) && of(4).0 == 4 && of(4).1 != of(3).1);
    let mut none = learner(&policy, 2, 2);
    assert_eq!((none.step(&[]).unwrap().updates, none.steps()), (0, 1));
}

#[test]
fn several_updates_are_the_same_however_they_are_cut() {
    let (policy, groups) = (tiny_policy(), groups());
    let run = |micro_batch_tokens, shared_prefix| {
        let mut learner =
            learner_of(&policy, DrGrpo, LearnerConfig { micro_batch_tokens, shared_prefix, ..config(2, 2) });
        learner.step(&groups).unwrap().loss
    };
    let whole = run(100_000, SharedPrefix::Trie);
    for other in [run(1, SharedPrefix::Trie), run(40, SharedPrefix::Prompt), run(100_000, SharedPrefix::None)] {
        assert_close(other, whole, 2e-3, 1e-5, "loss");
    }
}

#[test]
fn a_restored_learner_of_several_updates_goes_on_bit_for_bit() {
    let (policy, groups) = (tiny_policy(), groups());
    let mut one = learner(&policy, 2, 2);
    one.step(&groups).unwrap();
    let state = LearnerState::from_bytes(&one.state().unwrap().to_bytes()).unwrap();
    let mut two = learner(&policy, 2, 2);
    two.restore(&state, &Device::Cpu).unwrap();
    one.step(&groups).unwrap();
    two.step(&groups).unwrap();
    assert!(one.state().unwrap() == two.state().unwrap());
}

#[test]
fn an_error_after_the_first_update_changes_nothing() {
    let (policy, mut groups) = (tiny_policy(), groups());
    // No behaviour for the last token: the objective refuses it, in the second update only.
    groups[3].responses[0].behaviour = Some(Vec::new());
    let mut learner = learner(&policy, 2, 1);
    let before = learner.state().unwrap();
    let error = learner.step(&groups).unwrap_err().to_string();
    assert!(error.contains("behaviour of response"), "{error}");
    assert!(learner.state().unwrap() == before);
    // And so does one of the algorithm.
    let mut learner = learner_of(&policy, Failing(AtomicUsize::new(3)), config(2, 1));
    assert_eq!(learner.step(&groups).unwrap_err().to_string(), "group: one too many");
    assert!(learner.state().unwrap() == before);
}

#[test]
fn an_update_that_is_skipped_does_not_end_the_step() {
    let (policy, mut groups) = (tiny_policy(), groups());
    groups[0].responses[0].reward = 1e30;
    let mut config = config(4, 1);
    config.optimizer.max_gradient_norm = None;
    let mut learner = learner_of(&policy, DrGrpo, config.clone());
    let stats = learner.step(&groups).unwrap();
    assert!(stats.skipped && stats.updates == 4);
    let mut others = learner_of(&policy, DrGrpo, LearnerConfig { minibatches: 3, ..config });
    assert!(!others.step(&groups[1..]).unwrap().skipped);
    assert!(learner.adapter() == others.adapter());
}

#[test]
fn a_device_out_of_memory_has_micro_batches_halved_and_the_gradient_stays_the_same() {
    let (policy, groups) = (tiny_policy(), groups());
    for (minibatches, epochs) in [(1, 1), (2, 2)] {
        let mut whole = learner(&policy, minibatches, epochs);
        let mut small = learner(&policy, minibatches, epochs).out_of_memory_above(17);
        let (expected, halved) = (whole.step(&groups).unwrap(), small.step(&groups).unwrap());
        assert_eq!((expected.out_of_memory, whole.steps(), small.steps()), (0, 1, 1));
        assert!(halved.out_of_memory > 0);
        assert_close(halved.loss, expected.loss, 1e-4, 1e-6, "loss");
        assert_close(halved.gradient_norm, expected.gradient_norm, 1e-4, 1e-6, "gradient norm");
        // It is not tried again with what did not fit.
        assert_eq!(small.step(&groups).unwrap().out_of_memory, 0);
        // One response that is longer than what a micro-batch was cut down to is still tried.
        assert_eq!(small.step(&[group(1, &[12, 2])]).unwrap().out_of_memory, 0);
    }
}

#[test]
fn a_response_that_no_device_holds_is_an_error_and_changes_nothing() {
    let (policy, groups) = (tiny_policy(), groups());
    let mut learner = learner(&policy, 1, 1).out_of_memory_above(14);
    let before = learner.adapter();
    let error = learner.step(&groups).unwrap_err();
    assert!(error.is_out_of_memory(), "{error}");
    assert!(learner.adapter() == before && learner.steps() == 0);
}

#[test]
fn masked_tokens_neither_move_the_adapter_nor_count() {
    let (policy, mut groups) = (tiny_policy(), groups());
    let algorithm = AlgorithmConfig { mask_truncated: true, ..AlgorithmConfig::default() }.build(128).unwrap();
    groups.truncate(1);
    groups[0].responses[1].truncated = true;
    let mut config = config(1, 1);
    config.objective.aggregation = addendum_policy::objective::Aggregation::TokenMean;
    let learner = |algorithm| policy.learner(adapter(&policy), algorithm, config.clone()).unwrap();
    let (stats, masked) = learner(algorithm).gradient(&groups).unwrap();
    assert_eq!(stats.response_tokens, 11);
    assert_eq!(Batch::of([6, 5]).tokens, 11);
    // The advantages of all three, without the one that does not count.
    let advantages = DrGrpo.advantages(&groups[0].responses.iter().map(member).collect::<Vec<_>>()).unwrap();
    groups[0].responses.remove(1);
    let told = Told(vec![advantages[0], advantages[2]], None);
    let (unmasked, expected) = learner(Arc::new(told)).gradient(&groups).unwrap();
    assert!(stats.loss == unmasked.loss && stats.entropy == unmasked.entropy);
    assert!(masked.iter().all(|(name, gradient)| values(gradient) == values(&expected[name])));
}

#[test]
fn a_token_mask_takes_part_in_the_counts() {
    let policy = tiny_policy();
    let groups = [group(1, &[4])];
    let gradient = |mask: Option<Vec<bool>>| learner_of(&policy, Told(vec![1.0], mask), config(1, 1)).gradient(&groups);
    let (all, _) = gradient(None).unwrap();
    let (two, _) = gradient(Some(vec![true, false, true, false])).unwrap();
    let (none, gradients) = gradient(Some(vec![false; 4])).unwrap();
    assert_eq!((all.response_tokens, two.response_tokens, none.response_tokens), (4, 2, 0));
    assert!(gradients.is_empty() && two.entropy != all.entropy);
}

#[test]
fn answers_of_the_wrong_length_are_refused() {
    let policy = tiny_policy();
    let groups = [group(1, &[4, 4])];
    let error = |told| learner_of(&policy, told, config(1, 1)).gradient(&groups).err().unwrap().to_string();
    assert_eq!(error(Told(vec![1.0], None)), "advantages: the algorithm gives 1 to 2 members of a group");
    let short = Told(vec![1.0, 2.0], Some(vec![true; 3]));
    assert_eq!(error(short), "mask: the algorithm gives 3 entries for 4 tokens");
}

fn member(response: &TrainResponse) -> Member {
    let (reward, tokens, truncated) = (response.reward, response.tokens.len(), response.truncated);
    Member { reward, tokens, truncated, sampled: response.behaviour.is_some() }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}
