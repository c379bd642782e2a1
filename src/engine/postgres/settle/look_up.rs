//! What the ledger knows of attempts, under the locks of their sales.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{super::Prepared, columns::column};
use crate::{
    engine::{number::number, outcome, record},
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{Attempt, Outcome, SaleWindow, zip_answers},
    rules::settlement::{Known, KnownSale, Settled},
};

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

/// The facts on which the decision about these attempts relies, and the shoppers whose row has another status than SUCCESS.
pub(super) async fn look_up(
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
