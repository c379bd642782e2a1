//! Recognises a database of the original service.

use diesel::{QueryableByName, sql_types::Bool};
use diesel_async::RunQueryDsl;

use super::super::{Prepared, session::Session};

/// Recognises the original's tables by the column `start_at`, which is called `start_time` in ours.
const IS_ORIGINAL: &str = "
    SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('flash_sales') AND attname = 'start_at')
        AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('orders') AND attname = 'sale_id') AS there";

/// True if a connection is to a database of the original service.
pub(in super::super) async fn is_original(session: &mut Session) -> diesel::QueryResult<bool> {
    let row: ThereRow = Prepared::new(IS_ORIGINAL).get_result(session).await?;
    Ok(row.there)
}

#[derive(QueryableByName)]
struct ThereRow {
    #[diesel(sql_type = Bool)]
    there: bool,
}
