//! What the ledgers' tables have of an event: its type, and the sale after a change as JSON with times in milliseconds since 1970.

use chrono::DateTime;
use serde::Deserialize;

use super::sale_state;
use crate::port::{EventTerms, EventType, LedgerError, SaleWindow};

#[derive(Deserialize)]
struct Stored {
    state: String,
    paused_at: Option<i64>,
    start_time: i64,
    end_time: i64,
    initial_stock: u64,
    remaining_stock: u64,
    version: u64,
}

/// The type behind a name. A name that this version does not know is an error: consumers would miss the event.
pub(super) fn event_type(name: &str) -> Result<EventType, LedgerError> {
    let unknown = || LedgerError(format!("events of type {name} are of a newer version"));
    EventType::of_name(name).ok_or_else(unknown)
}

/// The terms from the column `terms`.
pub(super) fn from_json(text: &str) -> Result<EventTerms, LedgerError> {
    let stored: Stored = serde_json::from_str(text)
        .map_err(|error| LedgerError(format!("an event's terms cannot be read: {error}")))?;
    let time = |millis| DateTime::from_timestamp_millis(millis).unwrap_or_default();
    Ok(EventTerms {
        state: sale_state::from_sql(&stored.state),
        paused_at: stored.paused_at.map(time),
        window: SaleWindow {
            start: time(stored.start_time),
            end: time(stored.end_time),
        },
        initial_stock: stored.initial_stock,
        remaining_stock: stored.remaining_stock,
        version: stored.version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_as_triggers_write_them() {
        let text = r#"{"state":"LIVE","paused_at":null,"start_time":1000,"end_time":2500,"initial_stock":5,"remaining_stock":4,"version":6}"#;
        let terms = from_json(text).unwrap();
        assert_eq!(terms.window.end.timestamp_millis(), 2500);
        assert_eq!(
            (terms.initial_stock, terms.remaining_stock, terms.version),
            (5, 4, 6)
        );
        assert_eq!(terms.paused_at, None);
        assert!(from_json("{}").is_err());
    }

    #[test]
    fn a_type_of_a_newer_version_is_an_error() {
        assert_eq!(event_type("sale.paused").unwrap(), EventType::SalePaused);
        assert!(event_type("order.held").is_err());
    }
}
