//! What the ledgers' tables of webhooks have in common: lists of types, numbers.

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

/// A count from its column.
pub(super) fn count(column: i32) -> u32 {
    u32::try_from(column).unwrap_or(0)
}

pub(super) fn count_to_sql(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A number of an event from its column, whose check allows no negative ones.
pub(super) fn number(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}

pub(super) fn number_to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
