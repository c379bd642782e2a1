//! How often one shopper presses "buy".

use std::time::Duration;

use crate::{
    ids::UserId,
    limit::{Limiter, TooMany},
};

/// The limit of attempts of one shopper, whichever the sale.
pub struct AttemptLimit(Limiter);

impl AttemptLimit {
    /// So many a minute; 0 lets every attempt through.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self(Limiter::new(per_minute, Duration::from_mins(1)))
    }

    pub fn check(&self, user: UserId) -> Result<(), TooMany> {
        self.0.take(&user, 1)
    }
}
