//! Changes by operators, each one transaction with its entry in the action log and its idempotency key.

pub(super) mod log;
pub(super) mod movements;
mod transaction;

use diesel_async::AsyncPgConnection;

use self::transaction::transaction;
use super::PostgresLedger;
use crate::port::{LedgerError, Movement, MovementId};

impl PostgresLedger {
    pub(super) async fn close_movement(
        &self,
        movement: MovementId,
        taken: u32,
    ) -> Result<Option<Movement>, LedgerError> {
        transaction!(self.pool, |conn| movements::close(conn, movement, taken))
    }
}
