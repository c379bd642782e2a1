//! The account mark: the highest account id that was assigned, stored outside the ledger so that new ids continue above it
//! after the ledger was set back to an earlier state.

use async_trait::async_trait;
use fred::types::Key;

use super::{RedisGate, connection::Connection, keys::account_mark_key, reply, scripts::SCRIPTS};
use crate::{
    ids::LedgerId,
    port::{AccountMarks, GateError},
};

#[async_trait]
impl AccountMarks for RedisGate {
    async fn account_mark(&self) -> Result<Option<i64>, GateError> {
        mark(&self.connection, self.ledger).await
    }

    async fn raise_account_mark(&self, to: i64) -> Result<(), GateError> {
        raise(&self.connection, self.ledger, to).await
    }
}

pub(super) async fn mark(
    connection: &Connection,
    ledger: LedgerId,
) -> Result<Option<i64>, GateError> {
    let value = connection.get(key(ledger)).await?;
    if value.is_null() {
        return Ok(None);
    }
    reply::number(&value).map(Some)
}

pub(super) async fn raise(
    connection: &Connection,
    ledger: LedgerId,
    to: i64,
) -> Result<(), GateError> {
    let args = vec![to.into()];
    connection
        .run(&SCRIPTS.raise_account_mark, vec![key(ledger)], args)
        .await
        .map(drop)
}

fn key(ledger: LedgerId) -> Key {
    account_mark_key(ledger.tag())
}
