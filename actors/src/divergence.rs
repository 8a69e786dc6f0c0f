//! Signs that training goes wrong, in the figures of its steps.
//!
//! They depend on the steps alone, and a resumed run is shown those from before, so the same seed gives the same signs
//! at the same steps.

use std::collections::{BTreeSet, VecDeque};

use crate::{DivergenceConfig, Diverging, Sign, StepRecord, spread::mean};

/// What the steps so far tell.
#[derive(Default)]
pub(crate) struct Divergence {
    /// Reward, KL, entropy and length of the last steps that had groups.
    last: VecDeque<[f64; 4]>,
    best_reward: Option<f64>,
    first_entropy: Option<f64>,
    seen: BTreeSet<Sign>,
}

impl Divergence {
    /// The signs that the last steps show.
    pub fn present(&self) -> &BTreeSet<Sign> {
        &self.seen
    }

    /// Takes a step in; the signs that have come up with it.
    pub fn observe(&mut self, record: &StepRecord, config: &DivergenceConfig) -> Vec<Diverging> {
        let StepRecord { reward_sampled, stats, response_length, .. } = record;
        let figures = [*reward_sampled, stats.kl, stats.entropy, *response_length];
        if record.groups == 0 || figures.iter().any(|figure| !figure.is_finite()) {
            return Vec::new();
        }
        self.last.push_back(figures);
        while self.last.len() > config.window {
            self.last.pop_front();
        }
        if self.last.len() < config.window {
            return Vec::new();
        }
        let [reward, kl, entropy, length] = [0, 1, 2, 3].map(|i| mean(self.last.iter().map(|figures| figures[i])));
        let best = *self.best_reward.insert(self.best_reward.map_or(reward, |best| best.max(reward)));
        let first = *self.first_entropy.get_or_insert(entropy);
        let least_reward = best - config.reward_drop * best.abs();
        let least_entropy = config.entropy_below * first;
        let judged = [
            (Sign::RewardCollapse, reward, least_reward, config.reward_drop > 0.0 && reward < least_reward),
            (Sign::KlExplosion, kl, config.kl_above, config.kl_above > 0.0 && kl > config.kl_above),
            (Sign::EntropyCollapse, entropy, least_entropy, entropy < least_entropy),
            (Sign::EmptyReports, length, config.tokens_below, length < config.tokens_below),
        ];
        let mut new = Vec::new();
        for (sign, value, limit, present) in judged {
            if !present {
                self.seen.remove(&sign);
            } else if self.seen.insert(sign) {
                new.push(Diverging { sign, value, limit });
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StepStats;

    fn record(reward: f64, kl: f64, entropy: f64, length: f64) -> StepRecord {
        let stats = StepStats { kl, entropy, ..StepStats::default() };
        StepRecord { groups: 2, reward_sampled: reward, response_length: length, stats, ..StepRecord::default() }
    }

    fn signs(records: impl IntoIterator<Item = StepRecord>) -> Vec<(usize, Sign)> {
        let config = DivergenceConfig { window: 4, ..DivergenceConfig::default() };
        let mut divergence = Divergence::default();
        let told = records.into_iter().enumerate().map(|(step, record)| (step, divergence.observe(&record, &config)));
        told.flat_map(|(step, signs)| signs.into_iter().map(move |found| (step, found.sign))).collect()
    }

    fn healthy() -> StepRecord {
        record(0.8, 0.1, 0.5, 40.0)
    }

    #[test]
    fn a_healthy_run_and_one_that_swings_show_no_sign() {
        assert_eq!(signs((0..50).map(|_| healthy())), []);
        let swinging = |step: u32| record(0.8 + 0.2 * f64::from(step).sin(), 0.5, 0.3, 20.0);
        assert_eq!(signs((0..50).map(swinging)), []);
        // Rewards below zero have a best too.
        assert_eq!(signs((0..50).map(|_| record(-1.0, 0.1, 0.5, 40.0))), []);
    }

    #[test]
    fn each_way_to_go_wrong_is_told_once_and_again_after_it_had_passed() {
        let then = |bad: StepRecord| {
            let phases = [(10, healthy()), (10, bad.clone()), (10, healthy()), (10, bad)];
            phases.into_iter().flat_map(|(steps, record)| std::iter::repeat_n(record, steps)).collect::<Vec<_>>()
        };
        for (bad, sign, after) in [
            (record(0.1, 0.1, 0.5, 40.0), Sign::RewardCollapse, 2),
            (record(-9.0, 0.1, 0.5, 40.0), Sign::RewardCollapse, 0),
            (record(0.8, 50.0, 0.5, 40.0), Sign::KlExplosion, 0),
            (record(0.8, 0.1, 1e-4, 40.0), Sign::EntropyCollapse, 3),
            (record(0.8, 0.1, 0.5, 1.0), Sign::EmptyReports, 3),
        ] {
            assert_eq!(signs(then(bad)), [(10 + after, sign), (30 + after, sign)]);
        }
    }

    #[test]
    fn steps_without_groups_or_numbers_are_passed_over_and_zero_asks_nothing() {
        let empty = StepRecord { groups: 0, ..record(0.0, 9.0, 0.0, 0.0) };
        let skipped = record(0.8, f64::NAN, 0.5, 40.0);
        assert_eq!(signs((0..30).flat_map(|_| [healthy(), empty.clone(), skipped.clone()])), []);
        let nothing = DivergenceConfig {
            window: 1,
            reward_drop: 0.0,
            kl_above: 0.0,
            entropy_below: 0.0,
            tokens_below: 0.0,
            stop: true,
        };
        let mut divergence = Divergence::default();
        divergence.observe(&healthy(), &nothing);
        assert_eq!(divergence.observe(&record(-9.0, 99.0, 0.0, 1.0), &nothing), []);
    }

    #[test]
    fn a_sign_is_told_with_its_figures() {
        let mut divergence = Divergence::default();
        let config = DivergenceConfig { window: 1, ..DivergenceConfig::default() };
        divergence.observe(&healthy(), &config);
        let told = divergence.observe(&record(0.25, 7.5, 0.5, 40.0), &config);
        let told: Vec<_> = told.iter().map(ToString::to_string).collect();
        assert!(told[0].contains("0.2500 on the average, expected 0.4000 or more"), "{told:?}");
        assert!(told[1].contains("7.500 nats, expected at most 5"), "{told:?}");
    }
}
