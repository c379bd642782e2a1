//! What a press of "buy" is answered.

use crate::{ids::AttemptId, port::Standing};

/// The attempt counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub attempt: AttemptId,
    pub standing: Standing,
}

/// Why an attempt does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no such sale")]
    UnknownSale,
    #[error("the sale has not started")]
    NotStarted,
    #[error("the sale has ended")]
    Ended,
    #[error("the item is out of stock")]
    SoldOut,
    #[error("the sale is paused")]
    Paused,
    /// The gate is being loaded.
    #[error("the sale is being prepared")]
    Preparing,
    /// Too many attempts are waiting in this node; nothing was taken.
    #[error("too many attempts are waiting")]
    Busy,
    /// Gate or log cannot be reached; nothing was taken, or it was given back.
    #[error("a server cannot be reached")]
    Unavailable,
    /// The gate did not answer: whether a unit is held is unknown. Asking again finds out.
    #[error("whether the attempt counts is unknown")]
    OutcomeUnknown,
}
