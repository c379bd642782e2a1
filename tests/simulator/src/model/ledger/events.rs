//! Events of sales: what triggers do in the real ledgers, as a comparison of the tables before and after a change.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use flashsale::{
    ids::{AttemptId, SaleId, UserId},
    port::{
        EventBatch, EventFeed, EventOrder, EventPage, EventPositions, EventRecording, EventSubject,
        EventTerms, EventType, LedgerError, PendingEvents, SaleListing, SaleState, SaleSwitch,
        SeekOutcome,
    },
};

use super::{ModelLedger, Tables};

/// How far the gate's clock, by which operators end sales, may be ahead of the ledger's.
const CLOCKS: TimeDelta = TimeDelta::seconds(5);

/// What events are about, before a change.
pub(super) struct Before {
    sales: BTreeMap<SaleId, SaleListing>,
    orders: BTreeMap<(SaleId, UserId), AttemptId>,
}

impl ModelLedger {
    /// The events of a sale that are kept, in order.
    #[must_use]
    pub fn events(&self, sale: SaleId) -> Vec<EventBatch> {
        let kept = &self.tables().events.kept;
        kept.get(&sale).cloned().unwrap_or_default()
    }
}

impl Tables {
    pub(super) fn before(&self) -> Before {
        Before {
            sales: self.sales.clone(),
            orders: self.orders.clone(),
        }
    }

    /// Notes what has changed since `before`, in the order of the real ledgers: orders, then what became of the sale.
    pub(super) fn note_events(&mut self, before: &Before, at: DateTime<Utc>) {
        let sales: Vec<SaleListing> = self.sales.values().cloned().collect();
        for sale in sales {
            if before.sales.get(&sale.id) != Some(&sale) {
                self.updated.insert(sale.id, at);
            }
            let of = |orders: &BTreeMap<(SaleId, UserId), AttemptId>| -> Vec<EventOrder> {
                let of_sale = orders.iter().filter(|((of, _), _)| *of == sale.id);
                of_sale
                    .map(|((_, user), attempt)| EventOrder {
                        order: attempt.0,
                        attempt: *attempt,
                        user: *user,
                    })
                    .collect()
            };
            let (old, new) = (of(&before.orders), of(&self.orders));
            let without = |orders: &[EventOrder], others: &[EventOrder]| -> Vec<EventOrder> {
                let missing = orders.iter().filter(|order| !others.contains(order));
                missing.copied().collect()
            };
            let (ended, made) = (without(&old, &new), without(&new, &old));
            for (event_type, orders) in [
                (EventType::OrderReleased, ended),
                (EventType::OrderCreated, made),
            ] {
                if !orders.is_empty() {
                    self.note(&sale, event_type, EventSubject::Orders(orders), at);
                }
            }
            for event_type in changes(before.sales.get(&sale.id), &sale, at) {
                self.note(&sale, event_type, EventSubject::Sale(terms(&sale)), at);
            }
        }
    }

    fn note(
        &mut self,
        sale: &SaleListing,
        event_type: EventType,
        subject: EventSubject,
        at: DateTime<Utc>,
    ) {
        let number = self.events.numbers.entry(sale.id).or_default();
        let batch = EventBatch {
            sale: sale.id,
            product: sale.product,
            event_type,
            first: *number + 1,
            at,
            is_repeated: false,
            subject,
        };
        *number += batch.count();
        if self.events.is_recording {
            self.events.kept.entry(sale.id).or_default().push(batch);
        }
    }
}

/// What became of a sale.
fn changes(before: Option<&SaleListing>, after: &SaleListing, at: DateTime<Utc>) -> Vec<EventType> {
    let Some(before) = before else {
        return vec![EventType::SalePublished];
    };
    let mut types = Vec::new();
    if (before.product, before.window) != (after.product, after.window) {
        types.push(EventType::SaleTermsChanged);
    }
    let (end, old_end) = (after.window.end, before.window.end);
    let is_now = end < old_end && old_end > at && end <= at + CLOCKS;
    if is_now && after.switch != SaleSwitch::Cancelled && before.switch != SaleSwitch::Cancelled {
        types.push(EventType::SaleEnded);
    }
    if before.initial_stock != after.initial_stock {
        types.push(EventType::SaleStockChanged);
    }
    if before.switch != after.switch {
        types.push(match after.switch {
            SaleSwitch::Cancelled => EventType::SaleCancelled,
            SaleSwitch::Paused => EventType::SalePaused,
            SaleSwitch::On => EventType::SaleResumed,
        });
    }
    let (was_out, is_out) = (before.remaining_stock == 0, after.remaining_stock == 0);
    if was_out != is_out && after.switch != SaleSwitch::Cancelled {
        types.push(if is_out {
            EventType::SaleSoldOut
        } else {
            EventType::SaleRestocked
        });
    }
    types
}

