//! The admission windows of sales, each from a sale's earliest start to its latest end. While a sale has none, settling accepts
//! attempts of every time.

use diesel::{QueryResult, SqliteConnection, prelude::*};

use super::schema::flash_sales;

/// Deletes the admission windows of all sales, but for the empty one of a sale that was cancelled while it was a draft: nothing can
/// have made it LIVE. The update fires no trigger that sets a window, and raises no version.
pub(super) fn forget(conn: &mut SqliteConnection) -> QueryResult<()> {
    diesel::update(flash_sales::table)
        .filter(
            flash_sales::state
                .ne("CANCELLED")
                .or(flash_sales::admitted_from.le(flash_sales::admitted_until)),
        )
        .set((
            flash_sales::admitted_from.eq(None::<i64>),
            flash_sales::admitted_until.eq(None::<i64>),
        ))
        .execute(conn)
        .map(drop)
}
