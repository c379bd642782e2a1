//! What operators send to make and change products and sales, and the rules for it. Pure; used by the API and the command line.

mod product;
mod sale;

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Deserializer};

pub use product::{ProductForm, ProductPatch};
pub use sale::{CancelOrderForm, Mode, ReasonForm, SaleForm, SalePatch, StockForm, Units};

use crate::unicode::unseen;

/// Characters of a reason.
const REASON_CHARS: usize = 500;

/// What is wrong with a field. The text is for people, and begins with the field's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("{0} is required")]
    Missing(&'static str),
    #[error("{field} must be {least} to {most} characters long")]
    Length {
        field: &'static str,
        least: usize,
        most: usize,
    },
    #[error("{0} must not contain invisible, direction or control characters")]
    Unseen(&'static str),
    #[error("{field} must be a whole number from {least} to {most}")]
    Range {
        field: &'static str,
        least: i64,
        most: i64,
    },
    #[error("{0} must be three capital letters (ISO 4217), like EUR")]
    Currency(&'static str),
    #[error("{0} must be an https address or a path on this server, of at most 2000 characters")]
    Address(&'static str),
    #[error("{0} must be a time of RFC 3339, like 2030-11-29T12:00:00Z")]
    Time(&'static str),
    #[error("endTime must be after startTime")]
    Window,
    #[error("delta must not be 0")]
    NoDelta,
}

/// Reads a field that may be `null`, which is another thing than one that is missing.
#[allow(clippy::option_option)] // serde's own form of it
fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn required<T>(field: &'static str, value: Option<T>) -> Result<T, Invalid> {
    value.ok_or(Invalid::Missing(field))
}

fn checked_length(
    field: &'static str,
    text: String,
    (least, most): (usize, usize),
) -> Result<String, Invalid> {
    if (least..=most).contains(&text.chars().count()) {
        Ok(text)
    } else {
        Err(Invalid::Length { field, least, most })
    }
}

/// A text of one line.
fn line(field: &'static str, text: String, length: (usize, usize)) -> Result<String, Invalid> {
    let text = checked_length(field, text, length)?;
    match unseen(&text) {
        None => Ok(text),
        Some(_) => Err(Invalid::Unseen(field)),
    }
}

/// A text of several lines.
fn text(field: &'static str, text: String, most: usize) -> Result<String, Invalid> {
    let text = checked_length(field, text, (0, most))?;
    let hidden = text
        .split(['\n', '\r', '\t'])
        .any(|line| unseen(line).is_some());
    if hidden {
        Err(Invalid::Unseen(field))
    } else {
        Ok(text)
    }
}

fn number(field: &'static str, value: i64, (least, most): (i64, i64)) -> Result<i64, Invalid> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(Invalid::Range { field, least, most })
    }
}

/// A time, to the millisecond.
fn time(field: &'static str, text: &str) -> Result<DateTime<Utc>, Invalid> {
    let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| Invalid::Time(field))?;
    let time = parsed.with_timezone(&Utc).trunc_subsecs(3);
    // What both ledgers can keep, and every client can write.
    let years = 1970..=9999;
    if years.contains(&chrono::Datelike::year(&time)) {
        Ok(time)
    } else {
        Err(Invalid::Time(field))
    }
}

/// Why something is done: may be empty.
pub fn reason(text: Option<String>) -> Result<String, Invalid> {
    self::text("reason", text.unwrap_or_default(), REASON_CHARS)
}
