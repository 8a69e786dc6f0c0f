use std::sync::Arc;

use super::*;
use crate::Result;

fn member(reward: f64) -> Member {
    Member { reward, tokens: 10, truncated: false, sampled: true }
}

fn group(rewards: &[f64]) -> Vec<Member> {
    rewards.iter().map(|&reward| member(reward)).collect()
}

fn named(name: &str) -> AlgorithmConfig {
    AlgorithmConfig { name: name.into(), ..AlgorithmConfig::default() }
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-5, "{found:?}, expected {expected:?}");
    }
}

#[test]
fn each_algorithm_has_its_advantages() {
    let advantages = |name: &str| named(name).build(100).unwrap().advantages(&group(&[1.0, 2.0, 6.0])).unwrap();
    close(&advantages("dr-grpo"), &[-2.0, -1.0, 3.0]);
    // The unbiased deviation is √7.
    let normalised = [-2.0, -1.0, 3.0].map(|a: f64| a / 7f64.sqrt());
    close(&advantages("grpo"), &normalised);
    close(&advantages("dapo"), &normalised);
    close(&advantages("rloo"), &[1.0 - 4.0, 2.0 - 3.5, 6.0 - 1.5]);
    close(&named("rloo").build(100).unwrap().advantages(&group(&[0.5])).unwrap(), &[0.5]);
}

#[test]
fn the_default_is_dr_grpo_to_the_bit() {
    let rewards = [0.1, 0.7, 1.3, 0.2];
    let default = AlgorithmConfig::default().build(100).unwrap();
    let expected = crate::objective::group_advantages(&rewards, crate::objective::Normalize::Mean).unwrap();
    assert_eq!(default.advantages(&group(&rewards)).unwrap(), expected);
    assert!(default.worthwhile(&group(&[1.0, 1.0])) && default.mask(&member(1.0)).is_none());
}

#[test]
fn every_name_has_an_objective_that_is_valid() {
    for name in NAMES {
        usual_objective(name).unwrap().validate().unwrap();
        named(name).build(100).unwrap();
    }
    assert!(usual_objective("ppo").is_none());
    assert_eq!(usual_objective("dr-grpo"), Some(ObjectiveConfig::default()));
}

#[test]
fn an_unknown_name_and_values_out_of_range_are_refused() {
    let error = |config: AlgorithmConfig| config.build(100).err().unwrap().to_string();
    assert_eq!(error(named("ppo")), "name: \"ppo\" is not one of grpo, dr-grpo, rloo, dapo");
    let config = AlgorithmConfig { overlong_buffer: 101, ..AlgorithmConfig::default() };
    assert_eq!(error(config), "overlong_buffer: 101 is not at most the 100 tokens of the longest response");
    for overlong_penalty in [-1.0, f64::NAN, f64::INFINITY] {
        let error = error(AlgorithmConfig { overlong_penalty, ..AlgorithmConfig::default() });
        assert!(error.starts_with(&format!("overlong_penalty: {overlong_penalty}")), "{error}");
    }
}

#[test]
fn a_report_loses_reward_linearly_towards_the_longest_length() {
    let punishment = OverlongPunishment { limit: 100, buffer: 20, penalty: 0.5 };
    let lost = [0, 80, 81, 90, 100, 130].map(|tokens| punishment.of(tokens));
    close(&lost, &[0.0, 0.0, -0.025, -0.25, -0.5, -0.5]);
    assert!(lost[1].is_sign_positive(), "no −0");
}

#[test]
fn groups_are_worthwhile_where_their_shaped_rewards_differ() {
    let config = AlgorithmConfig { dynamic_sampling: true, overlong_buffer: 20, ..AlgorithmConfig::default() };
    for name in NAMES {
        let algorithm = AlgorithmConfig { name: name.into(), ..config.clone() }.build(100).unwrap();
        // A mean of equal rewards that is rounded must not pass for a difference.
        assert!(!algorithm.worthwhile(&group(&[0.1, 0.1, 0.1])), "{name}");
        assert!(algorithm.worthwhile(&group(&[0.1, 0.1, 0.2])), "{name}");
        let mut lengths = group(&[1.0, 1.0]);
        lengths[1].tokens = 95;
        assert!(algorithm.worthwhile(&lengths), "{name}: one of equal reports is too long");
        close(&algorithm.advantages(&lengths).unwrap()[..1], &algorithm.advantages(&group(&[1.0, 0.25])).unwrap()[..1]);
    }
}

#[test]
fn a_truncated_report_is_masked_but_stays_in_the_baseline() {
    let config = AlgorithmConfig { mask_truncated: true, dynamic_sampling: true, ..AlgorithmConfig::default() };
    let algorithm = config.build(10).unwrap();
    let mut group = group(&[0.0, 1.0]);
    group[0].truncated = true;
    assert_eq!(algorithm.mask(&group[0]), Some(vec![false; 10]));
    assert_eq!(algorithm.mask(&group[1]), None);
    assert_eq!(algorithm.advantages(&group).unwrap(), [-0.5, 0.5]);
    assert!(algorithm.worthwhile(&group));
    group[1].truncated = true;
    assert!(!algorithm.worthwhile(&group), "nothing of it counts");
}

#[test]
fn the_techniques_go_around_any_algorithm() {
    struct First;
    impl Algorithm for First {
        fn advantages(&self, group: &[Member]) -> Result<Vec<f64>> {
            Ok(group.iter().map(|member| member.reward - group[0].reward).collect())
        }
        fn worthwhile(&self, group: &[Member]) -> bool {
            group.len() > 2
        }
    }
    let config = AlgorithmConfig { overlong_buffer: 10, ..named("first") };
    let algorithm = config.around(Arc::new(First), 10).unwrap();
    let mut two = group(&[1.0, 1.0]);
    two[1].tokens = 5;
    assert_eq!(algorithm.advantages(&two).unwrap(), [0.0, 0.5]);
    assert!(!algorithm.worthwhile(&two));
}
