//! Units on their way out of a sale: the rows of `stock_movements`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Integer, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{
    super::{PostgresLedger, Prepared},
    idempotency, log, record, sales,
};
use crate::{
    engine::{
        movement,
        number::{count, number, to_integer},
    },
    ids::SaleId,
    port::{
        ActionEntry, AdminError, LedgerError, Movement, MovementId, MovementMode, MovementState,
        Withdrawals,
    },
    rules::{action_log, lifecycle},
};

const PENDING: &str = "
    SELECT id, flash_sale_id, mode, requested, applied, state, requested_at FROM stock_movements
    WHERE flash_sale_id = ANY(?) AND state = 'PENDING' ORDER BY requested_at, id";

const UNLISTED: &str = "
    SELECT m.id, m.flash_sale_id, m.mode, m.requested, m.applied, m.state, m.requested_at
    FROM stock_movements m JOIN flash_sales s ON s.id = m.flash_sale_id
    WHERE m.state = 'PENDING' AND s.end_time <= ? ORDER BY m.requested_at, m.id LIMIT 100";

const FIND: &str = "
    SELECT id, flash_sale_id, mode, requested, applied, state, requested_at FROM stock_movements WHERE id = ANY(?)";

const INSERT: &str = "
    INSERT INTO stock_movements (id, flash_sale_id, mode, requested, action_id, requested_at) VALUES (?, ?, ?, ?, ?, ?)";

const LOCK_SALE: &str = "SELECT remaining_stock FROM flash_sales WHERE id = ? FOR NO KEY UPDATE";

/// Lowers `initial_stock`. A trigger lowers `remaining_stock` by the same number.
const LOWER: &str = "UPDATE flash_sales SET initial_stock = initial_stock - ? WHERE id = ?";

const CLOSE: &str = "
    UPDATE stock_movements SET state = ?, applied = ?, closed_at = now() WHERE id = ? AND state = 'PENDING'";

#[derive(QueryableByName)]
struct MovementRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    flash_sale_id: i64,
    #[diesel(sql_type = Text)]
    mode: String,
    #[diesel(sql_type = Integer)]
    requested: i32,
    #[diesel(sql_type = Integer)]
    applied: i32,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Timestamptz)]
    requested_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct RemainingRow {
    #[diesel(sql_type = Integer)]
    remaining_stock: i32,
}

#[async_trait]
impl Withdrawals for PostgresLedger {
    async fn pending_movements(&self, sales: &[SaleId]) -> Result<Vec<Movement>, LedgerError> {
        Ok(pending(&mut *self.pool.take().await?, sales).await?)
    }

    async fn unlisted_movements(&self, since: DateTime<Utc>) -> Result<Vec<Movement>, LedgerError> {
        Ok(unlisted(&mut *self.pool.take().await?, since).await?)
    }

    async fn movements(&self, ids: &[MovementId]) -> Result<Vec<Movement>, LedgerError> {
        Ok(find(&mut *self.pool.take().await?, ids).await?)
    }

    async fn close_withdrawal(
        &self,
        movement: MovementId,
        taken: u32,
    ) -> Result<Option<Movement>, LedgerError> {
        self.close_movement(movement, taken).await
    }
}

impl MovementRow {
    fn movement(self) -> Option<Movement> {
        Some(Movement {
            id: MovementId(self.id),
            sale: SaleId::new(self.flash_sale_id)?,
            mode: movement::mode_from_sql(&self.mode),
            requested: count(self.requested),
            applied: count(self.applied),
            state: movement::state_from_sql(&self.state),
            requested_at: self.requested_at,
        })
    }
}

pub(in super::super) async fn pending(
    conn: &mut AsyncPgConnection,
    sales: &[SaleId],
) -> QueryResult<Vec<Movement>> {
    let ids: Vec<i64> = sales.iter().map(|sale| sale.value()).collect();
    let rows: Vec<MovementRow> = Prepared::new(PENDING)
        .bind::<Array<BigInt>, _>(ids)
        .load(conn)
        .await?;
    Ok(rows.into_iter().filter_map(MovementRow::movement).collect())
}

