//! Settling a batch: one transaction, and never a statement for each order.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult, QueryableByName,
    result::{DatabaseErrorKind, Error},
    sql_query,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{
    leases,
    sales::{positive, units},
};
use crate::{
    ids::{AttemptId, SaleId},
    order::settlement::{Decision, Known, Stock, decide},
    port::{Attempt, LedgerError, Outcome, Position, SettleBatch, SettleError, Settlement},
};

/// Why a transaction was rolled back.
pub(super) enum Failure {
    Settle(SettleError),
    /// PostgreSQL ended this transaction so that another one could go on.
    Deadlock,
    Database(Error),
}

#[derive(QueryableByName)]
struct StockRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = Integer)]
    remaining_stock: i32,
}

#[derive(QueryableByName)]
struct KnownRow {
    #[diesel(sql_type = Nullable<Text>)]
    outcome: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    ordered_by: Option<Uuid>,
    #[diesel(sql_type = Bool)]
    user_exists: bool,
}

#[derive(QueryableByName)]
struct OutcomeRow {
    #[diesel(sql_type = SqlUuid)]
    attempt_id: Uuid,
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    ordered_by: Option<Uuid>,
}

/// Settles a batch, or nothing of it.
pub(super) async fn settle(
    connection: &mut AsyncPgConnection,
    batch: &SettleBatch<'_>,
) -> Result<Vec<Settlement>, Failure> {
    connection
        .transaction(async |connection| {
            // First, so that a fenced-out worker waits for nothing else.
            if !leases::reposition(connection, batch.position, batch.from, batch.to, batch.last)
                .await?
            {
                return Err(Failure::Settle(SettleError::Fenced));
            }
            if batch.attempts.is_empty() {
                return Ok(Vec::new());
            }
            let stocks = lock_sales(connection, batch.attempts).await?;
            // After the lock: now everything is visible that other workers settled of these sales.
            let known = known(connection, batch.attempts).await?;
            let decision = decide(batch.attempts, &known, &stocks, batch.rejected)
                .map_err(|flaws| Failure::Settle(SettleError::Unsettleable(flaws)))?;
            take_units(connection, &decision).await?;
            insert_orders(connection, &decision).await?;
            insert_attempts(connection, batch.position, &decision).await?;
            Ok(decision.settlements)
        })
        .await
}

/// The outcomes of attempts that are settled.
pub(super) async fn outcomes(
    connection: &mut AsyncPgConnection,
    attempts: &[Uuid],
) -> QueryResult<BTreeMap<AttemptId, Outcome>> {
    let rows = sql_query(
        "SELECT a.attempt_id, a.outcome, o.attempt_id AS ordered_by FROM purchase_attempts a \
         LEFT JOIN orders o ON o.flash_sale_id = a.flash_sale_id AND o.user_id = a.user_id \
         WHERE a.attempt_id = ANY($1)",
    )
    .bind::<Array<SqlUuid>, _>(attempts)
    .load::<OutcomeRow>(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok((
                AttemptId(row.attempt_id),
                outcome(&row.outcome, row.ordered_by)?,
            ))
        })
        .collect()
}

/// Locks the sales of a batch until the transaction ends, in the order of their ids, so that batches with the same sales
/// wait for each other instead of running into a deadlock.
async fn lock_sales(
    connection: &mut AsyncPgConnection,
    attempts: &[Attempt],
) -> QueryResult<BTreeMap<SaleId, Stock>> {
    let mut sales: Vec<i64> = attempts
        .iter()
        .map(|attempt| attempt.sale.value())
        .collect();
    sales.sort_unstable();
    sales.dedup();
    let rows = sql_query(
        "SELECT id, product_id, remaining_stock FROM flash_sales WHERE id = ANY($1) ORDER BY id FOR UPDATE",
    )
    .bind::<Array<BigInt>, _>(sales)
    .load::<StockRow>(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let stock = Stock {
                product: positive(row.product_id)?,
                remaining: units(row.remaining_stock),
            };
            Ok((positive(row.id)?, stock))
        })
        .collect()
}

/// What the ledger knows about each attempt, in their order.
async fn known(
    connection: &mut AsyncPgConnection,
    attempts: &[Attempt],
) -> QueryResult<Vec<Known>> {
    let rows = sql_query(
        "SELECT a.outcome, o.attempt_id AS ordered_by, u.id IS NOT NULL AS user_exists \
         FROM unnest($1, $2, $3) WITH ORDINALITY AS i (attempt_id, sale_id, user_id, place) \
         LEFT JOIN purchase_attempts a ON a.attempt_id = i.attempt_id \
         LEFT JOIN orders o ON o.flash_sale_id = i.sale_id AND o.user_id = i.user_id \
         LEFT JOIN users u ON u.id = i.user_id \
         ORDER BY i.place",
    )
    .bind::<Array<SqlUuid>, _>(
        attempts
            .iter()
            .map(|attempt| attempt.id.0)
            .collect::<Vec<_>>(),
    )
    .bind::<Array<BigInt>, _>(
        attempts
            .iter()
            .map(|attempt| attempt.sale.value())
            .collect::<Vec<_>>(),
    )
    .bind::<Array<BigInt>, _>(
        attempts
            .iter()
            .map(|attempt| attempt.user.value())
            .collect::<Vec<_>>(),
    )
    .load::<KnownRow>(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let earlier = row
                .outcome
                .map(|earlier| outcome(&earlier, row.ordered_by))
                .transpose()?;
            Ok(Known {
                earlier,
                order: row.ordered_by.map(AttemptId),
                user_exists: row.user_exists,
            })
        })
        .collect()
}

