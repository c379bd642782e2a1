//! Attempts of sales that are over: closed sale by sale, and removed page by page.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{SqliteConnection, prelude::*, sql_types::Binary};

use super::{
    super::{
        Prepared, SqliteLedger,
        schema::{flash_sales, purchase_attempts},
        values::{attempt_id, bytes, millis, time},
    },
    overwriting, record,
};
use crate::{
    ids::{AttemptId, SaleId},
    port::{ActionEntry, AdminError, AttemptRetention, LedgerError, RemovedPage},
    rules::action_log,
};

/// The attempts that came after a sale was closed, because its end was moved by hand, stay.
const REMOVE: &str = "
    DELETE FROM purchase_attempts WHERE attempt_id > ? AND attempt_id <= ? AND EXISTS (
        SELECT 1 FROM flash_sales s WHERE s.id = flash_sale_id
            AND (s.end_time <= s.attempts_removed_until OR attempted_at < s.attempts_removed_until))";

#[async_trait]
impl AttemptRetention for SqliteLedger {
    async fn sales_over(
        &self,
        ended_before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<SaleId>, LedgerError> {
        let over = move |conn: &mut SqliteConnection| over(conn, ended_before, limit);
        let rows = self.store.read(over).await?;
        Ok(rows.into_iter().map(|(sale, _)| sale).collect())
    }

    async fn close_attempts(
        &self,
        ended_before: DateTime<Utc>,
        limit: u32,
        entry: &ActionEntry,
    ) -> Result<Vec<SaleId>, AdminError> {
        self.change(entry, move |conn, now, entry| {
            let closed = over(conn, ended_before, limit)?;
            for (sale, ended_at) in &closed {
                diesel::update(flash_sales::table.find(sale.value()))
                    .set(flash_sales::attempts_removed_until.eq(millis(*ended_at)))
                    .execute(conn)?;
                let change = action_log::removed_attempts(*sale, *ended_at);
                record(conn, now, &change, entry)?;
            }
            Ok(closed.into_iter().map(|(sale, _)| sale).collect())
        })
        .await
    }

    async fn remove_attempts(
        &self,
        after: Option<AttemptId>,
        limit: u32,
    ) -> Result<RemovedPage, LedgerError> {
        self.write(move |conn| overwriting(conn, |conn| remove(conn, after, limit)))
            .await
    }
}

/// Sales with their ends, by id.
fn over(
    conn: &mut SqliteConnection,
    ended_before: DateTime<Utc>,
    limit: u32,
) -> QueryResult<Vec<(SaleId, DateTime<Utc>)>> {
    let until = flash_sales::attempts_removed_until;
    let rows = flash_sales::table
        .filter(flash_sales::state.ne("DRAFT"))
        .filter(flash_sales::end_time.lt(millis(ended_before)))
        .filter(
            until
                .is_null()
                .or(until.ne(flash_sales::end_time.nullable())),
        )
        .order(flash_sales::id)
        .limit(i64::from(limit))
        .select((flash_sales::id, flash_sales::end_time))
        .load::<(i64, i64)>(conn)?;
    let sale = |(id, end)| Some((SaleId::new(id)?, time(end)));
    Ok(rows.into_iter().filter_map(sale).collect())
}

fn remove(
    conn: &mut SqliteConnection,
    after: Option<AttemptId>,
    limit: u32,
) -> QueryResult<RemovedPage> {
    let after = after.map_or_else(Vec::new, |attempt| bytes(&attempt).to_vec());
    let page = purchase_attempts::table
        .filter(purchase_attempts::attempt_id.gt(&after))
        .order(purchase_attempts::attempt_id)
        .limit(i64::from(limit))
        .select(purchase_attempts::attempt_id)
        .load::<Vec<u8>>(conn)?;
    let Some(last) = page.last() else {
        return Ok(RemovedPage {
            removed: 0,
            last: None,
        });
    };
    let removed = Prepared::new(REMOVE)
        .bind::<Binary, _>(after)
        .bind::<Binary, _>(last.clone())
        .execute(conn)?;
    Ok(RemovedPage {
        removed: removed as u64,
        last: attempt_id(last),
    })
}
