//! The admission windows of sales, each from a sale's earliest start to its latest end. While a sale has none, settling accepts
//! attempts of every time.

use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Prepared;

/// The empty window of a sale that was cancelled while it was a draft stays: nothing can have made it LIVE.
///
/// Locks the sales in the same order as settling does, to avoid deadlocks. The update fires no trigger that sets a window, and
/// raises no version.
const FORGET: &str = "
    WITH known AS MATERIALIZED (
        SELECT id FROM flash_sales WHERE (admitted_from IS NOT NULL OR admitted_until IS NOT NULL)
            AND NOT (state = 'CANCELLED' AND (admitted_from > admitted_until) IS TRUE)
        ORDER BY id FOR NO KEY UPDATE)
    UPDATE flash_sales s SET admitted_from = NULL, admitted_until = NULL FROM known WHERE s.id = known.id";

/// Deletes the admission windows of all sales.
pub(super) async fn forget(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    Prepared::new(FORGET).execute(conn).await.map(drop)
}
