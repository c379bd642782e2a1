//! Events of sales. Triggers on `orders` and `flash_sales` write the batches, in the transactions of the changes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{PostgresLedger, Prepared};
use crate::{
    engine::{
        event_terms,
        number::{number, to_bigint},
    },
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        EventBatch, EventFeed, EventOrder, EventPage, EventPositions, EventRecording, EventSubject,
        LedgerError, PendingEvents, SeekOutcome,
    },
};

/// One statement, so that the last number is not newer than the batches: a batch that is missing then was removed, or never
/// recorded. The columns of orders are large, and read for the rows of the answer alone.
const AFTER: &str = "
    SELECT s.event_seq, EXISTS (SELECT FROM event_recording) AS is_recording,
        b.last_seq, b.event_count, b.type AS event_type, b.product_id, b.created_at, b.is_repeated, b.order_ids, b.attempt_ids, b.user_ids,
        b.terms::text AS terms
    FROM (SELECT id, event_seq, CAST(? AS BIGINT) AS position, CAST(? AS BIGINT) AS wanted FROM flash_sales WHERE id = ?) s
    LEFT JOIN LATERAL (
        SELECT * FROM (
            SELECT *, min(last_seq - event_count) OVER () AS begins FROM (
                SELECT * FROM event_batches WHERE flash_sale_id = s.id AND last_seq > s.position ORDER BY last_seq LIMIT s.wanted
            ) next
        ) counted WHERE last_seq - event_count < greatest(begins, s.position) + s.wanted
    ) b ON true
    ORDER BY b.last_seq";

const RECORD: &str = "INSERT INTO event_recording DEFAULT VALUES ON CONFLICT DO NOTHING";

const RECORD_NOT: &str = "DELETE FROM event_recording";

/// Jumps from sale to sale along the key: the rows of one sale are many.
const PENDING: &str = "
    WITH RECURSIVE kept AS (
        (SELECT flash_sale_id FROM event_batches ORDER BY flash_sale_id LIMIT 1)
        UNION ALL
        SELECT next.flash_sale_id FROM kept CROSS JOIN LATERAL (
            SELECT flash_sale_id FROM event_batches WHERE flash_sale_id > kept.flash_sale_id ORDER BY flash_sale_id LIMIT 1
        ) next
    )
    SELECT kept.flash_sale_id, p.last_seq AS position, last.last_seq
    FROM kept CROSS JOIN LATERAL (
        SELECT last_seq FROM event_batches WHERE flash_sale_id = kept.flash_sale_id ORDER BY last_seq DESC LIMIT 1
    ) last
    LEFT JOIN event_positions p ON p.consumer = ? AND p.flash_sale_id = kept.flash_sale_id
    WHERE last.last_seq > coalesce(p.last_seq, 0)
    ORDER BY kept.flash_sale_id";

const POSITIONS: &str = "SELECT flash_sale_id, last_seq FROM event_positions WHERE consumer = ?";

const BEGIN: &str = "
    INSERT INTO event_positions (consumer, flash_sale_id, last_seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";

const ADVANCE: &str = "
    UPDATE event_positions SET last_seq = ?, updated_at = now()
    WHERE consumer = ? AND flash_sale_id = ? AND last_seq = ?";

/// A sale's batches lie in the order of their times.
const PRUNE: &str = "
    WITH RECURSIVE kept AS (
        (SELECT flash_sale_id FROM event_batches ORDER BY flash_sale_id LIMIT 1)
        UNION ALL
        SELECT next.flash_sale_id FROM kept CROSS JOIN LATERAL (
            SELECT flash_sale_id FROM event_batches WHERE flash_sale_id > kept.flash_sale_id ORDER BY flash_sale_id LIMIT 1
        ) next
    )
    DELETE FROM event_batches b USING (
        SELECT old.flash_sale_id, old.last_seq FROM kept CROSS JOIN LATERAL (
            SELECT flash_sale_id, last_seq, created_at FROM event_batches WHERE flash_sale_id = kept.flash_sale_id
            ORDER BY last_seq LIMIT ?
        ) old WHERE old.created_at < ?
    ) old
    WHERE b.flash_sale_id = old.flash_sale_id AND b.last_seq = old.last_seq";

#[derive(QueryableByName)]
struct BatchRow {
    #[diesel(sql_type = BigInt)]
    event_seq: i64,
    #[diesel(sql_type = Bool)]
    is_recording: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_seq: Option<i64>,
    #[diesel(sql_type = Nullable<Integer>)]
    event_count: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    event_type: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    product_id: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    created_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Bool>)]
    is_repeated: Option<bool>,
    #[diesel(sql_type = Nullable<Array<SqlUuid>>)]
    order_ids: Option<Vec<Uuid>>,
    #[diesel(sql_type = Nullable<Array<SqlUuid>>)]
    attempt_ids: Option<Vec<Uuid>>,
    #[diesel(sql_type = Nullable<Array<BigInt>>)]
    user_ids: Option<Vec<i64>>,
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

