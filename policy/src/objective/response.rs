/// What the objective needs to know of one response. All slices have one entry per response token.
#[derive(Debug, Clone, Copy)]
pub struct ResponseTerms<'a> {
    /// Log-probabilities under the policy being trained.
    pub new: &'a [f32],
    /// Log-probabilities under the proximal policy: the one at the start of the step. With a single update per batch
    /// these are `new`, detached.
    pub proximal: &'a [f32],
    /// Log-probabilities reported by the policy that sampled the tokens; `None` for a response that no policy sampled
    /// (an edited report), whose importance weights are 1.
    pub behaviour: Option<&'a [f32]>,
    /// Log-probabilities under the frozen reference policy; may be `None` when the KL coefficient is 0.
    pub reference: Option<&'a [f32]>,
    /// Which tokens count; `None` when all of them do.
    pub mask: Option<&'a [bool]>,
    /// The advantage of the response, shared by its tokens.
    pub advantage: f64,
    /// How many of its first tokens an edited report has in common with the sampled one that it is a copy of; 0 for all
    /// other responses.
    pub shared: usize,
}

impl ResponseTerms<'_> {
    pub(super) fn counts(&self, token: usize) -> bool {
        self.mask.is_none_or(|mask| mask.get(token).copied().unwrap_or(false))
    }

    /// Whether no policy sampled the token: neither that of the response, nor that of its source.
    pub(super) fn is_off_policy(&self, token: usize) -> bool {
        self.behaviour.is_none() && token >= self.shared
    }

    /// Number of tokens that count.
    pub fn length(&self) -> usize {
        (0..self.new.len()).filter(|&token| self.counts(token)).count()
    }
}
