//! Settles batches in one transaction, with a handful of statements however many attempts there are. `rules::settlement` decides
//! what becomes of each attempt; this module reads what it needs to know, and writes its decision down.
//!
//! For every writer alike, the triggers on `orders` take the units and check the rows that orders refer to. Here they never have
//! to refuse an order, because the decision is made under the lock on the sale's row.

mod columns;
mod look_up;
mod write;

use std::collections::BTreeMap;

use async_trait::async_trait;
use diesel::{
    QueryResult,
    result::Error,
    sql_types::{Array, BigInt, Integer, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use self::{
    columns::column,
    look_up::look_up,
    write::{make_room, write_attempts, write_orders},
};
use super::{
    PostgresLedger, Prepared, account_ids, admission,
    failure::{self, Retry},
    outcomes,
    watch::LastCode,
};
use crate::{
    ids::AttemptId,
    port::{LedgerError, Outcome, Position, SettleBatch, SettleError, Settlement, Settling},
    rules::settlement,
};

/// Highest number of tries of batches that fail because of other writers.
const TRIES: u32 = 5;

/// Moves the offsets of the partitions whose offsets are those that the worker expects. This fences out any other worker: the
/// second one waits for the row, and then finds that the offset was moved. Rows are locked in the order of `leases`.
const MOVE_OFFSETS: &str = "
    WITH held AS MATERIALIZED (
        SELECT partition FROM consumer_partitions WHERE group_name = ? AND topic = ? AND partition = ANY(?)
        ORDER BY partition FOR NO KEY UPDATE)
    UPDATE consumer_partitions p
    SET next_offset = m.to_offset, last_attempt_id = m.last, updated_at = now()
    FROM held JOIN unnest(?, ?, ?, ?) AS m (partition, from_offset, to_offset, last) USING (partition)
    WHERE p.group_name = ? AND p.topic = ? AND p.partition = held.partition AND p.next_offset = m.from_offset";

/// Why a transaction was rolled back.
enum Undone {
    Settle(SettleError),
    Sql(Error),
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

impl Undone {
    /// True if another writer changed the rows that the decision relied on. A new try takes the new rows into account.
    fn is_worth_another_try(&self, code: &LastCode) -> bool {
        match self {
            Self::Sql(Error::DatabaseError(..)) => code
                .get()
                .is_some_and(|code| failure::effect(code).retry == Retry::AtOnce),
            Self::Settle(_) | Self::Sql(_) => false,
        }
    }
}

#[async_trait]
impl Settling for PostgresLedger {
    async fn forget_admission_windows(&self) -> Result<(), LedgerError> {
        Ok(admission::forget(&mut *self.pool.take().await?).await?)
    }

    async fn settle(&self, batches: &[SettleBatch]) -> Result<Vec<Vec<Settlement>>, SettleError> {
        let mut session = self.pool.take().await?;
        let code = session.code();
        settle(
            &mut session,
            &code,
            self.pool.transaction_settings(),
            batches,
        )
        .await
    }

    async fn outcomes(
        &self,
        attempts: &[AttemptId],
    ) -> Result<BTreeMap<AttemptId, Outcome>, LedgerError> {
        Ok(outcomes::read(&mut *self.pool.take().await?, attempts).await?)
    }
}

pub(super) async fn settle(
    conn: &mut AsyncPgConnection,
    code: &LastCode,
    settings: Option<&str>,
    batches: &[SettleBatch],
) -> Result<Vec<Vec<Settlement>>, SettleError> {
    let mut tries = 1;
    loop {
        code.clear();
        let undone = match attempt_once(conn, settings, batches).await {
            Ok(settlements) => return Ok(settlements),
            Err(undone) => undone,
        };
        if tries == TRIES || !undone.is_worth_another_try(code) {
            return Err(match undone {
                Undone::Settle(error) => error,
                Undone::Sql(error) => LedgerError(error.to_string()).into(),
            });
        }
        tries += 1;
    }
}

async fn attempt_once(
    conn: &mut AsyncPgConnection,
    settings: Option<&str>,
    batches: &[SettleBatch],
) -> Result<Vec<Vec<Settlement>>, Undone> {
    let Some(SettleBatch { position, .. }) = batches.first() else {
        return Ok(Vec::new());
    };
    // The look-up after the lock must see more than the lock did, whatever the server's default isolation is.
    conn.build_transaction()
        .read_committed()
        .run(async |conn| {
            if let Some(settings) = settings {
                conn.batch_execute(settings).await?;
            }
            if !move_offsets(conn, position, batches).await? {
                return Err(Undone::Settle(SettleError::Fenced));
            }
            let attempts = settlement::attempts_of(batches);
            if attempts.is_empty() {
                return Ok(vec![Vec::new(); batches.len()]);
            }
            let (known, in_the_way) = look_up(conn, &attempts).await?;
            let decision = settlement::decide(batches, known)
                .map_err(|causes| Undone::Settle(SettleError::Unsettleable(causes)))?;
            make_room(conn, &decision.orders, &in_the_way).await?;
            write_orders(conn, &decision.orders).await?;
            if let Some(reached) = settlement::reached_before_set_back(batches, &decision) {
                account_ids::raise(conn, reached.value()).await?;
            }
            write_attempts(conn, &position.topic, decision.fresh).await?;
            Ok(decision.settlements)
        })
        .await
}

/// True if the offsets of all partitions were those that the worker expects. `log` is any position in the log that the batches
/// share.
async fn move_offsets(
    conn: &mut AsyncPgConnection,
    log: &Position,
    batches: &[SettleBatch],
) -> QueryResult<bool> {
    let partitions = column(batches, |batch| batch.position.partition.0);
    let moved = Prepared::new(MOVE_OFFSETS)
        .bind::<Text, _>(log.group.clone())
        .bind::<Text, _>(log.topic.clone())
        .bind::<Array<Integer>, _>(partitions.clone())
        .bind::<Array<Integer>, _>(partitions)
        .bind::<Array<BigInt>, _>(column(batches, |batch| batch.from.0))
        .bind::<Array<BigInt>, _>(column(batches, |batch| batch.to.0))
        .bind::<Array<Nullable<SqlUuid>>, _>(column(batches, |batch| {
            batch.last.map(|attempt| attempt.0)
        }))
        .bind::<Text, _>(log.group.clone())
        .bind::<Text, _>(log.topic.clone())
        .execute(conn)
        .await?;
    Ok(moved == batches.len())
}
