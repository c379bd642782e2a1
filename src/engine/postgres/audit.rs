//! Reads settled attempts page by page, for audits; writes and reads the operators' decisions about dead letters.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::{PostgresLedger, Prepared};
use crate::{
    engine::dead_letter_action,
    ids::{AttemptId, SaleId, UserId},
    port::{
        ActionLogCheck, DeadLetterDecision, DeadLetterDecisions, DeadLetterId, LedgerAudit,
        LedgerError, Offset, Partition, SettledAttempt,
    },
};

/// Reads both tables by attempt id, so that the cost of a page does not depend on the size of the tables. The `LIMIT 1` keeps
/// the planner from reading all orders for each page.
const SETTLED: &str = "
    SELECT p.attempt_id, p.flash_sale_id, p.user_id, p.outcome = 'ORDERED' AS ordered, o.there IS NOT NULL AS has_order
    FROM (
        SELECT attempt_id, flash_sale_id, user_id, outcome FROM purchase_attempts
        WHERE attempt_id > ? ORDER BY attempt_id LIMIT ?
    ) p
    LEFT JOIN LATERAL (
        SELECT true AS there FROM orders WHERE attempt_id = p.attempt_id AND status = 'SUCCESS' LIMIT 1
    ) o ON true
    ORDER BY p.attempt_id";

const NOTE: &str = "
    INSERT INTO dead_letter_decisions
        (topic, partition, letter_offset, buried_at, decision, attempt_id, reason, decided_by, decided_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";

const DECISIONS: &str = "
    SELECT partition, letter_offset, buried_at, attempt_id, reason, decided_by, decided_at
    FROM dead_letter_decisions WHERE topic = ? ORDER BY id";

#[derive(QueryableByName)]
struct SettledRow {
    #[diesel(sql_type = SqlUuid)]
    attempt_id: Uuid,
    #[diesel(sql_type = BigInt)]
    flash_sale_id: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = Bool)]
    ordered: bool,
    #[diesel(sql_type = Bool)]
    has_order: bool,
}

#[derive(QueryableByName)]
struct DecisionRow {
    #[diesel(sql_type = Integer)]
    partition: i32,
    #[diesel(sql_type = BigInt)]
    letter_offset: i64,
    #[diesel(sql_type = Timestamptz)]
    buried_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    attempt_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = Text)]
    decided_by: String,
    #[diesel(sql_type = Timestamptz)]
    decided_at: DateTime<Utc>,
}

#[async_trait]
impl DeadLetterDecisions for PostgresLedger {
    async fn note_decision(
        &self,
        log: &str,
        decision: &DeadLetterDecision,
    ) -> Result<(), LedgerError> {
        Ok(note(&mut *self.pool.take().await?, log, decision).await?)
    }

    async fn decisions(&self, log: &str) -> Result<Vec<DeadLetterDecision>, LedgerError> {
        Ok(decisions(&mut *self.pool.take().await?, log).await?)
    }
}

#[async_trait]
impl LedgerAudit for PostgresLedger {
    async fn settled(
        &self,
        after: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<SettledAttempt>, LedgerError> {
        Ok(settled(&mut *self.pool.take().await?, after, limit).await?)
    }

    async fn verify_actions(&self) -> Result<ActionLogCheck, LedgerError> {
        self.check_actions().await
    }
}

pub(super) async fn settled(
    conn: &mut AsyncPgConnection,
    after: Option<AttemptId>,
    limit: u32,
) -> QueryResult<Vec<SettledAttempt>> {
    let rows: Vec<SettledRow> = Prepared::new(SETTLED)
        .bind::<SqlUuid, _>(after.map_or(Uuid::nil(), |attempt| attempt.0))
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)
        .await?;
    let attempt = |row: SettledRow| {
        Some(SettledAttempt {
            attempt: AttemptId(row.attempt_id),
            sale: SaleId::new(row.flash_sale_id)?,
            user: UserId::new(row.user_id)?,
            ordered: row.ordered,
            has_order: row.has_order,
        })
    };
    Ok(rows.into_iter().filter_map(attempt).collect())
}

pub(super) async fn note(
    conn: &mut AsyncPgConnection,
    log: &str,
    decision: &DeadLetterDecision,
) -> QueryResult<()> {
    let (stored, attempt) = dead_letter_action::to_sql(decision.action);
    Prepared::new(NOTE)
        .bind::<Text, _>(log.to_owned())
        .bind::<Integer, _>(decision.letter.partition.0)
        .bind::<BigInt, _>(decision.letter.offset.0)
        .bind::<Timestamptz, _>(decision.buried_at)
        .bind::<Text, _>(stored)
        .bind::<Nullable<SqlUuid>, _>(attempt.map(|attempt| attempt.0))
        .bind::<Nullable<Text>, _>(decision.reason.clone())
        .bind::<Text, _>(decision.by.clone())
        .bind::<Timestamptz, _>(decision.at)
        .execute(conn)
        .await
        .map(drop)
}

pub(super) async fn decisions(
    conn: &mut AsyncPgConnection,
    log: &str,
) -> QueryResult<Vec<DeadLetterDecision>> {
    let rows: Vec<DecisionRow> = Prepared::new(DECISIONS)
        .bind::<Text, _>(log.to_owned())
        .load(conn)
        .await?;
    let decision = |row: DecisionRow| DeadLetterDecision {
        letter: DeadLetterId {
            partition: Partition(row.partition),
            offset: Offset(row.letter_offset),
        },
        buried_at: row.buried_at,
        action: dead_letter_action::from_sql(row.attempt_id.map(AttemptId)),
        reason: row.reason,
        by: row.decided_by,
        at: row.decided_at,
    };
    Ok(rows.into_iter().map(decision).collect())
}
