//! Parses the scripts' replies. A reply whose format is not that of the script's header is an error and is not interpreted.

use chrono::{DateTime, Utc};
use fred::prelude::Value;
use futures::future::join_all;

use crate::port::GateError;

/// Waits for the replies to all of these calls: the values, or the first error. `try_join_all` would drop the other calls at the first
/// error. A session with a command that nobody waits for cannot tell any more which replies are outstanding, so that every later
/// CLUSTERDOWN on it would be in doubt.
pub(super) async fn all<T>(
    calls: impl IntoIterator<Item = impl Future<Output = Result<T, GateError>>>,
) -> Result<Vec<T>, GateError> {
    join_all(calls).await.into_iter().collect()
}

/// The error for a reply that the script cannot have sent.
pub(super) fn unexpected(what: &str) -> GateError {
    GateError::Unknown(format!("unexpected reply: {what}"))
}

/// The elements of an array.
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

/// A text, or the empty text for a key that is missing.
pub(super) fn text_or_empty(value: &Value) -> Result<&str, GateError> {
    if value.is_null() { Ok("") } else { text(value) }
}

pub(super) fn bytes(value: &Value) -> Result<&[u8], GateError> {
    value.as_bytes().ok_or_else(|| unexpected("not a text"))
}

/// An integer, which the server may also send as a string.
pub(super) fn number(value: &Value) -> Result<i64, GateError> {
    value.as_i64().ok_or_else(|| unexpected("not a number"))
}

pub(super) fn count(value: &Value) -> Result<u64, GateError> {
    number(value)
        .and_then(|number| u64::try_from(number).map_err(|_| unexpected("a count below zero")))
}

/// A time, sent as milliseconds since the Unix epoch.
pub(super) fn time(value: &Value) -> Result<DateTime<Utc>, GateError> {
    DateTime::from_timestamp_millis(number(value)?).ok_or_else(|| unexpected("not a time"))
}

/// `one` if the reply is 1, otherwise `zero`.
pub(super) fn either<T>(value: &Value, one: T, zero: T) -> Result<T, GateError> {
    Ok(if yes(value)? { one } else { zero })
}

/// True if the reply is 1.
pub(super) fn yes(value: &Value) -> Result<bool, GateError> {
    Ok(number(value)? == 1)
}
