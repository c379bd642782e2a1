//! Reads a sale's events by number, and waits for the next event if there is none yet (long poll).

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use super::Event;
use crate::{
    ids::{LedgerId, SaleId},
    port::{EventFeed, EventPage, LedgerError},
};

/// Highest number of requests of one process that may wait for events at one time. Each of them reads from the ledger every
/// [`POLL`].
const MAX_WAITING: usize = 64;
/// Interval between two readings of a waiting request.
const POLL: Duration = Duration::from_millis(200);

/// Some events of a sale, and where the next ones begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage {
    /// In order, without gaps, the first one right after the number that was asked for.
    pub events: Vec<Event>,
    /// The number after which the next request has to ask: that of the last of these events, or the same as before if there are
    /// none.
    pub next: u64,
    /// The number of the sale's last event.
    pub last: u64,
}

/// Why there is no page.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FeedError {
    #[error("no such sale")]
    NoSale,
    /// The events after the given number are not kept, or were never recorded.
    #[error(
        "the events after number {after} are not kept; the first one that is kept has number {first}"
    )]
    Gone { after: u64, first: u64 },
    /// The ledger was set back, or the caller follows another one.
    #[error("the sale's last event has number {last}, and {after} was asked for")]
    Ahead { after: u64, last: u64 },
    /// No worker records events.
    #[error("events are not recorded")]
    Off,
    #[error("too many requests wait for events")]
    Busy,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Answers consumers that read events by request.
pub struct Feed {
    events: Arc<dyn EventFeed>,
    ledger: LedgerId,
    waiting: Semaphore,
    /// Waiting ends when the process begins to drain.
    drain: CancellationToken,
}

impl Feed {
    #[must_use]
    pub fn new(events: Arc<dyn EventFeed>, ledger: LedgerId, drain: CancellationToken) -> Self {
        Self {
            events,
            ledger,
            waiting: Semaphore::new(MAX_WAITING),
            drain,
        }
    }

    /// At most `limit` events of a sale after number `after`. If there are none yet, waits up to `wait` for the next one.
    pub async fn page(
        &self,
        sale: SaleId,
        after: u64,
        limit: u32,
        wait: Duration,
    ) -> Result<FeedPage, FeedError> {
        let page = self.read(sale, after, limit).await?;
        if !page.events.is_empty() || wait.is_zero() {
            return Ok(page);
        }
        let _place = self.waiting.try_acquire().map_err(|_| FeedError::Busy)?;
        let until = Instant::now() + wait;
        loop {
            let next = (Instant::now() + POLL).min(until);
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.drain.cancelled() => return self.read(sale, after, limit).await,
            }
            let page = self.read(sale, after, limit).await?;
            if !page.events.is_empty() || Instant::now() >= until {
                return Ok(page);
            }
        }
    }

    async fn read(&self, sale: SaleId, after: u64, limit: u32) -> Result<FeedPage, FeedError> {
        let page = self.events.events_after(sale, after, limit).await?;
        let page = page.ok_or(FeedError::NoSale)?;
        let events = consecutive(self.ledger, &page, after, limit);
        if events.is_empty() {
            check_end(&page, after)?;
        }
        Ok(FeedPage {
            next: events.last().map_or(after, |event| event.sequence),
            events,
            last: page.last,
        })
    }
}

/// The events right after number `after`, up to the first number that is missing.
pub(super) fn consecutive(
    ledger: LedgerId,
    page: &EventPage,
    after: u64,
    limit: u32,
) -> Vec<Event> {
    let most = limit as usize;
    let mut events: Vec<Event> = Vec::new();
    let mut position = after;
    for batch in &page.batches {
        if batch.first > position + 1 || events.len() == most {
            break;
        }
        let left = most - events.len();
        events.extend(Event::of_batch(ledger, batch, position).take(left));
        position = position.max(batch.last());
    }
    events
}

/// Explains why a page has no event right after `after`. This is an error unless `after` is the last event and the ledger records
/// the next one.
pub(super) fn check_end(page: &EventPage, after: u64) -> Result<(), FeedError> {
    let last = page.last;
    if after > last {
        return Err(FeedError::Ahead { after, last });
    }
    if let Some(batch) = page.batches.first() {
        let first = batch.first;
        return Err(FeedError::Gone { after, first });
    }
    if !page.is_recording {
        return Err(FeedError::Off);
    }
    if after < last {
        let first = last + 1;
        return Err(FeedError::Gone { after, first });
    }
    Ok(())
}

