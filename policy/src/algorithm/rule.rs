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
///
/// ```
/// use addendum_policy::{
///     Result,
///     algorithm::{Algorithm, Member},
/// };
///
/// /// Each response against the mean of the others, without those that were cut.
/// struct AgainstOthers;
///
/// impl Algorithm for AgainstOthers {
///     fn advantages(&self, group: &[Member]) -> Result<Vec<f64>> {
///         let total: f64 = group.iter().map(|member| member.reward).sum();
///         let others = |member: &Member| (total - member.reward) / (group.len() - 1) as f64;
///         Ok(group.iter().map(|member| member.reward - others(member)).collect())
///     }
///
///     fn mask(&self, member: &Member) -> Option<Vec<bool>> {
///         member.truncated.then(|| vec![false; member.tokens])
///     }
/// }
///
/// let member = |reward| Member { reward, tokens: 40, truncated: false, sampled: true };
/// assert_eq!(AgainstOthers.advantages(&[member(1.0), member(0.5), member(0.0)])?, [0.75, 0.0, -0.75]);
/// # Ok::<(), addendum_policy::Error>(())
/// ```
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
