//! The mark of a sale that gives no units.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};

use crate::ids::UserId;

/// How long a sold-out mark refuses without the gate's confirmation. The stock is read five times a second; while the gate does not
/// answer, a unit that came back would not be sold, and the one who got it would be refused at other nodes.
pub const MARK_VALID_FOR: Duration = Duration::from_secs(1);

/// Why a sale gives no units now, as the gate said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sale) enum MarkCause {
    SoldOut,
    /// Its window is over, or it was cancelled.
    Ended,
}

/// The mark of a sale that gives no units: everyone but its holders can be refused without asking. Made from what the gate
/// said, never from the ledger's listing, which may be older than an operator's last change.
pub(in crate::sale) struct RefusalMark {
    pub(in crate::sale) cause: MarkCause,
    /// The gate's holders epoch when the mark was made: the mark holds while the epoch does not change.
    pub(in crate::sale) holders_epoch: u64,
    /// Sorted.
    pub(in crate::sale) holders: Box<[UserId]>,
    /// When the gate was last asked and confirmed it, in milliseconds of the gate's time.
    confirmed_at: AtomicI64,
}

impl RefusalMark {
    /// A mark that the gate confirmed when it was asked at `confirmed_at`.
    pub(in crate::sale) fn new(
        cause: MarkCause,
        holders_epoch: u64,
        holders: Box<[UserId]>,
        confirmed_at: DateTime<Utc>,
    ) -> Self {
        Self {
            cause,
            holders_epoch,
            holders,
            confirmed_at: AtomicI64::new(confirmed_at.timestamp_millis()),
        }
    }

    /// The gate confirmed it when it was asked at this time.
    pub(in crate::sale) fn confirm(&self, at: DateTime<Utc>) {
        self.confirmed_at
            .store(at.timestamp_millis(), Ordering::Relaxed);
    }

    pub(in crate::sale) fn is_valid(&self, now: DateTime<Utc>) -> bool {
        let confirmed_at = self.confirmed_at.load(Ordering::Relaxed);
        let age = now.timestamp_millis().abs_diff(confirmed_at);
        u128::from(age) <= MARK_VALID_FOR.as_millis()
    }

    pub(in crate::sale) fn holds(&self, user: UserId) -> bool {
        self.holders.binary_search(&user).is_ok()
    }
}
