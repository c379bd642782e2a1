//! Which tokens of an account count.

use chrono::{DateTime, Utc};

use crate::ids::UserId;

/// Whether the owner of an account may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    #[default]
    Enabled,
    Disabled,
}

/// Which tokens of an account count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionRule {
    pub access: Access,
    /// Tokens issued before this second were ended; in seconds since 1970. 0: none was.
    pub valid_from: i64,
}

impl SessionRule {
    /// What a ledger's two columns say. A part of a second counts as a whole one.
    #[must_use]
    pub fn new(disabled_at: Option<DateTime<Utc>>, valid_from: Option<DateTime<Utc>>) -> Self {
        let access = disabled_at.map_or(Access::Enabled, |_| Access::Disabled);
        let whole = |at: DateTime<Utc>| at.timestamp() + i64::from(at.timestamp_subsec_nanos() > 0);
        Self {
            access,
            valid_from: valid_from.map_or(0, whole),
        }
    }

    /// Whether a token that was issued then (in seconds since 1970) counts.
    #[must_use]
    pub fn admits(&self, issued_at: i64) -> bool {
        self.access == Access::Enabled && issued_at >= self.valid_from
    }
}

/// An account as nodes look it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundAccount {
    pub id: UserId,
    pub made_at: DateTime<Utc>,
    pub sessions: SessionRule,
}
