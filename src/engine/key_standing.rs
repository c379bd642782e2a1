//! How a used idempotency key stands, from what the ledgers' tables have of it.

use chrono::{DateTime, Utc};

use crate::port::{ActionId, IdempotencyKey, KeyStanding, MovementId, StoredAnswer};

/// Keys older than 24 h that a change deletes at most.
pub(super) const PRUNED_AT_ONCE: i64 = 20;

/// A row of `idempotency_keys` that is not older than 24 h.
pub(super) struct StoredKey {
    pub(super) fingerprint: Vec<u8>,
    pub(super) since: DateTime<Utc>,
    pub(super) action: Option<ActionId>,
    pub(super) movement: Option<MovementId>,
    /// Status and body.
    pub(super) answer: Option<(i32, String)>,
}

impl StoredKey {
    /// For a request with this key.
    pub(super) fn standing(self, key: &IdempotencyKey) -> KeyStanding {
        if self.fingerprint != key.fingerprint.0 {
            return KeyStanding::OtherRequest;
        }
        let Some((status, body)) = self.answer else {
            return KeyStanding::Running {
                since: self.since,
                action: self.action,
                movement: self.movement,
            };
        };
        KeyStanding::Answered(StoredAnswer {
            // The table's check keeps it between 100 and 599.
            status: u16::try_from(status).unwrap_or(500),
            body,
        })
    }
}
