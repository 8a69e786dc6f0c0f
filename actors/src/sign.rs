//! The ways in which training goes wrong.

use std::fmt;

/// A way to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sign {
    /// The reward of sampled reports has fallen far below its best.
    RewardCollapse,
    /// The policy is far away from the reference.
    KlExplosion,
    /// The policy is sure of every token.
    EntropyCollapse,
    /// Sampled reports are little more than the end token.
    EmptyReports,
}

impl Sign {
    /// In the order in which they are judged.
    pub const ALL: [Self; 4] = [Self::RewardCollapse, Self::KlExplosion, Self::EntropyCollapse, Self::EmptyReports];

    /// As metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RewardCollapse => "reward_collapse",
            Self::KlExplosion => "kl_explosion",
            Self::EntropyCollapse => "entropy_collapse",
            Self::EmptyReports => "empty_reports",
        }
    }
}

/// A sign with its figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Diverging {
    /// Which of the ways.
    pub sign: Sign,
    /// The mean over the last steps.
    pub value: f64,
    /// What it may not fall below or exceed, by the kind of the sign.
    pub limit: f64,
}

impl fmt::Display for Diverging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sign, value, limit } = self;
        match sign {
            Sign::RewardCollapse => {
                write!(
                    f,
                    "the reward has collapsed: sampled reports have {value:.4} on the average, expected {limit:.4} or more"
                )
            }
            Sign::KlExplosion => {
                write!(f, "the KL to the reference has exploded: {value:.3} nats, expected at most {limit}")
            }
            Sign::EntropyCollapse => {
                write!(f, "the entropy has collapsed: {value:.5} nats, expected {limit:.5} or more")
            }
            Sign::EmptyReports => {
                write!(f, "reports are empty: {value:.2} tokens with the end token, expected {limit} or more")
            }
        }
    }
}
