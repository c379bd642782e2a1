//! Units on their way out of a sale: the rows of `stock_movements`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    SqliteConnection,
    prelude::*,
    sql_types::{BigInt, Binary, Text},
};
use uuid::Uuid;

use super::{
    super::{
        Prepared, SqliteLedger,
        schema::flash_sales,
        values::{millis, time},
    },
    idempotency, log, record, sales,
};
use crate::{
    engine::{
        movement,
        number::{count, number},
    },
    ids::SaleId,
    port::{
        ActionEntry, AdminError, LedgerError, Movement, MovementId, MovementMode, MovementState,
        Withdrawals,
    },
    rules::{action_log, lifecycle},
};

const PENDING: &str = "SELECT * FROM stock_movements WHERE flash_sale_id = ? AND state = 'PENDING' ORDER BY requested_at, id";

const UNLISTED: &str = "
    SELECT m.* FROM stock_movements m JOIN flash_sales s ON s.id = m.flash_sale_id
    WHERE m.state = 'PENDING' AND s.end_time <= ? ORDER BY m.requested_at, m.id LIMIT 100";

const FIND: &str = "SELECT * FROM stock_movements WHERE id = ?";

const INSERT: &str = "
    INSERT INTO stock_movements (id, flash_sale_id, mode, requested, action_id, requested_at) VALUES (?, ?, ?, ?, ?, ?)";

/// Both columns: SQLite checks that `remaining_stock` is not above `initial_stock` before a trigger can follow.
const LOWER: &str = "
    UPDATE flash_sales SET initial_stock = initial_stock - ?, remaining_stock = remaining_stock - ? WHERE id = ?";

const CLOSE: &str = "
    UPDATE stock_movements SET state = ?, applied = ?, closed_at = ? WHERE id = ? AND state = 'PENDING'";

#[derive(QueryableByName)]
struct MovementRow {
    #[diesel(sql_type = Binary)]
    id: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    flash_sale_id: i64,
    #[diesel(sql_type = Text)]
    mode: String,
    #[diesel(sql_type = BigInt)]
    requested: i64,
    #[diesel(sql_type = BigInt)]
    applied: i64,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = BigInt)]
    requested_at: i64,
}

#[async_trait]
impl Withdrawals for SqliteLedger {
    async fn pending_movements(&self, sales: &[SaleId]) -> Result<Vec<Movement>, LedgerError> {
        let sales = sales.to_vec();
        Ok(self.store.read(move |conn| pending(conn, &sales)).await?)
    }

    async fn unlisted_movements(&self, since: DateTime<Utc>) -> Result<Vec<Movement>, LedgerError> {
        Ok(self.store.read(move |conn| unlisted(conn, since)).await?)
    }

    async fn movements(&self, ids: &[MovementId]) -> Result<Vec<Movement>, LedgerError> {
        let ids = ids.to_vec();
        Ok(self
            .store
            .read(move |conn| {
                let mut found = Vec::new();
                for id in ids {
                    found.extend(find(conn, id)?);
                }
                Ok(found)
            })
            .await?)
    }

    async fn close_withdrawal(
        &self,
        movement: MovementId,
        taken: u32,
    ) -> Result<Option<Movement>, LedgerError> {
        let now = self.clock.now();
        self.write(move |conn| close(conn, movement, taken, now))
            .await
    }
}

impl MovementRow {
    fn movement(self) -> Option<Movement> {
        Some(Movement {
            id: MovementId(Uuid::from_slice(&self.id).ok()?),
            sale: SaleId::new(self.flash_sale_id)?,
            mode: movement::mode_from_sql(&self.mode),
            requested: count(self.requested),
            applied: count(self.applied),
            state: movement::state_from_sql(&self.state),
            requested_at: time(self.requested_at),
        })
    }
}

pub(in super::super) fn pending(
    conn: &mut SqliteConnection,
    sales: &[SaleId],
) -> QueryResult<Vec<Movement>> {
    let mut pending = Vec::new();
    for sale in sales {
        let rows: Vec<MovementRow> = Prepared::new(PENDING)
            .bind::<BigInt, _>(sale.value())
            .load(conn)?;
        pending.extend(rows.into_iter().filter_map(MovementRow::movement));
    }
    Ok(pending)
}

pub(in super::super) fn unlisted(
    conn: &mut SqliteConnection,
    since: DateTime<Utc>,
) -> QueryResult<Vec<Movement>> {
    let rows: Vec<MovementRow> = Prepared::new(UNLISTED)
        .bind::<BigInt, _>(millis(since))
        .load(conn)?;
    Ok(rows.into_iter().filter_map(MovementRow::movement).collect())
}

pub(in super::super) fn find(
    conn: &mut SqliteConnection,
    id: MovementId,
) -> QueryResult<Option<Movement>> {
    let row: Option<MovementRow> = Prepared::new(FIND)
        .bind::<Binary, _>(id.0.as_bytes().to_vec())
        .get_result(conn)
        .optional()?;
    Ok(row.and_then(MovementRow::movement))
}

pub(super) fn begin(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    (id, sale): (MovementId, SaleId),
    (units, mode): (u32, MovementMode),
    entry: &ActionEntry,
) -> Result<Movement, AdminError> {
    idempotency::begin(conn, now, entry)?;
    let sold = sales::find(conn, sale)?.ok_or(AdminError::NotFound)?;
    let pending = pending(conn, &[sale])?.len();
    lifecycle::withdraw(&sold, units, pending, now)?;
    let begun = Movement {
        id,
        sale,
        mode,
        requested: units,
        applied: 0,
        state: MovementState::Pending,
        requested_at: now,
    };
    let action = record(conn, now, &action_log::begun_withdrawal(&begun), entry)?;
    Prepared::new(INSERT)
        .bind::<Binary, _>(id.0.as_bytes().to_vec())
        .bind::<BigInt, _>(sale.value())
        .bind::<Text, _>(movement::mode_to_sql(mode))
        .bind::<BigInt, _>(i64::from(units))
        .bind::<BigInt, _>(action.0)
        .bind::<BigInt, _>(millis(now))
        .execute(conn)?;
    Ok(begun)
}

pub(in super::super) fn close(
    conn: &mut SqliteConnection,
    id: MovementId,
    taken: u32,
    now: DateTime<Utc>,
) -> QueryResult<Option<Movement>> {
    let Some(pending) = find(conn, id)? else {
        return Ok(None);
    };
    if pending.state != MovementState::Pending {
        return Ok(Some(pending));
    }
    // A sale that was deleted by hand has no units left to take.
    let remaining = flash_sales::table
        .find(pending.sale.value())
        .select(flash_sales::remaining_stock)
        .first::<i64>(conn)
        .optional()?;
    let closed = movement::closed(&pending, taken, remaining.map_or(0, number));
    let applied = i64::from(closed.applied);
    Prepared::new(CLOSE)
        .bind::<Text, _>(movement::state_to_sql(closed.state))
        .bind::<BigInt, _>(applied)
        .bind::<BigInt, _>(millis(now))
        .bind::<Binary, _>(id.0.as_bytes().to_vec())
        .execute(conn)?;
    if applied > 0 {
        Prepared::new(LOWER)
            .bind::<BigInt, _>(applied)
            .bind::<BigInt, _>(applied)
            .bind::<BigInt, _>(closed.sale.value())
            .execute(conn)?;
    }
    let asked_by = log::of_movement(conn, id)?;
    let change = action_log::closed_withdrawal(&pending, &closed);
    log::append(conn, now, &change, &asked_by)?;
    Ok(Some(closed))
}
