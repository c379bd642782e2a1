//! Numbers as the ledgers' tables keep them, whose columns are signed, and as the domain has them, which counts nothing below zero.

/// A stock, a version or the number of an event from its column, whose check allows no negative ones.
pub(super) fn number(column: impl Into<i64>) -> u64 {
    u64::try_from(column.into()).unwrap_or(0)
}

/// A small count from its column, whose check allows no negative ones.
pub(super) fn count(column: impl Into<i64>) -> u32 {
    u32::try_from(column.into()).unwrap_or(0)
}

/// A number for a column of 64 bits; one that is too large becomes the largest.
pub(super) fn to_bigint(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A number for a column of 32 bits; one that is too large becomes the largest.
pub(super) fn to_integer(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}
