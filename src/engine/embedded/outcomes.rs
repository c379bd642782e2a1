//! Reads the recorded outcomes of attempts.

use std::collections::BTreeMap;

use diesel::{SqliteConnection, prelude::*};

use super::{
    schema::{orders, purchase_attempts},
    values::{attempt_id, bytes},
};
use crate::{
    engine::outcome,
    ids::{AttemptId, SaleId, UserId},
    port::Outcome,
    rules::settlement::Settled,
};

/// The recorded outcome of an attempt; `None` if the attempt is not settled.
pub(super) fn find(
    conn: &mut SqliteConnection,
    attempt: AttemptId,
) -> QueryResult<Option<Settled>> {
    let row = purchase_attempts::table
        .find(bytes(&attempt))
        .select((
            purchase_attempts::flash_sale_id,
            purchase_attempts::user_id,
            purchase_attempts::outcome,
        ))
        .first::<(i64, i64, String)>(conn)
        .optional()?;
    let Some((sale, user, stored)) = row else {
        return Ok(None);
    };
    // The attempt was refused because of this order.
    let by = if stored == "ALREADY_ORDERED" {
        ordered_by(conn, sale, user)?
    } else {
        None
    };
    let ended = stored == "ORDERED" && !has_order(conn, attempt)?;
    let identity = SaleId::new(sale).zip(UserId::new(user));
    Ok(identity.map(|(sale, user)| Settled {
        sale,
        user,
        outcome: outcome::from_sql(&stored, ended, by),
    }))
}

/// True if the attempt has an order with the status SUCCESS.
fn has_order(conn: &mut SqliteConnection, attempt: AttemptId) -> QueryResult<bool> {
    let order = orders::table
        .filter(orders::attempt_id.eq(bytes(&attempt)))
        .filter(orders::status.eq("SUCCESS"))
        .select(orders::flash_sale_id)
        .first::<i64>(conn)
        .optional()?;
    Ok(order.is_some())
}

/// A shopper's row in `orders` for one sale.
pub(super) enum OrderRow {
    /// An order that stands, and the attempt that made it.
    Stands(AttemptId),
    /// A row that was set to another status by hand.
    Ended,
}

/// The shopper's row in `orders` for this sale, if there is one.
pub(super) fn order_row(
    conn: &mut SqliteConnection,
    sale: i64,
    user: i64,
) -> QueryResult<Option<OrderRow>> {
    let row = orders::table
        .find((sale, user))
        .select((orders::status, orders::attempt_id))
        .first::<(String, Vec<u8>)>(conn)
        .optional()?;
    Ok(row.and_then(|(status, attempt)| match status.as_str() {
        "SUCCESS" => attempt_id(&attempt).map(OrderRow::Stands),
        _ => Some(OrderRow::Ended),
    }))
}

/// The attempt that made the shopper's order in a sale, if there is one.
fn ordered_by(conn: &mut SqliteConnection, sale: i64, user: i64) -> QueryResult<Option<AttemptId>> {
    Ok(match order_row(conn, sale, user)? {
        Some(OrderRow::Stands(attempt)) => Some(attempt),
        Some(OrderRow::Ended) | None => None,
    })
}

pub(super) fn read(
    conn: &mut SqliteConnection,
    attempts: &[AttemptId],
) -> QueryResult<BTreeMap<AttemptId, Outcome>> {
    let mut outcomes = BTreeMap::new();
    for attempt in attempts {
        if let Some(settled) = find(conn, *attempt)? {
            outcomes.insert(*attempt, settled.outcome);
        }
    }
    Ok(outcomes)
}