/// Takes units, if they are there.
async fn take_units(connection: &mut AsyncPgConnection, decision: &Decision) -> QueryResult<()> {
    if decision.taken.is_empty() {
        return Ok(());
    }
    let taken = sql_query(
        "UPDATE flash_sales s SET remaining_stock = s.remaining_stock - t.units, updated_at = now() \
         FROM unnest($1, $2) AS t (id, units) WHERE s.id = t.id AND s.remaining_stock >= t.units",
    )
    .bind::<Array<BigInt>, _>(decision.taken.keys().map(|sale| sale.value()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(
        decision.taken.values().map(|units| i64::try_from(*units).unwrap_or(i64::MAX)).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    if taken == decision.taken.len() {
        Ok(())
    } else {
        // The sales are locked, so this cannot be; if it is, nothing of the batch may stand.
        Err(Error::RollbackTransaction)
    }
}

async fn insert_orders(connection: &mut AsyncPgConnection, decision: &Decision) -> QueryResult<()> {
    let orders: Vec<_> = decision
        .new
        .iter()
        .filter(|new| new.outcome == Outcome::Ordered)
        .map(|new| new.attempt)
        .collect();
    if orders.is_empty() {
        return Ok(());
    }
    sql_query(
        "INSERT INTO orders (attempt_id, flash_sale_id, product_id, user_id, status) \
         SELECT attempt_id, sale_id, product_id, user_id, 'SUCCESS' \
         FROM unnest($1, $2, $3, $4) AS i (attempt_id, sale_id, product_id, user_id)",
    )
    .bind::<Array<SqlUuid>, _>(orders.iter().map(|order| order.id.0).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(
        orders
            .iter()
            .map(|order| order.sale.value())
            .collect::<Vec<_>>(),
    )
    .bind::<Array<BigInt>, _>(
        orders
            .iter()
            .map(|order| order.product.value())
            .collect::<Vec<_>>(),
    )
    .bind::<Array<BigInt>, _>(
        orders
            .iter()
            .map(|order| order.user.value())
            .collect::<Vec<_>>(),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

async fn insert_attempts(
    connection: &mut AsyncPgConnection,
    position: &Position,
    decision: &Decision,
) -> QueryResult<()> {
    let new = &decision.new;
    if new.is_empty() {
        return Ok(());
    }
    sql_query(
        "INSERT INTO purchase_attempts \
             (attempt_id, flash_sale_id, product_id, user_id, attempted_at, outcome, topic, partition) \
         SELECT attempt_id, sale_id, product_id, user_id, attempted_at, outcome, $7, $8 \
         FROM unnest($1, $2, $3, $4, $5, $6) AS i (attempt_id, sale_id, product_id, user_id, attempted_at, outcome)",
    )
    .bind::<Array<SqlUuid>, _>(new.iter().map(|new| new.attempt.id.0).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(new.iter().map(|new| new.attempt.sale.value()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(new.iter().map(|new| new.attempt.product.value()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(new.iter().map(|new| new.attempt.user.value()).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(new.iter().map(|new| new.attempt.at).collect::<Vec<DateTime<Utc>>>())
    .bind::<Array<Text>, _>(new.iter().map(|new| name(new.outcome)).collect::<Vec<_>>())
    .bind::<Text, _>(&position.topic)
    .bind::<Integer, _>(position.partition.0)
    .execute(connection)
    .await
    .map(|_| ())
}

/// An outcome as the table has it.
fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ordered => "ORDERED",
        Outcome::SoldOut => "SOLD_OUT",
        Outcome::AlreadyOrdered { .. } => "ALREADY_ORDERED",
        Outcome::Rejected => "REJECTED",
    }
}

fn outcome(name: &str, ordered_by: Option<Uuid>) -> QueryResult<Outcome> {
    match (name, ordered_by) {
        ("ORDERED", _) => Ok(Outcome::Ordered),
        ("SOLD_OUT", _) => Ok(Outcome::SoldOut),
        ("ALREADY_ORDERED", Some(by)) => Ok(Outcome::AlreadyOrdered { by: AttemptId(by) }),
        ("REJECTED", _) => Ok(Outcome::Rejected),
        _ => Err(Error::DeserializationError(
            format!("{name} is not an outcome, or its order is gone").into(),
        )),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            // diesel has no kind of its own for deadlocks: PostgreSQL's words, which do not depend on the locale here.
            Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => Self::Deadlock,
            Error::DatabaseError(_, details) if details.message().contains("deadlock detected") => {
                Self::Deadlock
            }
            _ => Self::Database(error),
        }
    }
}

impl From<Failure> for SettleError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Settle(error) => error,
            Failure::Deadlock => LedgerError("deadlocks, again and again".to_owned()).into(),
            Failure::Database(error) => LedgerError(error.to_string()).into(),
        }
    }
}
