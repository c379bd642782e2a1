//! The admission windows of sales, each from a sale's earliest start to its latest end. While a sale has none, settling accepts
//! attempts of every time.

use diesel::{QueryResult, SqliteConnection, prelude::*};

use super::schema::flash_sales;

/// Deletes the admission windows of all sales. The update fires no trigger that sets a window, and raises no version.
pub(super) fn forget(conn: &mut SqliteConnection) -> QueryResult<()> {
    diesel::update(flash_sales::table)
        .set((
            flash_sales::admitted_from.eq(None::<i64>),
            flash_sales::admitted_until.eq(None::<i64>),
        ))
        .execute(conn)
        .map(drop)
}