impl BatchRow {
    /// `None`: the sale has no such batch, and this row is there for its last number.
    fn batch(self, sale: SaleId) -> Result<Option<EventBatch>, LedgerError> {
        let damaged = || LedgerError(format!("an event batch of sale {sale} cannot be read"));
        let Some(last) = self.last_seq else {
            return Ok(None);
        };
        let count = i64::from(self.event_count.ok_or_else(damaged)?);
        let subject = match &self.terms {
            Some(terms) => EventSubject::Sale(event_terms::from_json(terms)?),
            None => EventSubject::Orders(self.orders().ok_or_else(damaged)?),
        };
        let product = self.product_id.and_then(ProductId::new);
        Ok(Some(EventBatch {
            sale,
            product: product.ok_or_else(damaged)?,
            event_type: event_terms::event_type(&self.event_type.ok_or_else(damaged)?)?,
            first: number(last - count + 1),
            at: self.created_at.ok_or_else(damaged)?,
            is_repeated: self.is_repeated.ok_or_else(damaged)?,
            subject,
        }))
    }

    fn orders(&self) -> Option<Vec<EventOrder>> {
        let (orders, attempts) = (self.order_ids.as_ref()?, self.attempt_ids.as_ref()?);
        let users = self.user_ids.as_ref()?;
        if orders.len() != attempts.len() || orders.len() != users.len() {
            return None;
        }
        let rows = orders.iter().zip(attempts).zip(users);
        rows.map(|((order, attempt), user)| {
            Some(EventOrder {
                order: *order,
                attempt: AttemptId(*attempt),
                user: UserId::new(*user)?,
            })
        })
        .collect()
    }
}

#[async_trait]
impl EventFeed for PostgresLedger {
    async fn events_after(
        &self,
        sale: SaleId,
        after: u64,
        limit: u32,
    ) -> Result<Option<EventPage>, LedgerError> {
        let rows: Vec<BatchRow> = Prepared::new(AFTER)
            .bind::<BigInt, _>(i64::try_from(after).unwrap_or(i64::MAX / 2))
            .bind::<BigInt, _>(i64::from(limit))
            .bind::<BigInt, _>(sale.value())
            .load(&mut *self.pool.take().await?)
            .await?;
        let Some(first) = rows.as_slice().first() else {
            return Ok(None);
        };
        let (last, is_recording) = (number(first.event_seq), first.is_recording);
        let batches = rows.into_iter().map(|row| row.batch(sale));
        let batches: Result<Vec<_>, _> = batches.filter_map(Result::transpose).collect();
        Ok(Some(EventPage {
            batches: batches?,
            last,
            is_recording,
        }))
    }
}

#[async_trait]
impl EventPositions for PostgresLedger {
    async fn record_events(&self, recording: EventRecording) -> Result<(), LedgerError> {
        let statement = Prepared::new(match recording {
            EventRecording::On => RECORD,
            EventRecording::Off => RECORD_NOT,
        });
        statement.execute(&mut *self.pool.take().await?).await?;
        Ok(())
    }

    async fn pending_events(&self, consumer: &str) -> Result<Vec<PendingEvents>, LedgerError> {
        let rows: Vec<PendingRow> = Prepared::new(PENDING)
            .bind::<Text, _>(consumer.to_owned())
            .load(&mut *self.pool.take().await?)
            .await?;
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
        let rows: Vec<PositionRow> = Prepared::new(POSITIONS)
            .bind::<Text, _>(consumer.to_owned())
            .load(&mut *self.pool.take().await?)
            .await?;
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
        let statement = match from {
            None => Prepared::new(BEGIN)
                .bind::<Text, _>(consumer.to_owned())
                .bind::<BigInt, _>(sale.value())
                .bind::<BigInt, _>(to_bigint(to)),
            Some(from) => Prepared::new(ADVANCE)
                .bind::<BigInt, _>(to_bigint(to))
                .bind::<Text, _>(consumer.to_owned())
                .bind::<BigInt, _>(sale.value())
                .bind::<BigInt, _>(to_bigint(from)),
        };
        let changed = statement.execute(&mut *self.pool.take().await?).await?;
        Ok(match changed {
            1 => SeekOutcome::Moved,
            _ => SeekOutcome::Fenced,
        })
    }

    async fn prune_events(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, LedgerError> {
        let removed = Prepared::new(PRUNE)
            .bind::<BigInt, _>(i64::from(limit))
            .bind::<Timestamptz, _>(before)
            .execute(&mut *self.pool.take().await?)
            .await?;
        Ok(removed as u64)
    }
}
