//! What a consumer did not get yet, for those who deliver.

use metrics::counter;

use super::{
    Event,
    feed::{self, FeedError},
};
use crate::{
    port::{Ledger, LedgerError, PendingEvents},
    telemetry::metric,
};

/// The next events of a sale for a consumer, and the position that is stored for it. Events that are not kept are passed over: a
/// consumer that begins did not miss them, and one that was away too long has lost them, which is logged.
pub(super) async fn next_events(
    ledger: &dyn Ledger,
    consumer: &str,
    sale: PendingEvents,
    limit: u32,
) -> Result<Option<(Vec<Event>, Option<u64>)>, LedgerError> {
    let after = sale.position.unwrap_or(0);
    let Some(page) = ledger.events_after(sale.sale, after, limit).await? else {
        return Ok(None);
    };
    let events = feed::consecutive(ledger.id(), &page, after, limit);
    if !events.is_empty() {
        return Ok(Some((events, sale.position)));
    }
    let Err(FeedError::Gone { first, .. }) = feed::check_end(&page, after) else {
        return Ok(None);
    };
    if sale.position.is_some() {
        counter!(metric::EVENTS_LOST).increment(first - after - 1);
        tracing::error!(
            consumer, sale = %sale.sale, after, first,
            "events were removed before this consumer got them; it goes on with the first that is kept"
        );
    }
    let events = feed::consecutive(ledger.id(), &page, first - 1, limit);
    Ok(Some((events, sale.position)))
}
