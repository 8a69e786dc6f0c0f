//! What can go wrong with a service.

use std::path::PathBuf;

use super::Malformed;

/// Names the address and what was wrong there; never holds a token or a report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting of a reward service is out of its range. Set it as the message says.
    #[error("config of the service {url}: `{field}` is {value}, expected {expected}")]
    Config {
        /// The service's address as it was set.
        url: String,
        /// Its path within the service's settings.
        field: String,
        /// As it was set.
        value: String,
        /// The range or form.
        expected: String,
    },
    /// The file that `prompt` names cannot be read, or does not hold `{reference}` and `{candidate}` once each. Correct
    /// the file or its path.
    #[error("config of the service {url}: {reason}")]
    Prompt {
        /// The service's address as it was set.
        url: String,
        /// What is wrong with the file.
        reason: Box<addendum_rewards::Error>,
    },
    /// The file with the service's token is missing, unreadable or holds no token. Write the token, and nothing else,
    /// into it.
    #[error("token file {}: {reason}", path.display())]
    TokenFile {
        /// The file that `token_file` names.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The environment variable that should hold the service's token is not set, or holds none. Set it where the run is
    /// started.
    #[error("environment variable {name}: {reason}")]
    TokenVariable {
        /// The one that `token_variable` names.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No connection, or none that lasted until the answer was there. See that the service runs and that `url` has its
    /// host, port and path.
    #[error("{url}: {reason}")]
    Transport {
        /// The address that was called.
        url: String,
        /// What the connection reported.
        reason: String,
    },
    /// The service is too slow, or overloaded. Raise its `timeout_seconds`, or lower its `batch`.
    #[error("{url}: no answer within {seconds} s")]
    Late {
        /// The address that was called.
        url: String,
        /// How long was waited.
        seconds: f64,
    },
    /// The service refused or failed. A status of 401 or 403 asks for another token, 404 for another address, 5xx for a
    /// look at the service's own log.
    #[error("{url}: status {status}: {message}")]
    Status {
        /// The address that was called.
        url: String,
        /// HTTP status.
        status: u16,
        /// What the service says about it, shortened.
        message: String,
    },
    /// The answer exceeds the service's `longest_answer_bytes`. Raise it where `batch` is large; otherwise check what
    /// listens at the address.
    #[error("{url}: the answer is longer than {limit} bytes")]
    TooLong {
        /// The address that was called.
        url: String,
        /// Where reading stopped.
        limit: u64,
    },
    /// Something answers at the address, but no reward service; perhaps a proxy or a log-in page. Check the address.
    #[error("{url}: the answer is not JSON: {reason}")]
    NotJson {
        /// The address that was called.
        url: String,
        /// Where the text ceases to be JSON.
        reason: String,
    },
    /// The answer lacks what was asked for, or the service could not judge a report and says why. Check that the
    /// address is that of the right service, and its version; for a reason, look at the report.
    #[error("{url}: answer: {reason}")]
    Answer {
        /// The address that was called.
        url: String,
        /// The part of the answer that is wrong.
        reason: Malformed,
    },
    /// The judge's answer is not in the form that GREEN asks for. Where it is seen often, the model behind the address
    /// is not the one that the prompt was written for, or `longest_answer_tokens` is too low.
    #[error("{url}: {reason}")]
    Green {
        /// The address that was called.
        url: String,
        /// What the answer lacks.
        reason: addendum_rewards::green::AnswerError,
    },
    /// A service failed at every attempt. Mend what the last error says; the service's `backoff` sets how often and how
    /// long it is tried.
    #[error("{last} (tried {attempts} times in {seconds:.1} s)")]
    GaveUp {
        /// How often it was tried.
        attempts: u32,
        /// From the first attempt to the last answer.
        seconds: f64,
        /// The error of the last attempt.
        last: Box<Error>,
    },
    /// A server answers a fixed question otherwise than the first one did, or than it did itself: it has other models,
    /// other class frequencies, or another version of them. It is not asked for rewards until it answers as the others;
    /// start it with the same options, or take it from the list.
    #[error(
        "{url} answers a fixed question with {theirs}, where {other} said {ours}; expected the same models on all servers"
    )]
    Differs {
        /// The server.
        url: String,
        /// The one that it is compared with.
        other: String,
        /// What the server said where they differ.
        theirs: String,
        /// What the other one said there.
        ours: String,
    },
    /// None of several servers can be asked: they are down, or answer otherwise than they should. Start one; a request
    /// waits for it as long as the service's `backoff.deadline_seconds`.
    #[error("none of the {servers} servers can be asked ({seconds:.0} s); the last: {last}")]
    Nobody {
        /// How many are listed.
        servers: usize,
        /// For how long the request waited.
        seconds: f64,
        /// What was wrong with one of them.
        last: String,
    },
}

/// Who is to blame for an error, and so what may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The moment: the same server may answer later.
    Moment,
    /// The server: it is none that should be asked.
    Server,
    /// The request: nobody would answer it.
    Request,
}

impl Error {
    /// Whether another attempt at the same server may end differently.
    pub(super) fn transient(&self) -> bool {
        self.blame() == Blame::Moment
    }

    pub(super) fn blame(&self) -> Blame {
        match self {
            Self::Transport { .. } | Self::Late { .. } => Blame::Moment,
            Self::Status { status, .. } => match status {
                408 | 425 | 429 | 500..=599 => Blame::Moment,
                // Another address, another token, a service that fails without saying so.
                200..=399 | 401 | 403..=405 | 407 => Blame::Server,
                _ => Blame::Request,
            },
            Self::Answer { reason, .. } if reason.told => Blame::Request,
            Self::Answer { .. } | Self::NotJson { .. } | Self::TooLong { .. } | Self::Differs { .. } => Blame::Server,
            _ => Blame::Request,
        }
    }
}

impl Error {
    /// The setting that is wrong, by its path within the service's.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Config { field, .. } => Some(field),
            Self::Prompt { .. } => Some("prompt"),
            Self::TokenFile { .. } => Some("token_file"),
            Self::TokenVariable { .. } => Some("token_variable"),
            _ => None,
        }
    }
}

impl From<Error> for addendum_rewards::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Config { field, value, expected, .. } => Self::setting(field, value, expected),
            Error::TokenFile { path, reason } => {
                Self::setting("token_file", path.display(), format!("a file with a token: {reason}"))
            }
            Error::TokenVariable { name, reason } => {
                Self::setting("token_variable", name, format!("an environment variable with a token: it {reason}"))
            }
            other => Self::Component { component: "service", reason: other.to_string() },
        }
    }
}
