//! Reads settled attempts and dead letters page by page, for audits; writes and reads the operators' decisions about dead
//! letters.

use async_trait::async_trait;
use diesel::{
    SqliteConnection,
    dsl::max,
    prelude::*,
    sql_types::{BigInt, Binary, Bool},
};

use super::{
    Prepared, SqliteLedger,
    admin::log as action_log,
    schema::{dead_letter_decisions, dead_letters},
    values::{attempt_id, bytes, millis, time},
};
use crate::{
    engine::{dead_letter_action, record},
    ids::{AttemptId, SaleId, UserId},
    port::{
        ActionLogCheck, DeadLetter, DeadLetterDecision, DeadLetterDecisions, DeadLetterEntry,
        DeadLetterId, DeadLetterPage, LedgerAudit, LedgerError, LogEntry, Offset, Partition,
        RawRecord, SettledAttempt,
    },
};

/// Maximum number of dead letters of one page. None is larger than a record of the log.
const LETTERS: i64 = 500;

const SETTLED: &str = "
    SELECT p.attempt_id, p.flash_sale_id, p.user_id, p.outcome = 'ORDERED' AS ordered, o.attempt_id IS NOT NULL AS has_order
    FROM (
        SELECT attempt_id, flash_sale_id, user_id, outcome FROM purchase_attempts
        WHERE attempt_id > ? ORDER BY attempt_id LIMIT ?
    ) p
    LEFT JOIN orders o ON o.attempt_id = p.attempt_id AND o.status = 'SUCCESS'
    ORDER BY p.attempt_id";

#[derive(QueryableByName)]
struct SettledRow {
    #[diesel(sql_type = Binary)]
    attempt_id: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    flash_sale_id: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = Bool)]
    ordered: bool,
    #[diesel(sql_type = Bool)]
    has_order: bool,
}

type DecisionRow = (i32, i64, i64, Option<Vec<u8>>, Option<String>, String, i64);

type LetterRow = (i64, String, Option<Vec<u8>>, Option<Vec<u8>>, i64);

#[async_trait]
impl DeadLetterDecisions for SqliteLedger {
    async fn note_decision(
        &self,
        log: &str,
        decision: &DeadLetterDecision,
    ) -> Result<(), LedgerError> {
        let (log, decision) = (log.to_owned(), decision.clone());
        self.write(move |conn| note(conn, &log, &decision)).await
    }

    async fn decisions(&self, log: &str) -> Result<Vec<DeadLetterDecision>, LedgerError> {
        let log = log.to_owned();
        Ok(self.store.read(move |conn| decisions(conn, &log)).await?)
    }
}

#[async_trait]
impl LedgerAudit for SqliteLedger {
    async fn settled(
        &self,
        after: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<SettledAttempt>, LedgerError> {
        Ok(self
            .store
            .read(move |conn| settled(conn, after, limit))
            .await?)
    }

    async fn verify_actions(&self) -> Result<ActionLogCheck, LedgerError> {
        Ok(self.store.read(action_log::verify).await?)
    }
}

pub(super) fn settled(
    conn: &mut SqliteConnection,
    after: Option<AttemptId>,
    limit: u32,
) -> QueryResult<Vec<SettledAttempt>> {
    let after = after.map(|attempt| bytes(&attempt).to_vec());
    let rows: Vec<SettledRow> = Prepared::new(SETTLED)
        .bind::<Binary, _>(after.unwrap_or_default())
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)?;
    let attempt = |row: SettledRow| {
        Some(SettledAttempt {
            attempt: attempt_id(&row.attempt_id)?,
            sale: SaleId::new(row.flash_sale_id)?,
            user: UserId::new(row.user_id)?,
            ordered: row.ordered,
            has_order: row.has_order,
        })
    };
    Ok(rows.into_iter().filter_map(attempt).collect())
}

