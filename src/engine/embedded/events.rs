//! Events of sales in the data file. Triggers on `orders` and `flash_sales` write them, in the transactions of the changes: one row
//! an event, since SQLite's triggers run once for each row.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    SqliteConnection,
    prelude::*,
    sql_types::{BigInt, Binary, Bool, Nullable, Text},
};

use super::{
    Prepared, SqliteLedger,
    values::{attempt_id, millis, time},
};
use crate::{
    engine::{
        event_terms,
        number::{number, to_bigint},
    },
    ids::{ProductId, SaleId, UserId},
    port::{
        EventBatch, EventFeed, EventOrder, EventPage, EventPositions, EventRecording, EventSubject,
        LedgerError, PendingEvents, SeekOutcome,
    },
};

const SALE: &str = "
    SELECT event_seq, EXISTS (SELECT 1 FROM event_recording) AS is_recording FROM flash_sales WHERE id = ?";

const AFTER: &str = "
    SELECT last_seq, type AS event_type, product_id, created_at, is_repeated, attempt_id, user_id, terms
    FROM event_batches WHERE flash_sale_id = ? AND last_seq > ? ORDER BY last_seq LIMIT ?";

const RECORD: &str = "INSERT OR IGNORE INTO event_recording (id) VALUES (1)";

const RECORD_NOT: &str = "DELETE FROM event_recording";

/// Jumps from sale to sale along the key: the rows of one sale are many.
const PENDING: &str = "
    WITH RECURSIVE kept (id) AS (
        SELECT min(flash_sale_id) FROM event_batches
        UNION ALL
        SELECT (SELECT min(flash_sale_id) FROM event_batches WHERE flash_sale_id > kept.id) FROM kept WHERE kept.id IS NOT NULL
    ), last (id, last_seq) AS (
        SELECT id, (SELECT max(last_seq) FROM event_batches WHERE flash_sale_id = kept.id) FROM kept WHERE id IS NOT NULL
    )
    SELECT last.id AS flash_sale_id, p.last_seq AS position, last.last_seq AS last_seq
    FROM last LEFT JOIN event_positions p ON p.consumer = ? AND p.flash_sale_id = last.id
    WHERE last.last_seq > coalesce(p.last_seq, 0)
    ORDER BY last.id";

const POSITIONS: &str = "SELECT flash_sale_id, last_seq FROM event_positions WHERE consumer = ?";

const BEGIN: &str =
    "INSERT OR IGNORE INTO event_positions (consumer, flash_sale_id, last_seq) VALUES (?, ?, ?)";

const ADVANCE: &str = "
    UPDATE event_positions SET last_seq = ? WHERE consumer = ? AND flash_sale_id = ? AND last_seq = ?";

const KEPT_SALES: &str = "
    WITH RECURSIVE kept (id) AS (
        SELECT min(flash_sale_id) FROM event_batches
        UNION ALL
        SELECT (SELECT min(flash_sale_id) FROM event_batches WHERE flash_sale_id > kept.id) FROM kept WHERE kept.id IS NOT NULL
    )
    SELECT id AS flash_sale_id, 0 AS last_seq FROM kept WHERE id IS NOT NULL";

/// A sale's events lie in the order of their times.
const PRUNE: &str = "
    DELETE FROM event_batches WHERE flash_sale_id = ?1 AND created_at < ?2
        AND last_seq IN (SELECT last_seq FROM event_batches WHERE flash_sale_id = ?1 ORDER BY last_seq LIMIT ?3)";

#[derive(QueryableByName)]
struct SaleRow {
    #[diesel(sql_type = BigInt)]
    event_seq: i64,
    #[diesel(sql_type = Bool)]
    is_recording: bool,
}

#[derive(QueryableByName)]
struct EventRow {
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
    #[diesel(sql_type = Text)]
    event_type: String,
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
    #[diesel(sql_type = Bool)]
    is_repeated: bool,
    #[diesel(sql_type = Nullable<Binary>)]
    attempt_id: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    user_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    terms: Option<String>,
}

#[derive(QueryableByName)]
struct PendingRow {
    #[diesel(sql_type = BigInt)]
    flash_sale_id: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    position: Option<i64>,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
}

#[derive(QueryableByName)]
struct PositionRow {
    #[diesel(sql_type = BigInt)]
    flash_sale_id: i64,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
}

impl EventRow {
    fn batch(self, sale: SaleId) -> Result<EventBatch, LedgerError> {
        let damaged = || LedgerError(format!("an event of sale {sale} cannot be read"));
        let subject = match &self.terms {
            Some(terms) => EventSubject::Sale(event_terms::from_json(terms)?),
            None => EventSubject::Orders(vec![self.order().ok_or_else(damaged)?]),
        };
        Ok(EventBatch {
            sale,
            product: ProductId::new(self.product_id).ok_or_else(damaged)?,
            event_type: event_terms::event_type(&self.event_type)?,
            first: number(self.last_seq),
            at: time(self.created_at),
            is_repeated: self.is_repeated,
            subject,
        })
    }

