//! Reads the scripts' replies. What does not look as the script's header says is an error, never a guess.

use chrono::{DateTime, Utc};
use fred::prelude::Value;

use crate::port::GateError;

/// A reply that the script cannot have given.
pub(super) fn unexpected(what: &str) -> GateError {
    GateError::Unknown(format!("unexpected reply: {what}"))
}

/// The parts of a list.
pub(super) fn list(value: Value) -> Result<Vec<Value>, GateError> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(unexpected("not a list")),
    }
}

pub(super) fn text(value: &Value) -> Result<&str, GateError> {
    value
        .as_bytes()
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .ok_or_else(|| unexpected("not a text"))
}

pub(super) fn bytes(value: &Value) -> Result<&[u8], GateError> {
    value.as_bytes().ok_or_else(|| unexpected("not a text"))
}

/// A number that the server may write as a text.
pub(super) fn number(value: &Value) -> Result<i64, GateError> {
    value.as_i64().ok_or_else(|| unexpected("not a number"))
}

pub(super) fn count(value: &Value) -> Result<u64, GateError> {
    number(value)
        .and_then(|number| u64::try_from(number).map_err(|_| unexpected("a count below zero")))
}

/// Milliseconds of the epoch.
pub(super) fn time(value: &Value) -> Result<DateTime<Utc>, GateError> {
    DateTime::from_timestamp_millis(number(value)?).ok_or_else(|| unexpected("not a time"))
}

/// One outcome for 1, another for 0.
pub(super) fn either<T>(value: &Value, one: T, zero: T) -> Result<T, GateError> {
    Ok(if yes(value)? { one } else { zero })
}

/// 1 for yes, 0 for no.
pub(super) fn yes(value: &Value) -> Result<bool, GateError> {
    Ok(number(value)? == 1)
}
