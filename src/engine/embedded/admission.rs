//! When sales were open, from their earliest start to their latest end: where that is not known, every time of an attempt is taken.

use diesel::{QueryResult, SqliteConnection, prelude::*};

use super::schema::flash_sales;

/// Of all sales it is not known from now on. No trigger notes a window here, and no version goes up.
pub(super) fn forget(conn: &mut SqliteConnection) -> QueryResult<()> {
    diesel::update(flash_sales::table)
        .set((
            flash_sales::admitted_from.eq(None::<i64>),
            flash_sales::admitted_until.eq(None::<i64>),
        ))
        .execute(conn)
        .map(drop)
}
