/// What can go wrong while reports are analysed or scored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A back end failed; never turned into a zero reward.
    #[error("{component}: {reason}")]
    Component { component: &'static str, reason: String },
}

pub type Result<T> = std::result::Result<T, Error>;
