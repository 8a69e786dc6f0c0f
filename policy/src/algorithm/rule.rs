use crate::Result;

/// What an algorithm knows of one response of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// The total, as reward stages gave it.
    pub reward: f64,
    /// Length of the response in tokens, its end token included.
    pub tokens: usize,
    /// Whether generation hit the length limit before the end token.
    pub truncated: bool,
    /// Whether a policy sampled it; otherwise it was edited, or is the reference report.
    pub sampled: bool,
}

/// Decides what a group teaches. Always asked about whole groups, with their members in order.
///
/// The answers must depend on the arguments only: a run asks again when it resumes, and several of its parts ask.
pub trait Algorithm: Send + Sync {
    /// One advantage per member, in order; the tokens of a response share it.
    ///
    /// # Errors
    /// Rewards that no advantages can be computed from, such as one that is not finite.
    fn advantages(&self, group: &[Member]) -> Result<Vec<f64>>;

    /// Which tokens of a member count, one entry per token; all of them where `None`. The others have no part in the
    /// loss or in the numbers of tokens and responses that it is divided by.
    fn mask(&self, _member: &Member) -> Option<Vec<bool>> {
        None
    }

    /// Whether a step should be spent on the group. If not, its ticket is retired and another group takes its place.
    fn worthwhile(&self, _group: &[Member]) -> bool {
        true
    }
}

pub(super) fn rewards(group: &[Member]) -> Vec<f64> {
    group.iter().map(|member| member.reward).collect()
}
