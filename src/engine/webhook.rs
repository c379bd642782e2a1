//! What the ledgers' tables of webhooks have in common: lists of types, and statements that both databases read.

use crate::port::EventType;

/// Endpoints, by the rest of the statement.
macro_rules! endpoints {
    ($rest:literal) => {
        concat!(
            "SELECT id, url, types, flash_sale_id, max_batch, per_second, secret, previous_secret, previous_until, disabled_cause,
                failures, next_attempt_at, created_at
            FROM webhook_endpoints ",
            $rest
        )
    };
}
pub(super) use endpoints;

pub(super) const SET_STATE: &str = "
    UPDATE webhook_endpoints SET disabled_cause = ?, failures = ?, next_attempt_at = ? WHERE id = ?";

pub(super) const REPLACE_SECRET: &str = "
    UPDATE webhook_endpoints SET previous_secret = secret, previous_until = ?, secret = ? WHERE id = ?";

/// The last deliveries to an endpoint, the newest first.
pub(super) const DELIVERIES: &str = "
    SELECT message_id, flash_sale_id, first_seq, last_seq, attempted_at, duration_ms, status, error
    FROM webhook_deliveries WHERE endpoint_id = ? ORDER BY number DESC LIMIT ?";

/// The names of types, with commas between them.
pub(super) fn types_to_sql(types: &[EventType]) -> String {
    let names: Vec<&str> = types.iter().map(|known| known.name()).collect();
    names.join(",")
}

/// The types behind such a list. Names that this version does not know are left out.
pub(super) fn types_from_sql(text: &str) -> Vec<EventType> {
    text.split(',').filter_map(EventType::of_name).collect()
}
