use super::{
    config::{Importance, KlKind, ObjectiveConfig},
    response::ResponseTerms,
};

/// Log-ratios are clamped to this range before they are exponentiated; no gradient flows where the clamp is active.
pub(super) const LOG_RATIO_LIMIT: f64 = 20.0;

/// Beyond this the k3 estimate is clamped.
const KL_LIMIT: f64 = 10.0;

/// The log-probabilities of one token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub new: f64,
    pub proximal: f64,
    pub behaviour: Option<f64>,
    pub reference: Option<f64>,
}

impl Token {
    /// The token at `position`, which the caller has checked to be inside all slices.
    pub fn at(response: &ResponseTerms, position: usize) -> Self {
        let pick = |values: &[f32]| f64::from(values[position]);
        Self {
            new: pick(response.new),
            proximal: pick(response.proximal),
            behaviour: response.behaviour.map(pick),
            reference: response.reference.map(pick),
        }
    }
}

/// The importance weight of a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    /// What the loss is multiplied by.
    pub value: f64,
    /// The weight before its cap; `None` for a token that no policy sampled.
    pub uncapped: Option<f64>,
    /// Whether the cap was exceeded.
    pub above_cap: bool,
}

/// Σ over counted tokens of ln π_prox − ln π_behav; `None` for a response that no policy sampled.
pub(super) fn sequence_log_ratio(response: &ResponseTerms) -> Option<f64> {
    let behaviour = response.behaviour?;
    let pairs = response.proximal.iter().zip(behaviour).enumerate();
    let counted = pairs.filter(|(position, _)| response.counts(*position));
    Some(counted.map(|(_, (&proximal, &behaviour))| f64::from(proximal) - f64::from(behaviour)).sum())
}

pub(super) fn importance(config: &ObjectiveConfig, token: Token, sequence_log_ratio: Option<f64>) -> Weight {
    let log_ratio = match config.importance {
        Importance::SequenceTruncate => sequence_log_ratio,
        Importance::TokenTruncate | Importance::TokenMask => token.behaviour.map(|b| token.proximal - b),
    };
    let Some(log_ratio) = log_ratio else {
        return Weight { value: 1.0, uncapped: None, above_cap: false };
    };
    let uncapped = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp();
    let above_cap = uncapped > config.importance_cap;
    let value = match config.importance {
        _ if !above_cap => uncapped,
        Importance::TokenMask => 0.0,
        Importance::TokenTruncate | Importance::SequenceTruncate => config.importance_cap,
    };
    Weight { value, uncapped: Some(uncapped), above_cap }
}

/// The policy loss of a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct PolicyTerm {
    /// Weighted loss.
    pub loss: f64,
    /// d loss / d ln π.
    pub slope: f64,
    /// ln ρ after its clamp.
    pub log_ratio: f64,
    /// The ratio's clip decided the loss.
    pub clipped: bool,
    /// The dual clip decided the loss.
    pub dual_clipped: bool,
}

pub(super) fn policy(config: &ObjectiveConfig, token: Token, advantage: f64, weight: f64) -> PolicyTerm {
    let raw = token.new - token.proximal;
    let log_ratio = raw.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT);
    let ratio = log_ratio.exp();
    let plain = -advantage * ratio;
    let bounded = -advantage * ratio.clamp(1.0 - config.clip.low, 1.0 + config.clip.high);
    let clipped = bounded > plain;
    let clipped_loss = if clipped { bounded } else { plain };
    let ceiling = config.dual_clip.filter(|_| advantage < 0.0).map_or(f64::INFINITY, |dual| -advantage * dual);
    let dual_clipped = clipped_loss > ceiling;
    let loss = if dual_clipped { ceiling } else { clipped_loss };
    let flat = clipped || dual_clipped || raw != log_ratio && !raw.is_nan();
    PolicyTerm { loss: weight * loss, slope: if flat { 0.0 } else { weight * plain }, log_ratio, clipped, dual_clipped }
}

/// The policy loss of an off-policy token after LUFFY's shaping: −A f(π) with f(π) = π / (π + γ), whose derivative by ln π
/// is −A γ π / (π + γ)².
pub(super) fn shaped(gamma: f64, token: Token, advantage: f64) -> PolicyTerm {
    let probability = token.new.exp();
    let value = probability / (probability + gamma);
    PolicyTerm {
        loss: -advantage * value,
        slope: -advantage * value * gamma / (probability + gamma),
        log_ratio: (token.new - token.proximal).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT),
        clipped: false,
        dual_clipped: false,
    }
}

/// The weight of an off-policy token that counts less where the policy at the start of the step held it improbable.
pub(super) fn capped(floor: f64, token: Token) -> Weight {
    // Not `min`, which would hide a NaN.
    let share = token.proximal.exp() / floor;
    Weight { value: if share > 1.0 { 1.0 } else { share }, uncapped: None, above_cap: false }
}

/// The KL penalty of a token and its derivative by ln π.
#[derive(Debug, Clone, Copy)]
pub(super) struct KlTerm {
    pub value: f64,
    pub slope: f64,
}

/// `excess` is ln π − ln π_ref.
pub(super) fn kl(kind: KlKind, excess: f64) -> KlTerm {
    match kind {
        KlKind::K1 => KlTerm { value: excess, slope: 1.0 },
        KlKind::Abs => KlTerm { value: excess.abs(), slope: if excess == 0.0 { 0.0 } else { excess.signum() } },
        KlKind::K2 => KlTerm { value: excess * excess / 2.0, slope: excess },
        KlKind::K3 => {
            let raw = (-excess).exp() + excess - 1.0;
            let value = raw.clamp(-KL_LIMIT, KL_LIMIT);
            let clamped = raw != value && !raw.is_nan();
            KlTerm { value, slope: if clamped { 0.0 } else { 1.0 - (-excess).exp() } }
        }
    }
}
