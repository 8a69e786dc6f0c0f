//! What goes wrong with a server.

use addendum_rewards_remote::{Malformed, servers::Unusable};

/// Why a server gave no reports.
#[derive(Debug, thiserror::Error)]
pub enum VllmError {
    /// A setting of the servers that cannot be used. The message names it.
    #[error("{field}: {reason}")]
    Config {
        /// Its key within `sampler`.
        field: String,
        /// What it is, and what was expected.
        reason: String,
    },
    /// The server cannot be reached, cut the connection, is late, or failed at its work (status 5xx, 429): it is asked
    /// again after a pause, and another one meanwhile.
    #[error("{url}: {reason}")]
    Down {
        /// The server.
        url: String,
        /// What was heard of it last.
        reason: String,
    },
    /// The server does not know the adapter, as after a restart: it is loaded again.
    #[error("{url} does not know the adapter {adapter}")]
    NoAdapter {
        /// The server.
        url: String,
        /// The name that the adapter was loaded under.
        adapter: String,
    },
    /// The server refuses the request: its settings or the study do not fit. Its message says why.
    #[error("{url} refuses {what}: {message} (status {status})")]
    Refused {
        /// The server.
        url: String,
        /// What was asked for.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// The server's reason, cut short.
        message: String,
    },
    /// An answer that is not as it must be, such as one with too few reports.
    #[error("{url}: in the answer, {reason}")]
    Answer {
        /// The server.
        url: String,
        /// The field, what it is and what was expected.
        reason: Malformed,
    },
    /// The server makes other tokens of the prompt: another checkpoint, chat template, tokenizer or image processor.
    #[error(
        "{url} reads the prompt of study {study} as other tokens: from token {at} on {theirs:?} (of {their_count}), here \
         {ours:?} (of {our_count}); expected the same checkpoint folder, chat template and pixel limits"
    )]
    Prompt {
        /// The server.
        url: String,
        /// The study.
        study: String,
        /// The first token that differs.
        at: usize,
        /// A few of the server's tokens from there.
        theirs: Vec<u32>,
        /// How many tokens the server's prompt has.
        their_count: usize,
        /// A few of ours.
        ours: Vec<u32>,
        /// How many tokens our prompt has.
        our_count: usize,
    },
    /// The server answers as if an adapter had not been loaded, or as if another one had.
    #[error(
        "{url} says that it loaded {adapter}, but its log-probabilities of a fixed text move by {slope:.2} of what the adapter \
         moves them here, expected about 1: it does not answer from this adapter"
    )]
    NotApplied {
        /// The server.
        url: String,
        /// The name that the adapter was loaded under.
        adapter: String,
        /// The share of our change that is in the server's.
        slope: f64,
    },
    /// The server's log-probabilities are not at the sampling temperature.
    #[error(
        "{url}: log-probabilities are not those that tokens were drawn with; start vLLM with --logprobs-mode processed_logprobs"
    )]
    Unprocessed {
        /// The server.
        url: String,
    },
    /// No server answered for as long as `sampler.vllm.patience_seconds` says.
    #[error("no vLLM server answered for {seconds:.0} s; the last: {last}")]
    NobodyAnswers {
        /// For how long.
        seconds: f64,
        /// What was heard last.
        last: String,
    },
    /// Every server was found to answer from other weights than it was given.
    #[error("no vLLM server is left to ask: {last}")]
    NoneLeft {
        /// What was wrong with one of them.
        last: String,
    },
    /// An adapter could not be published.
    #[error("adapters cannot be published: {reason}")]
    Publish {
        /// The file or folder, and what is wrong with it.
        reason: String,
    },
}

impl From<Unusable> for VllmError {
    fn from(Unusable { field, value, expected }: Unusable) -> Self {
        Self::config(field, format!("is {value}, expected {expected}"))
    }
}

impl VllmError {
    pub(super) fn config(field: impl Into<String>, reason: impl ToString) -> Self {
        Self::Config { field: field.into(), reason: reason.to_string() }
    }

    /// Whether another server, or the same one later, may answer.
    pub(super) fn transient(&self) -> bool {
        matches!(self, Self::Down { .. } | Self::NoAdapter { .. } | Self::Answer { .. } | Self::NotApplied { .. })
    }
}