pub(in super::super) async fn unlisted(
    conn: &mut AsyncPgConnection,
    since: DateTime<Utc>,
) -> QueryResult<Vec<Movement>> {
    let rows: Vec<MovementRow> = Prepared::new(UNLISTED)
        .bind::<Timestamptz, _>(since)
        .load(conn)
        .await?;
    Ok(rows.into_iter().filter_map(MovementRow::movement).collect())
}

pub(in super::super) async fn find(
    conn: &mut AsyncPgConnection,
    ids: &[MovementId],
) -> QueryResult<Vec<Movement>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<MovementRow> = Prepared::new(FIND)
        .bind::<Array<SqlUuid>, _>(ids)
        .load(conn)
        .await?;
    Ok(rows.into_iter().filter_map(MovementRow::movement).collect())
}

/// Within a transaction.
pub(super) async fn begin(
    conn: &mut AsyncPgConnection,
    sale: SaleId,
    units: u32,
    mode: MovementMode,
    entry: &ActionEntry,
) -> Result<Movement, AdminError> {
    idempotency::begin(conn, entry).await?;
    let record = sales::lock(conn, sale).await?;
    let pending = pending(conn, &[sale]).await?.len();
    let head = log::lock(conn).await?;
    lifecycle::withdraw(&record, units, pending, head.now)?;
    let begun = Movement {
        id: MovementId(Uuid::now_v7()),
        sale,
        mode,
        requested: units,
        applied: 0,
        state: MovementState::Pending,
        requested_at: head.now,
    };
    let action = record::record(conn, head, &action_log::begun_withdrawal(&begun), entry).await?;
    Prepared::new(INSERT)
        .bind::<SqlUuid, _>(begun.id.0)
        .bind::<BigInt, _>(sale.value())
        .bind::<Text, _>(movement::mode_to_sql(mode))
        .bind::<Integer, _>(to_integer(units))
        .bind::<BigInt, _>(action.0)
        .bind::<Timestamptz, _>(begun.requested_at)
        .execute(conn)
        .await?;
    Ok(begun)
}

/// Within a transaction.
pub(in super::super) async fn close(
    conn: &mut AsyncPgConnection,
    id: MovementId,
    taken: u32,
) -> Result<Option<Movement>, LedgerError> {
    let Some(found) = find(conn, &[id]).await?.pop() else {
        return Ok(None);
    };
    // Settling takes this lock, too. A sale that was deleted by hand has no units left to take.
    let sale: Option<RemainingRow> = Prepared::new(LOCK_SALE)
        .bind::<BigInt, _>(found.sale.value())
        .get_result(conn)
        .await
        .optional()?;
    // The movement is read under the lock, since another process may have closed it meanwhile.
    let Some(pending) = find(conn, &[id]).await?.pop() else {
        return Ok(None);
    };
    if pending.state != MovementState::Pending {
        return Ok(Some(pending));
    }
    let remaining = sale.map_or(0, |row| number(row.remaining_stock));
    let closed = movement::closed(&pending, taken, remaining);
    let applied = to_integer(closed.applied);
    Prepared::new(CLOSE)
        .bind::<Text, _>(movement::state_to_sql(closed.state))
        .bind::<Integer, _>(applied)
        .bind::<SqlUuid, _>(id.0)
        .execute(conn)
        .await?;
    if applied > 0 {
        Prepared::new(LOWER)
            .bind::<Integer, _>(applied)
            .bind::<BigInt, _>(closed.sale.value())
            .execute(conn)
            .await?;
    }
    let head = log::lock(conn).await?;
    let asked_by = log::of_movement(conn, id).await?;
    let change = action_log::closed_withdrawal(&pending, &closed);
    log::append(conn, head, &change, &asked_by).await?;
    Ok(Some(closed))
}
