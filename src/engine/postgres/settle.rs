//! Settles batches in one transaction, with a handful of statements however many attempts there are. `rules::settlement` decides
//! what becomes of each attempt; this module reads what it needs to know, and writes its decision down.
//!
//! For every writer alike, the triggers on `orders` take the units and check the rows that orders refer to. Here they never have
//! to refuse an order, because the decision is made under the lock on the sale's row.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    result::Error,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use uuid::Uuid;

use super::{
    PostgresLedger, Prepared, account_ids, admission,
    failure::{self, Retry},
    outcomes,
    watch::LastCode,
};
use crate::{
    engine::{number::number, outcome, record},
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        Attempt, LedgerError, Outcome, Position, SaleWindow, SettleBatch, SettleError, Settlement,
        Settling, zip_answers,
    },
    rules::settlement::{self, Fresh, Known, KnownSale, Settled},
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

/// Locks the sales. Every transaction locks them in the same order, so that batches queue up instead of deadlocking.
const LOCK_SALES: &str = "
    SELECT id, product_id, remaining_stock, admitted_from, admitted_until, attempts_removed_until
    FROM flash_sales WHERE id = ANY(?) ORDER BY id FOR NO KEY UPDATE";

/// Reads one row for each attempt, in order. It is a statement of its own after the lock, so that it sees what earlier holders of
/// the lock have committed.
///
/// Each attempt is looked up by itself. With a join of the whole batch, the server would read all orders ever made if the batch is
/// large.
const LOOK_UP: &str = "
    SELECT p.outcome, p.flash_sale_id, p.user_id, lost_to.attempt_id AS lost_to, o.attempt_id AS ordered_by,
        coalesce(o.status <> 'SUCCESS', false) AS in_the_way, coalesce(o.status = 'FAILED', false) AS failed,
        CASE WHEN p.outcome = 'ORDERED' THEN NOT EXISTS (
            SELECT FROM orders WHERE attempt_id = a.attempt_id AND status = 'SUCCESS') ELSE false END AS ended,
        u.id IS NOT NULL AS user_exists
    FROM unnest(?, ?, ?) WITH ORDINALITY AS a (attempt_id, flash_sale_id, user_id, place)
    LEFT JOIN LATERAL (
        SELECT outcome, flash_sale_id, user_id FROM purchase_attempts WHERE attempt_id = a.attempt_id LIMIT 1
    ) p ON true
    LEFT JOIN LATERAL (
        SELECT attempt_id FROM orders WHERE p.outcome = 'ALREADY_ORDERED'
            AND flash_sale_id = p.flash_sale_id AND user_id = p.user_id AND status = 'SUCCESS' LIMIT 1
    ) lost_to ON true
    LEFT JOIN LATERAL (
        SELECT attempt_id, status FROM orders WHERE flash_sale_id = a.flash_sale_id AND user_id = a.user_id LIMIT 1
    ) o ON true
    LEFT JOIN LATERAL (SELECT id FROM users WHERE id = a.user_id LIMIT 1) u ON true
    ORDER BY a.place";

/// A shopper has one row a sale. One that was set to another status by hand makes room for the new order.
const MAKE_ROOM: &str = "
    DELETE FROM orders o USING unnest(?, ?) AS n (flash_sale_id, user_id)
    WHERE o.flash_sale_id = n.flash_sale_id AND o.user_id = n.user_id AND o.status <> 'SUCCESS'";

const INSERT_ORDERS: &str = "
    INSERT INTO orders (id, user_id, product_id, flash_sale_id, status, attempt_id)
    SELECT id, user_id, product_id, flash_sale_id, 'SUCCESS', attempt_id
    FROM unnest(?, ?, ?, ?, ?) AS o (id, user_id, product_id, flash_sale_id, attempt_id)";

const RECORD_ATTEMPTS: &str = "
    INSERT INTO purchase_attempts
        (topic, attempt_id, flash_sale_id, user_id, product_id, attempted_at, outcome, cause, partition)
    SELECT ?, attempt_id, flash_sale_id, user_id, product_id, attempted_at, outcome, cause, partition
    FROM unnest(?, ?, ?, ?, ?, ?, ?, ?)
        AS a (attempt_id, flash_sale_id, user_id, product_id, attempted_at, outcome, cause, partition)";

#[derive(QueryableByName)]
struct SaleRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = Integer)]
    remaining_stock: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    admitted_from: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    admitted_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    attempts_removed_until: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
#[allow(clippy::struct_excessive_bools)] // a row of a query
struct KnownRow {
    #[diesel(sql_type = Nullable<Text>)]
    outcome: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    flash_sale_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    user_id: Option<i64>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    lost_to: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    ordered_by: Option<Uuid>,
    /// The shopper's row in this sale has another status than SUCCESS: no order stands, and a new order takes the place of the
    /// row.
    #[diesel(sql_type = Bool)]
    in_the_way: bool,
    /// The status of the shopper's row is FAILED.
    #[diesel(sql_type = Bool)]
    failed: bool,
    /// The order of the attempt has ended.
    #[diesel(sql_type = Bool)]
    ended: bool,
    #[diesel(sql_type = Bool)]
    user_exists: bool,
}

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