pub(super) fn dead_letter_page(
    conn: &mut SqliteConnection,
    partition: Partition,
    from: Offset,
) -> QueryResult<DeadLetterPage> {
    let here = dead_letters::table.filter(dead_letters::partition.eq(partition.0));
    let rows = here
        .filter(dead_letters::log_offset.ge(from.0))
        .order(dead_letters::log_offset)
        .limit(LETTERS)
        .select((
            dead_letters::log_offset,
            dead_letters::cause,
            dead_letters::record_key,
            dead_letters::record,
            dead_letters::buried_at,
        ))
        .load::<LetterRow>(conn)?;
    let last = here
        .select(max(dead_letters::log_offset))
        .first::<Option<i64>>(conn)?;
    let end = Offset(last.map_or(0, |last| last + 1));
    let entries: Vec<_> = rows
        .into_iter()
        .map(|row| entry_of_row(partition, row))
        .collect();
    let next = entries
        .last()
        .map_or(end, |last| Offset(last.id.offset.0 + 1));
    Ok(DeadLetterPage { entries, next, end })
}

/// The entry from a row. A dead letter has the partition and offset of its record.
fn entry_of_row(
    partition: Partition,
    (offset, cause, key, value, buried_at): LetterRow,
) -> DeadLetterEntry {
    let offset = Offset(offset);
    let raw = RawRecord { key, value };
    DeadLetterEntry {
        id: DeadLetterId { partition, offset },
        entry: match record::decode(&raw) {
            Ok(attempt) => LogEntry::Attempt(attempt),
            Err(cause) => LogEntry::Undecodable(cause),
        },
        letter: DeadLetter {
            partition,
            offset,
            cause,
            raw,
            buried_at: time(buried_at),
        },
        omitted_bytes: None,
    }
}

pub(super) fn note(
    conn: &mut SqliteConnection,
    log: &str,
    decision: &DeadLetterDecision,
) -> QueryResult<()> {
    let (stored, attempt) = dead_letter_action::to_sql(decision.action);
    diesel::insert_into(dead_letter_decisions::table)
        .values((
            dead_letter_decisions::topic.eq(log),
            dead_letter_decisions::partition.eq(decision.letter.partition.0),
            dead_letter_decisions::letter_offset.eq(decision.letter.offset.0),
            dead_letter_decisions::buried_at.eq(millis(decision.buried_at)),
            dead_letter_decisions::decision.eq(stored),
            dead_letter_decisions::attempt_id.eq(attempt.map(|attempt| bytes(&attempt).to_vec())),
            dead_letter_decisions::reason.eq(decision.reason.as_ref()),
            dead_letter_decisions::decided_by.eq(&decision.by),
            dead_letter_decisions::decided_at.eq(millis(decision.at)),
        ))
        .execute(conn)
        .map(drop)
}

pub(super) fn decisions(
    conn: &mut SqliteConnection,
    log: &str,
) -> QueryResult<Vec<DeadLetterDecision>> {
    let rows = dead_letter_decisions::table
        .filter(dead_letter_decisions::topic.eq(log))
        .order(dead_letter_decisions::id)
        .select((
            dead_letter_decisions::partition,
            dead_letter_decisions::letter_offset,
            dead_letter_decisions::buried_at,
            dead_letter_decisions::attempt_id,
            dead_letter_decisions::reason,
            dead_letter_decisions::decided_by,
            dead_letter_decisions::decided_at,
        ))
        .load::<DecisionRow>(conn)?;
    Ok(rows.into_iter().map(decision).collect())
}

fn decision(
    (partition, offset, buried_at, attempt, reason, by, at): DecisionRow,
) -> DeadLetterDecision {
    DeadLetterDecision {
        letter: DeadLetterId {
            partition: Partition(partition),
            offset: Offset(offset),
        },
        buried_at: time(buried_at),
        action: dead_letter_action::from_sql(attempt.and_then(|bytes| attempt_id(&bytes))),
        reason,
        by,
        at: time(at),
    }
}
