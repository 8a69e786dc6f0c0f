//! Whether a server answers from the adapter that it says it loaded.
//!
//! A fixed text is judged with and without the adapter, here and there. The server's log-probabilities must change as ours
//! do: its change is projected on ours, which averages its rounding over the tokens of the text. Where the adapter changes
//! less than the two differ without it, as at the beginning of a run, nothing can be told.

use std::sync::Arc;

use addendum_policy::{
    Adapter, Policy,
    pack::{EncodedPrompt, Packed},
};
use addendum_studies::{INSTRUCTION, Prompt};

/// A text of the policy's own kind. Any would do; more tokens average more.
const TEXT: &str = "The heart is mildly enlarged. There is a small left pleural effusion with adjacent atelectasis. No \
pneumothorax. The right lung is clear. A central venous catheter ends in the superior vena cava.";

/// The share of our change that must be in the server's.
const LEAST: f64 = 0.5;
/// How far above the difference without an adapter a change must be to be told from rounding.
const CLEAR: f64 = 4.0;

/// A fixed text and how likely it is here without an adapter.
pub(super) struct Probe {
    policy: Arc<Policy>,
    prompt: EncodedPrompt,
    text: Vec<u32>,
    base: Vec<f32>,
}

/// What a comparison tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    Applied,
    /// The adapter changes too little yet.
    Unclear,
    /// The share of our change that is in the server's.
    NotApplied(f64),
}

impl Probe {
    pub fn new(policy: Arc<Policy>) -> addendum_policy::Result<Self> {
        let prompt = policy.encode(&Prompt { views: Vec::new(), text: INSTRUCTION.into() })?;
        let text = policy.tokenizer().encode_report(TEXT)?;
        let mut probe = Self { policy, prompt, text, base: Vec::new() };
        probe.base = probe.log_probs(None)?;
        Ok(probe)
    }

    /// The prompt with the text behind it, to be judged by a server.
    pub fn tokens(&self) -> Vec<u32> {
        [self.prompt.tokens.ids.as_slice(), &self.text].concat()
    }

    /// Of the log-probabilities of [`Probe::tokens`] from the second on, those of the text.
    pub fn of_text<'a>(&self, all: &'a [f32]) -> &'a [f32] {
        &all[all.len().saturating_sub(self.text.len())..]
    }

    /// How likely the text is here (nats per token).
    pub fn log_probs(&self, adapter: Option<&Adapter>) -> addendum_policy::Result<Vec<f32>> {
        let packed = Packed::new([(&self.prompt, vec![self.text.as_slice()])]);
        let adapter = adapter.map(|adapter| adapter.to_device(self.policy.device())).transpose()?;
        let judged = packed.log_probs(&self.policy.model().language, adapter.as_ref(), 1.0)?;
        Ok(judged.log_probs.to_vec1()?)
    }

    /// Compares what the server says of the text, without and with the adapter, with `ours` with it.
    pub fn compare(&self, ours: &[f32], their_base: &[f32], theirs: &[f32]) -> Verdict {
        compare(&self.base, ours, their_base, theirs)
    }
}

fn compare(our_base: &[f32], ours: &[f32], their_base: &[f32], theirs: &[f32]) -> Verdict {
    let change = |with: &[f32], without: &[f32]| -> Vec<f64> {
        with.iter().zip(without).map(|(a, b)| f64::from(*a) - f64::from(*b)).collect()
    };
    let (our_change, their_change) = (change(ours, our_base), change(theirs, their_base));
    let size = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
    let (ours, difference) = (size(&our_change), size(&change(their_base, our_base)));
    // Rounding of f32 where the bases are equal.
    let noise = difference.max(1e-10 * our_change.len() as f64);
    if ours < CLEAR * CLEAR * noise {
        return Verdict::Unclear;
    }
    let slope = our_change.iter().zip(&their_change).map(|(a, b)| a * b).sum::<f64>() / ours;
    if (LEAST..=1.0 / LEAST).contains(&slope) { Verdict::Applied } else { Verdict::NotApplied(slope) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: [f32; 4] = [-1.0, -2.0, -0.5, -3.0];

    fn moved(by: f32) -> Vec<f32> {
        BASE.iter().zip([1.0, -0.5, 0.25, -1.0]).map(|(base, direction)| base + by * direction).collect()
    }

    #[test]
    fn a_server_that_moves_as_we_do_has_the_adapter() {
        assert_eq!(compare(&BASE, &moved(0.3), &BASE, &moved(0.31)), Verdict::Applied);
        let rounded: Vec<f32> = BASE.iter().map(|base| base + 0.004).collect();
        assert_eq!(compare(&BASE, &moved(0.3), &rounded, &moved(0.28)), Verdict::Applied);
    }

    #[test]
    fn a_server_that_stays_at_the_base_or_moves_elsewhere_has_not() {
        assert_eq!(compare(&BASE, &moved(0.3), &BASE, &BASE), Verdict::NotApplied(0.0));
        assert!(matches!(compare(&BASE, &moved(0.3), &BASE, &moved(-0.3)), Verdict::NotApplied(slope) if slope < 0.0));
        assert!(matches!(compare(&BASE, &moved(0.3), &BASE, &moved(0.9)), Verdict::NotApplied(slope) if slope > 2.0));
    }

    #[test]
    fn an_adapter_that_changes_less_than_servers_round_tells_nothing() {
        assert_eq!(compare(&BASE, &BASE, &BASE, &BASE), Verdict::Unclear);
        let rounded: Vec<f32> = BASE.iter().map(|base| base + 0.02).collect();
        assert_eq!(compare(&BASE, &moved(0.03), &rounded, &rounded), Verdict::Unclear);
    }
}
