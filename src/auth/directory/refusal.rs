//! Why a token's account is not let in.

/// Why a token's account is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountRefusal {
    /// It does not exist, or is younger than the token.
    #[error("the account of the token does not exist")]
    Unknown,
    /// Its tokens up to this one were ended, or it is disabled.
    #[error("the token was ended")]
    Ended,
    /// It is not known here, and the ledger cannot be asked.
    #[error("whether the account exists is unknown: {0}")]
    Unavailable(String),
}
