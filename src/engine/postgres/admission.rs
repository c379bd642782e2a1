//! When sales were open, from their earliest start to their latest end: where that is not known, every time of an attempt is taken.

use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Prepared;

/// Locks the sales in the order in which settling does. No trigger notes a window here, and no version goes up.
const FORGET: &str = "
    WITH known AS MATERIALIZED (
        SELECT id FROM flash_sales WHERE admitted_from IS NOT NULL OR admitted_until IS NOT NULL
        ORDER BY id FOR NO KEY UPDATE)
    UPDATE flash_sales s SET admitted_from = NULL, admitted_until = NULL FROM known WHERE s.id = known.id";

/// Of all sales it is not known from now on.
pub(super) async fn forget(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    Prepared::new(FORGET).execute(conn).await.map(drop)
}