/// The number after which events are sent again if a caller asks for all events after `after`. 0 asks for all events that are
/// kept. For any other number, the event right after it must be kept, since the caller relies on getting it.
pub(super) fn replay_start(page: &EventPage, after: u64) -> Result<u64, FeedError> {
    let last = page.last;
    if after > last {
        return Err(FeedError::Ahead { after, last });
    }
    let first = page.batches.first().map_or(last + 1, |batch| batch.first);
    match after {
        0 => Ok(first - 1),
        _ if first > after + 1 => Err(FeedError::Gone { after, first }),
        _ => Ok(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{EventBatch, EventOrder, EventSubject, EventType};

    fn created(first: u64, count: u64) -> EventBatch {
        let order = |number| EventOrder {
            order: uuid::Uuid::from_u128(number),
            attempt: crate::ids::AttemptId(uuid::Uuid::from_u128(number)),
            user: crate::ids::UserId::new(1).unwrap(),
        };
        EventBatch {
            sale: SaleId::new(1).unwrap(),
            product: crate::ids::ProductId::new(1).unwrap(),
            event_type: EventType::OrderCreated,
            first,
            at: chrono::DateTime::UNIX_EPOCH,
            is_repeated: false,
            subject: EventSubject::Orders(
                (0..count).map(|i| order(u128::from(first + i))).collect(),
            ),
        }
    }

    fn page(batches: Vec<EventBatch>, last: u64) -> EventPage {
        EventPage {
            batches,
            last,
            is_recording: true,
        }
    }

    fn numbers(page: &EventPage, after: u64, limit: u32) -> Vec<u64> {
        let events = consecutive(LedgerId::NONE, page, after, limit);
        events.iter().map(|event| event.sequence).collect()
    }

    #[test]
    fn a_page_begins_in_the_middle_of_a_batch_and_ends_at_the_limit() {
        let page = page(vec![created(1, 3), created(4, 2)], 5);
        assert_eq!(numbers(&page, 2, 10), [3, 4, 5]);
        assert_eq!(numbers(&page, 0, 2), [1, 2]);
    }

    #[test]
    fn a_page_ends_before_numbers_that_are_missing() {
        let page = page(vec![created(1, 1), created(5, 1)], 5);
        assert_eq!(numbers(&page, 0, 10), [1]);
        assert_eq!(numbers(&page, 1, 10), [0; 0]);
    }

    #[test]
    fn what_is_not_kept_is_an_error_that_names_the_first_that_is() {
        let gone = check_end(&page(vec![created(5, 1)], 5), 1);
        assert!(
            matches!(gone, Err(FeedError::Gone { first: 5, .. })),
            "{gone:?}"
        );
        let none_kept = check_end(&page(Vec::new(), 5), 1);
        assert!(
            matches!(none_kept, Err(FeedError::Gone { first: 6, .. })),
            "{none_kept:?}"
        );
        let ahead = check_end(&page(Vec::new(), 5), 6);
        assert!(
            matches!(ahead, Err(FeedError::Ahead { last: 5, .. })),
            "{ahead:?}"
        );
        assert!(check_end(&page(Vec::new(), 5), 5).is_ok());
    }

    #[test]
    fn a_replay_begins_where_events_are_kept() {
        let kept = || page(vec![created(4, 2), created(6, 1)], 6);
        for (after, begins) in [(0, 3), (3, 3), (4, 4), (6, 6)] {
            assert_eq!(replay_start(&kept(), after).unwrap(), begins, "{after}");
        }
        let gone = replay_start(&kept(), 2);
        assert!(
            matches!(gone, Err(FeedError::Gone { first: 4, .. })),
            "{gone:?}"
        );
        let ahead = replay_start(&kept(), 7);
        assert!(
            matches!(ahead, Err(FeedError::Ahead { last: 6, .. })),
            "{ahead:?}"
        );
        let none_kept = || page(Vec::new(), 6);
        assert_eq!(replay_start(&none_kept(), 0).unwrap(), 6);
        assert_eq!(replay_start(&none_kept(), 6).unwrap(), 6);
        let gone = replay_start(&none_kept(), 5);
        assert!(
            matches!(gone, Err(FeedError::Gone { first: 7, .. })),
            "{gone:?}"
        );
    }
}
