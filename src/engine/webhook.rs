//! What the ledgers' tables of webhooks have in common: lists of types.

use crate::port::EventType;

/// The names of types, with commas between them.
pub(super) fn types_to_sql(types: &[EventType]) -> String {
    let names: Vec<&str> = types.iter().map(|known| known.name()).collect();
    names.join(",")
}

/// The types behind such a list. Names that this version does not know are left out.
pub(super) fn types_from_sql(text: &str) -> Vec<EventType> {
    text.split(',').filter_map(EventType::of_name).collect()
}
