//! Outcomes as the table spells them, and reading those that were recorded.

use std::collections::BTreeMap;

use diesel::{
    prelude::*,
    sql_types::{Array, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::prepared::Prepared;
use crate::{ids::AttemptId, port::Outcome};

const OUTCOMES: &str = "
    SELECT p.attempt_id, p.outcome, o.attempt_id AS ordered_by
    FROM purchase_attempts p
    LEFT JOIN orders o ON p.outcome = 'ALREADY_ORDERED' AND o.flash_sale_id = p.flash_sale_id AND o.user_id = p.user_id
    WHERE p.attempt_id = ANY(?)";

#[derive(QueryableByName)]
struct OutcomeRow {
    #[diesel(sql_type = SqlUuid)]
    attempt_id: Uuid,
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    ordered_by: Option<Uuid>,
}

/// The word in `purchase_attempts.outcome`.
pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ordered => "ORDERED",
        Outcome::SoldOut => "SOLD_OUT",
        Outcome::AlreadyOrdered { .. } => "ALREADY_ORDERED",
        Outcome::Rejected => "REJECTED",
    }
}

/// The outcome behind a word. The check on the column allows no other words.
pub(super) fn from_word(word: &str, ordered_by: Option<Uuid>) -> Outcome {
    match (word, ordered_by) {
        ("ORDERED", _) => Outcome::Ordered,
        ("ALREADY_ORDERED", Some(by)) => Outcome::AlreadyOrdered { by: AttemptId(by) },
        // Somebody deleted the order it lost to. The attempt still got nothing.
        ("ALREADY_ORDERED", None) | ("SOLD_OUT", _) => Outcome::SoldOut,
        _ => Outcome::Rejected,
    }
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
                from_word(&row.outcome, row.ordered_by),
            )
        })
        .collect())
}
