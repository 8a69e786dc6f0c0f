/// Entropy in nats of the distribution softmax(logits / temperature). A logit of minus infinity is an impossible token.
///
/// `logits` is one row over the vocabulary; `temperature` is positive.
pub fn entropy(logits: &[f32], temperature: f64) -> f64 {
    log_probabilities(logits, temperature).filter(|l| l.is_finite()).map(|l| -l.exp() * l).sum()
}

/// The gradient of [`entropy`] with respect to `logits`: dH/dz = -p (ln p + H) / temperature.
pub fn entropy_gradient(logits: &[f32], temperature: f64) -> Vec<f64> {
    let entropy = entropy(logits, temperature);
    let slope = |l: f64| {
        if l.is_finite() { -l.exp() * (l + entropy) / temperature } else { 0.0 }
    };
    log_probabilities(logits, temperature).map(slope).collect()
}

/// ln softmax(logits / temperature), in f64 whatever the logits were computed in.
pub fn log_probabilities(logits: &[f32], temperature: f64) -> impl Iterator<Item = f64> + '_ {
    let normalizer = log_sum_exp(logits, temperature);
    logits.iter().map(move |&z| f64::from(z) / temperature - normalizer)
}

/// ln Σ exp(logits / temperature).
pub fn log_sum_exp(logits: &[f32], temperature: f64) -> f64 {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |top, &z| top.max(f64::from(z))) / temperature;
    let sum: f64 = logits.iter().map(|&z| (f64::from(z) / temperature - largest).exp()).sum();
    largest + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_token_changes_neither_entropy_nor_gradient() {
        let possible = [0.3, -1.0, 2.0];
        let with_impossible = [0.3, -1.0, 2.0, f32::NEG_INFINITY];
        assert!((entropy(&possible, 0.8) - entropy(&with_impossible, 0.8)).abs() < 1e-12);
        assert_eq!(entropy_gradient(&with_impossible, 0.8)[3], 0.0);
    }

    #[test]
    fn equal_logits_have_the_largest_entropy() {
        assert!((entropy(&[1.5; 8], 0.5) - 8f64.ln()).abs() < 1e-12);
    }
}
