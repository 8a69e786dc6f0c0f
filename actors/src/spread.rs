//! Means and deviations.

/// NaN of nothing.
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

/// A mean is rounded, and most equal numbers differ from theirs; they never differ from the first of them.
pub fn all_equal(values: &[f64]) -> bool {
    values.iter().all(|value| *value == values[0])
}

/// Population standard deviation. That of equal values is exactly zero, because distances are taken from the first.
pub fn deviation(values: &[f64]) -> f64 {
    let distances = || values.iter().map(|value| value - values[0]);
    let center = mean(distances());
    mean(distances().map(|distance| (distance - center).powi(2))).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rewards_are_found_and_deviate_by_nothing_however_their_mean_is_rounded() {
        let mut rounded = 0;
        for size in 1..=12 {
            for hundredths in 0..=300 {
                let mut rewards = vec![f64::from(hundredths) / 100.0; size];
                rounded += usize::from(mean(rewards.iter().copied()) != rewards[0]);
                assert!(all_equal(&rewards) && deviation(&rewards) == 0.0, "{rewards:?}");
                rewards.push(rewards[0].next_up());
                assert!(!all_equal(&rewards), "{rewards:?}");
            }
        }
        assert!(rounded > 0, "no mean was rounded: the test shows nothing");
    }

    #[test]
    fn the_standard_deviation_is_that_of_the_population() {
        assert_eq!(deviation(&[1.0, 3.0]), 1.0);
        assert!((deviation(&[0.1, 0.2, 0.3, 0.4]) - 0.0125f64.sqrt()).abs() < 1e-12);
    }
}