fn terms(sale: &SaleListing) -> EventTerms {
    EventTerms {
        state: match sale.switch {
            SaleSwitch::Cancelled => SaleState::Cancelled,
            SaleSwitch::On | SaleSwitch::Paused => SaleState::Live,
        },
        paused_at: (sale.switch == SaleSwitch::Paused).then_some(DateTime::UNIX_EPOCH),
        window: sale.window,
        initial_stock: sale.initial_stock,
        remaining_stock: sale.remaining_stock,
        version: sale.version,
    }
}

#[async_trait]
impl EventFeed for ModelLedger {
    async fn events_after(
        &self,
        sale: SaleId,
        after: u64,
        limit: u32,
    ) -> Result<Option<EventPage>, LedgerError> {
        let tables = self.tables();
        if !tables.sales.contains_key(&sale) {
            return Ok(None);
        }
        let events = &tables.events;
        let kept = events.kept.get(&sale).map_or(&[][..], Vec::as_slice);
        let mut batches: Vec<EventBatch> = Vec::new();
        for batch in kept.iter().filter(|batch| batch.last() > after) {
            let begin = batches.first().map_or(after, |first| first.first - 1);
            if batch.first > begin.max(after) + u64::from(limit) {
                break;
            }
            batches.push(batch.clone());
        }
        if batches.is_empty() {
            batches.extend(kept.iter().find(|batch| batch.last() > after).cloned());
        }
        Ok(Some(EventPage {
            batches,
            last: events.numbers.get(&sale).copied().unwrap_or(0),
            is_recording: events.is_recording,
        }))
    }
}

#[async_trait]
impl EventPositions for ModelLedger {
    async fn record_events(&self, recording: EventRecording) -> Result<(), LedgerError> {
        self.tables().events.is_recording = recording == EventRecording::On;
        Ok(())
    }

    async fn pending_events(&self, consumer: &str) -> Result<Vec<PendingEvents>, LedgerError> {
        let tables = self.tables();
        let kept = tables.events.kept.iter().filter_map(|(sale, batches)| {
            let last = batches.last()?.last();
            let key = (consumer.to_owned(), *sale);
            let position = tables.events.positions.get(&key).copied();
            (last > position.unwrap_or(0)).then_some(PendingEvents {
                sale: *sale,
                position,
                last,
            })
        });
        Ok(kept.collect())
    }

    async fn event_positions(&self, consumer: &str) -> Result<BTreeMap<SaleId, u64>, LedgerError> {
        let tables = self.tables();
        let of = tables.events.positions.iter();
        let of = of.filter(|((name, _), _)| name == consumer);
        Ok(of.map(|((_, sale), last)| (*sale, *last)).collect())
    }

    async fn advance_events(
        &self,
        consumer: &str,
        sale: SaleId,
        from: Option<u64>,
        to: u64,
    ) -> Result<SeekOutcome, LedgerError> {
        let mut tables = self.tables();
        let key = (consumer.to_owned(), sale);
        if tables.events.positions.get(&key).copied() != from {
            return Ok(SeekOutcome::Fenced);
        }
        tables.events.positions.insert(key, to);
        Ok(SeekOutcome::Moved)
    }

    async fn prune_events(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, LedgerError> {
        let mut removed = 0;
        for batches in self.tables().events.kept.values_mut() {
            let old = batches.iter().take(limit as usize);
            let old = old.take_while(|batch| batch.at < before).count();
            batches.drain(..old);
            removed += old as u64;
        }
        self.tables()
            .events
            .kept
            .retain(|_, batches| !batches.is_empty());
        Ok(removed)
    }
}
