//! What a step is trained on, as it is handed in and as the objective sees it.

use std::sync::Arc;

use crate::{
    Error, Result,
    algorithm::{Algorithm, Member},
    pack::EncodedPrompt,
};

/// A response with the reward it earned.
#[derive(Clone, Debug, Default)]
pub struct TrainResponse {
    /// The end token included, unless truncated.
    pub tokens: Vec<u32>,
    /// Log-probabilities reported by the policy that sampled it; `None` for an edited report.
    pub behaviour: Option<Vec<f32>>,
    /// How many of its first tokens an edited report has in common with its source; 0 for all other responses.
    pub shared: usize,
    /// The total that its advantage is made of.
    pub reward: f64,
    /// Whether generation hit the length limit before the end token.
    pub truncated: bool,
}

/// A prompt with all responses of its group.
#[derive(Clone, Debug)]
pub struct TrainGroup {
    /// Shared by all responses.
    pub prompt: Arc<EncodedPrompt>,
    /// The whole group, in the order that the algorithm sees.
    pub responses: Vec<TrainResponse>,
}

impl TrainGroup {
    /// Packed tokens.
    pub fn tokens(&self) -> usize {
        self.prompt.tokens.ids.len() + self.responses.iter().map(|r| r.tokens.len()).sum::<usize>()
    }

    /// The prompt with its longest response.
    pub fn largest_alone(&self) -> usize {
        self.prompt.tokens.ids.len() + self.responses.iter().map(|r| r.tokens.len()).max().unwrap_or(0)
    }
}

/// A group with what its algorithm made of it.
pub struct Lesson<'a> {
    pub group: &'a TrainGroup,
    pub responses: Vec<Weighed<'a>>,
}

/// A response with its part in the objective.
pub struct Weighed<'a> {
    pub response: &'a TrainResponse,
    pub advantage: f64,
    pub mask: Option<Vec<bool>>,
    /// Known once the response has been through the network, or where it goes through it only once.
    pub kept: Option<Kept>,
}

/// Log-probabilities of a response that stay the same during a step.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Under the policy at the start of the step.
    pub proximal: Vec<f32>,
    /// Under the frozen base, where the objective asks for it.
    pub reference: Option<Vec<f32>>,
}

impl<'a> Lesson<'a> {
    /// # Errors
    /// Rewards that the algorithm refuses; an answer of the wrong length.
    pub fn of(group: &'a TrainGroup, algorithm: &dyn Algorithm) -> Result<Self> {
        let member = |response: &TrainResponse| Member {
            reward: response.reward,
            tokens: response.tokens.len(),
            truncated: response.truncated,
            sampled: response.behaviour.is_some(),
        };
        let members: Vec<Member> = group.responses.iter().map(member).collect();
        let advantages = algorithm.advantages(&members)?;
        if advantages.len() != members.len() {
            let reason = format!("the algorithm gives {} to {} members of a group", advantages.len(), members.len());
            return Err(Error::invalid("advantages", reason));
        }
        let weighed = |((response, member), advantage): ((&'a TrainResponse, &Member), f64)| {
            let mask = algorithm.mask(member);
            if let Some(length) = mask.as_ref().map(Vec::len).filter(|&length| length != member.tokens) {
                let reason = format!("the algorithm gives {length} entries for {} tokens", member.tokens);
                return Err(Error::invalid("mask", reason));
            }
            Ok(Weighed { response, advantage, mask, kept: None })
        };
        let responses = group.responses.iter().zip(&members).zip(advantages).map(weighed).collect::<Result<_>>()?;
        Ok(Self { group, responses })
    }
}

impl Weighed<'_> {
    /// Tokens that count.
    pub fn length(&self) -> usize {
        match &self.mask {
            None => self.response.tokens.len(),
            Some(mask) => mask.iter().filter(|&&counts| counts).count(),
        }
    }

    /// Whether all its tokens are masked, so that it need not go through the network.
    pub fn is_masked(&self) -> bool {
        self.mask.is_some() && self.length() == 0
    }
}
