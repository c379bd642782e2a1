//! Reads and counts the events that a consumer has not been sent yet, for the topic and for webhooks.

use metrics::{counter, gauge};

use super::{
    Event,
    feed::{self, FeedError},
};
use crate::{
    port::{Ledger, LedgerError, PendingEvents, SeekOutcome},
    telemetry::metric,
};

/// The next events of a sale for a consumer. There are none if another worker has moved the consumer's position. Events that are
/// no longer kept are passed over. A new consumer did not miss them; a consumer that has a position has lost them. The loss is
/// logged only once, since the position is moved behind the lost events before the next events are delivered.
pub(super) async fn next_events(
    ledger: &dyn Ledger,
    consumer: &str,
    sale: &mut PendingEvents,
    limit: u32,
) -> Result<Vec<Event>, LedgerError> {
    let after = sale.position.unwrap_or(0);
    let Some(page) = ledger.events_after(sale.sale, after, limit).await? else {
        return Ok(Vec::new());
    };
    let events = feed::consecutive(ledger.id(), &page, after, limit);
    if !events.is_empty() {
        return Ok(events);
    }
    let Err(FeedError::Gone { first, .. }) = feed::check_end(&page, after) else {
        return Ok(Vec::new());
    };
    if sale.position.is_some() {
        let passed_over = ledger
            .advance_events(consumer, sale.sale, sale.position, first - 1)
            .await?;
        if passed_over == SeekOutcome::Fenced {
            return Ok(Vec::new());
        }
        sale.position = Some(first - 1);
        counter!(metric::EVENTS_LOST).increment(first - after - 1);
        tracing::error!(
            consumer, sale = %sale.sale, after, first,
            "events were removed before this consumer got them; it goes on with the first that is kept"
        );
    }
    Ok(feed::consecutive(ledger.id(), &page, first - 1, limit))
}

/// Shows the number of events that a consumer has not got.
pub(super) fn show(consumer: &str, pending: &[PendingEvents]) {
    let missing = |sale: &PendingEvents| sale.last - sale.position.unwrap_or(0);
    let unpublished: u64 = pending.iter().map(missing).sum();
    #[allow(clippy::cast_precision_loss)] // a gauge
    gauge!(metric::EVENTS_UNPUBLISHED, "consumer" => consumer.to_owned()).set(unpublished as f64);
}