/// The facts on which the decision about these attempts relies, and the shoppers whose row has another status than SUCCESS.
async fn look_up(
    conn: &mut AsyncPgConnection,
    attempts: &[Attempt],
) -> QueryResult<(Known, BTreeSet<(SaleId, UserId)>)> {
    let sale_ids: BTreeSet<i64> = attempts
        .iter()
        .map(|attempt| attempt.sale.value())
        .collect();
    let sales: Vec<SaleRow> = Prepared::new(LOCK_SALES)
        .bind::<Array<BigInt>, _>(Vec::from_iter(sale_ids))
        .load(conn)
        .await?;
    let rows: Vec<KnownRow> = Prepared::new(LOOK_UP)
        .bind::<Array<SqlUuid>, _>(column(attempts, |attempt| attempt.id.0))
        .bind::<Array<BigInt>, _>(column(attempts, |attempt| attempt.sale.value()))
        .bind::<Array<BigInt>, _>(column(attempts, |attempt| attempt.user.value()))
        .load(conn)
        .await?;

    let mut known = Known {
        sales: sales.iter().filter_map(known_sale).collect(),
        ..Known::default()
    };
    let mut in_the_way = BTreeSet::new();
    for (attempt, row) in zip_answers(attempts, rows) {
        if row.user_exists {
            known.users.insert(attempt.user);
        }
        if row.in_the_way {
            in_the_way.insert((attempt.sale, attempt.user));
        } else if let Some(by) = row.ordered_by {
            known
                .orders
                .insert((attempt.sale, attempt.user), AttemptId(by));
        }
        let identity = (
            row.flash_sale_id.and_then(SaleId::new),
            row.user_id.and_then(UserId::new),
        );
        if let (Some(stored), (Some(sale), Some(user))) = (row.outcome, identity) {
            let outcome = outcome::from_sql(&stored, row.ended, row.lost_to.map(AttemptId));
            known.settled.insert(
                attempt.id,
                Settled {
                    sale,
                    user,
                    outcome,
                },
            );
        } else if row.failed && record::is_without_id(attempt) {
            // The original service logged this attempt and told its shopper FAILED. After that, the attempt must get no order.
            let settled = Settled {
                sale: attempt.sale,
                user: attempt.user,
                outcome: Outcome::SoldOut,
            };
            known.settled.insert(attempt.id, settled);
        }
    }
    Ok((known, in_the_way))
}

fn known_sale(row: &SaleRow) -> Option<(SaleId, KnownSale)> {
    let product = ProductId::new(row.product_id)?;
    let admitted = row
        .admitted_from
        .zip(row.admitted_until)
        .map(|(start, end)| SaleWindow { start, end });
    Some((
        SaleId::new(row.id)?,
        KnownSale {
            product,
            remaining: number(row.remaining_stock),
            admitted,
            attempts_removed_until: row.attempts_removed_until,
        },
    ))
}

async fn make_room(
    conn: &mut AsyncPgConnection,
    orders: &[Attempt],
    in_the_way: &BTreeSet<(SaleId, UserId)>,
) -> QueryResult<()> {
    if in_the_way.is_empty() {
        return Ok(());
    }
    let mut replaced = orders.to_vec();
    replaced.retain(|order| in_the_way.contains(&(order.sale, order.user)));
    if replaced.is_empty() {
        return Ok(());
    }
    Prepared::new(MAKE_ROOM)
        .bind::<Array<BigInt>, _>(column(&replaced, |order| order.sale.value()))
        .bind::<Array<BigInt>, _>(column(&replaced, |order| order.user.value()))
        .execute(conn)
        .await
        .map(drop)
}

async fn write_orders(conn: &mut AsyncPgConnection, orders: &[Attempt]) -> QueryResult<()> {
    if orders.is_empty() {
        return Ok(());
    }
    Prepared::new(INSERT_ORDERS)
        .bind::<Array<SqlUuid>, _>(column(orders, |_| Uuid::now_v7()))
        .bind::<Array<BigInt>, _>(column(orders, |attempt| attempt.user.value()))
        .bind::<Array<BigInt>, _>(column(orders, |attempt| attempt.product.value()))
        .bind::<Array<BigInt>, _>(column(orders, |attempt| attempt.sale.value()))
        .bind::<Array<SqlUuid>, _>(column(orders, |attempt| attempt.id.0))
        .execute(conn)
        .await?;
    Ok(())
}

async fn write_attempts(
    conn: &mut AsyncPgConnection,
    topic: &str,
    mut fresh: Vec<Fresh>,
) -> QueryResult<()> {
    if fresh.is_empty() {
        return Ok(());
    }
    // The attempts are written in the order of their ids, so that two transactions with the same attempts wait for each other
    // instead of deadlocking.
    fresh.sort_unstable_by_key(|fresh| fresh.settlement.attempt.id);
    let attempt = |fresh: &Fresh| fresh.settlement.attempt;
    Prepared::new(RECORD_ATTEMPTS)
        .bind::<Text, _>(topic.to_owned())
        .bind::<Array<SqlUuid>, _>(column(&fresh, |fresh| attempt(fresh).id.0))
        .bind::<Array<BigInt>, _>(column(&fresh, |fresh| attempt(fresh).sale.value()))
        .bind::<Array<BigInt>, _>(column(&fresh, |fresh| attempt(fresh).user.value()))
        .bind::<Array<BigInt>, _>(column(&fresh, |fresh| attempt(fresh).product.value()))
        .bind::<Array<Timestamptz>, _>(column::<_, DateTime<Utc>>(&fresh, |fresh| {
            attempt(fresh).at
        }))
        .bind::<Array<Text>, _>(column(&fresh, |fresh| {
            outcome::to_sql(fresh.settlement.outcome)
        }))
        .bind::<Array<Nullable<Text>>, _>(column(&fresh, |fresh| {
            fresh.cause.as_ref().map(|cause| cause.replace('\0', " "))
        }))
        .bind::<Array<Integer>, _>(column(&fresh, |fresh| fresh.partition.0))
        .execute(conn)
        .await?;
    Ok(())
}

/// One column of rows to be unnested.
fn column<R, T>(rows: &[R], cell: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(cell).collect()
}
