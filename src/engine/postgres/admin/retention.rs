//! Attempts of sales that are over: closed sale by sale, and removed page by page.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    QueryResult,
    deserialize::QueryableByName,
    sql_types::{BigInt, Nullable, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{
    super::{PostgresLedger, Prepared},
    log, record,
    transaction::{self, transaction},
};
use crate::{
    engine::number::number,
    ids::{AttemptId, SaleId},
    port::{ActionEntry, AdminError, AttemptRetention, LedgerError, RemovedPage},
    rules::action_log,
};

/// Sales that are over and not closed: their conditions, order and limit.
macro_rules! over {
    () => {
        "SELECT id, end_time FROM flash_sales
        WHERE state <> 'DRAFT' AND end_time < ? AND attempts_removed_until IS DISTINCT FROM end_time
        ORDER BY id LIMIT ?"
    };
}

const OVER: &str = over!();

/// Locks as settling does, in its order.
const CLOSE: &str = concat!(
    "WITH over AS MATERIALIZED (",
    over!(),
    " FOR NO KEY UPDATE)
    UPDATE flash_sales s SET attempts_removed_until = s.end_time FROM over WHERE s.id = over.id
    RETURNING s.id, s.end_time"
);

/// The attempts that came after a sale was closed, because its end was moved by hand, stay.
const REMOVE: &str = "
    WITH page AS MATERIALIZED (
        SELECT attempt_id, flash_sale_id, attempted_at FROM purchase_attempts WHERE attempt_id > ?
        ORDER BY attempt_id LIMIT ?),
    gone AS (
        DELETE FROM purchase_attempts p USING page, flash_sales s
        WHERE p.attempt_id = page.attempt_id AND s.id = page.flash_sale_id
            AND (s.end_time <= s.attempts_removed_until OR page.attempted_at < s.attempts_removed_until)
        RETURNING p.attempt_id)
    SELECT (SELECT attempt_id FROM page ORDER BY attempt_id DESC LIMIT 1) AS last, (SELECT count(*) FROM gone) AS removed";

#[derive(QueryableByName)]
struct SaleRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Timestamptz)]
    end_time: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct PageRow {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    last: Option<Uuid>,
    #[diesel(sql_type = BigInt)]
    removed: i64,
}

#[async_trait]
impl AttemptRetention for PostgresLedger {
    async fn sales_over(
        &self,
        ended_before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<SaleId>, LedgerError> {
        let rows = sales(&mut *self.pool.take().await?, OVER, ended_before, limit).await?;
        Ok(rows.into_iter().map(|(sale, _)| sale).collect())
    }

    async fn close_attempts(
        &self,
        ended_before: DateTime<Utc>,
        limit: u32,
        entry: &ActionEntry,
    ) -> Result<Vec<SaleId>, AdminError> {
        transaction!(self.pool, |conn| close(conn, ended_before, limit, entry))
    }

    async fn remove_attempts(
        &self,
        after: Option<AttemptId>,
        limit: u32,
    ) -> Result<RemovedPage, LedgerError> {
        let row: PageRow = Prepared::new(REMOVE)
            .bind::<SqlUuid, _>(after.map_or(Uuid::nil(), |attempt| attempt.0))
            .bind::<BigInt, _>(i64::from(limit))
            .get_result(&mut *self.pool.take().await?)
            .await?;
        Ok(RemovedPage {
            removed: number(row.removed),
            last: row.last.map(AttemptId),
        })
    }
}

/// Sales with their ends.
async fn sales(
    conn: &mut AsyncPgConnection,
    query: &'static str,
    ended_before: DateTime<Utc>,
    limit: u32,
) -> QueryResult<Vec<(SaleId, DateTime<Utc>)>> {
    let rows: Vec<SaleRow> = Prepared::new(query)
        .bind::<Timestamptz, _>(ended_before)
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)
        .await?;
    let sale = |row: SaleRow| Some((SaleId::new(row.id)?, row.end_time));
    Ok(rows.into_iter().filter_map(sale).collect())
}

/// Within a transaction.
async fn close(
    conn: &mut AsyncPgConnection,
    ended_before: DateTime<Utc>,
    limit: u32,
    entry: &ActionEntry,
) -> Result<Vec<SaleId>, AdminError> {
    let mut closed = sales(conn, CLOSE, ended_before, limit).await?;
    closed.sort_unstable();
    for (sale, ended_at) in &closed {
        let head = log::lock(conn).await?;
        let change = action_log::removed_attempts(*sale, *ended_at);
        record(conn, head, &change, entry).await?;
    }
    Ok(closed.into_iter().map(|(sale, _)| sale).collect())
}
