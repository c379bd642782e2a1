//! Why a token's account is not let in.

/// Why a token's account is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountRefusal {
    /// The account does not exist, or it is younger than the token.
    #[error("the account of the token does not exist")]
    Unknown,
    /// The account's tokens up to this one were ended, or the account is disabled.
    #[error("the token was ended")]
    Ended,
    /// This node does not know the account, and the ledger cannot be asked.
    #[error("whether the account exists is unknown: {0}")]
    Unavailable(String),
}
