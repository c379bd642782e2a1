//! Reads the recorded outcomes of attempts.

use std::collections::BTreeMap;

use diesel::{
    prelude::*,
    sql_types::{Array, Bool, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::Prepared;
use crate::{engine::outcome, ids::AttemptId, port::Outcome};

const OUTCOMES: &str = "
    SELECT p.attempt_id, p.outcome, o.attempt_id AS ordered_by,
        p.outcome = 'ORDERED' AND NOT EXISTS (
            SELECT FROM orders WHERE attempt_id = p.attempt_id AND status = 'SUCCESS') AS ended
    FROM purchase_attempts p
    LEFT JOIN orders o ON p.outcome = 'ALREADY_ORDERED' AND o.flash_sale_id = p.flash_sale_id AND o.user_id = p.user_id
        AND o.status = 'SUCCESS'
    WHERE p.attempt_id = ANY(?)";

#[derive(QueryableByName)]
struct OutcomeRow {
    #[diesel(sql_type = SqlUuid)]
    attempt_id: Uuid,
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    ordered_by: Option<Uuid>,
    #[diesel(sql_type = Bool)]
    ended: bool,
}

pub(super) async fn read(
    conn: &mut AsyncPgConnection,
    attempts: &[AttemptId],
) -> QueryResult<BTreeMap<AttemptId, Outcome>> {
    let ids: Vec<Uuid> = attempts.iter().map(|attempt| attempt.0).collect();
    let rows: Vec<OutcomeRow> = Prepared::new(OUTCOMES)
        .bind::<Array<SqlUuid>, _>(ids)
        .load(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            (
                AttemptId(row.attempt_id),
                outcome::from_sql(&row.outcome, row.ended, row.ordered_by.map(AttemptId)),
            )
        })
        .collect())
}