    fn order(&self) -> Option<EventOrder> {
        let attempt = attempt_id(self.attempt_id.as_ref()?)?;
        Some(EventOrder {
            order: attempt.0,
            attempt,
            user: UserId::new(self.user_id?)?,
        })
    }
}

#[async_trait]
impl EventFeed for SqliteLedger {
    async fn events_after(
        &self,
        sale: SaleId,
        after: u64,
        limit: u32,
    ) -> Result<Option<EventPage>, LedgerError> {
        let found = self
            .store
            .read(move |conn| events_after(conn, sale, after, limit))
            .await?;
        let Some((row, events)) = found else {
            return Ok(None);
        };
        let batches: Result<Vec<_>, _> = events.into_iter().map(|row| row.batch(sale)).collect();
        Ok(Some(EventPage {
            batches: batches?,
            last: number(row.event_seq),
            is_recording: row.is_recording,
        }))
    }
}

/// The sale first: what is read after it is not older.
fn events_after(
    conn: &mut SqliteConnection,
    sale: SaleId,
    after: u64,
    limit: u32,
) -> QueryResult<Option<(SaleRow, Vec<EventRow>)>> {
    let row: Option<SaleRow> = Prepared::new(SALE)
        .bind::<BigInt, _>(sale.value())
        .get_result(conn)
        .optional()?;
    let Some(row) = row else {
        return Ok(None);
    };
    let events: Vec<EventRow> = Prepared::new(AFTER)
        .bind::<BigInt, _>(sale.value())
        .bind::<BigInt, _>(to_bigint(after))
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)?;
    Ok(Some((row, events)))
}

#[async_trait]
impl EventPositions for SqliteLedger {
    async fn record_events(&self, recording: EventRecording) -> Result<(), LedgerError> {
        let statement = match recording {
            EventRecording::On => RECORD,
            EventRecording::Off => RECORD_NOT,
        };
        self.write(move |conn| Prepared::new(statement).execute(conn).map(drop))
            .await
    }

    async fn pending_events(&self, consumer: &str) -> Result<Vec<PendingEvents>, LedgerError> {
        let consumer = consumer.to_owned();
        let read = move |conn: &mut SqliteConnection| {
            Prepared::new(PENDING)
                .bind::<Text, _>(consumer)
                .load::<PendingRow>(conn)
        };
        let rows = self.store.read(read).await?;
        let pending = rows.into_iter().filter_map(|row| {
            Some(PendingEvents {
                sale: SaleId::new(row.flash_sale_id)?,
                position: row.position.map(number),
                last: number(row.last_seq),
            })
        });
        Ok(pending.collect())
    }

    async fn event_positions(&self, consumer: &str) -> Result<BTreeMap<SaleId, u64>, LedgerError> {
        let consumer = consumer.to_owned();
        let read = move |conn: &mut SqliteConnection| {
            Prepared::new(POSITIONS)
                .bind::<Text, _>(consumer)
                .load::<PositionRow>(conn)
        };
        let rows = self.store.read(read).await?;
        let known =
            |row: PositionRow| Some((SaleId::new(row.flash_sale_id)?, number(row.last_seq)));
        Ok(rows.into_iter().filter_map(known).collect())
    }

    async fn advance_events(
        &self,
        consumer: &str,
        sale: SaleId,
        from: Option<u64>,
        to: u64,
    ) -> Result<SeekOutcome, LedgerError> {
        let consumer = consumer.to_owned();
        let work = move |conn: &mut SqliteConnection| {
            let statement = match from {
                None => Prepared::new(BEGIN)
                    .bind::<Text, _>(consumer)
                    .bind::<BigInt, _>(sale.value())
                    .bind::<BigInt, _>(to_bigint(to)),
                Some(from) => Prepared::new(ADVANCE)
                    .bind::<BigInt, _>(to_bigint(to))
                    .bind::<Text, _>(consumer)
                    .bind::<BigInt, _>(sale.value())
                    .bind::<BigInt, _>(to_bigint(from)),
            };
            Ok(match statement.execute(conn)? {
                1 => SeekOutcome::Moved,
                _ => SeekOutcome::Fenced,
            })
        };
        self.write(work).await
    }

    async fn prune_events(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, LedgerError> {
        self.write(move |conn| prune(conn, before, limit)).await
    }
}

fn prune(conn: &mut SqliteConnection, before: DateTime<Utc>, limit: u32) -> QueryResult<u64> {
    let sales: Vec<PositionRow> = Prepared::new(KEPT_SALES).load(conn)?;
    let mut removed = 0;
    for sale in sales {
        removed += diesel::sql_query(PRUNE)
            .bind::<BigInt, _>(sale.flash_sale_id)
            .bind::<BigInt, _>(millis(before))
            .bind::<BigInt, _>(i64::from(limit))
            .execute(conn)?;
    }
    Ok(removed as u64)
}
