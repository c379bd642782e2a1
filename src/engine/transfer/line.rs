//! The lines of an export: the rows of each kind, the first and the last line.

use std::{fmt, io};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A line of an export: its type and its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    Export(Header),
    User(UserRow),
    Product(ProductRow),
    Sale(SaleRow),
    Order(OrderRow),
    End(Seals),
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    pub version: u32,
    pub exported_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRow {
    pub id: i64,
    pub username: String,
    pub email: String,
    /// The hash in PHC string format.
    pub password_hash: String,
    pub full_name: Option<String>,
    pub role: String,
    #[serde(with = "millis")]
    pub created_at: DateTime<Utc>,
    /// Since when the account has been disabled.
    #[serde(
        default,
        with = "super::details::time",
        skip_serializing_if = "Option::is_none"
    )]
    pub disabled_at: Option<DateTime<Utc>>,
    /// Tokens issued before it were ended.
    #[serde(
        default,
        with = "super::details::time",
        skip_serializing_if = "Option::is_none"
    )]
    pub tokens_valid_from: Option<DateTime<Utc>>,
    /// Whose account it is at the shop's issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_identity: Option<IdentityRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityRow {
    pub issuer: String,
    pub subject: String,
    #[serde(with = "millis")]
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductRow {
    pub id: i64,
    pub sku: String,
    pub name: String,
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    pub price_cents: i64,
    #[serde(
        default = "super::details::currency",
        skip_serializing_if = "super::details::is_usual_currency"
    )]
    pub currency: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior_price_cents: Option<i64>,
    #[serde(with = "millis")]
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SaleRow {
    pub id: i64,
    pub product_id: i64,
    #[serde(with = "millis")]
    pub start_time: DateTime<Utc>,
    #[serde(with = "millis")]
    pub end_time: DateTime<Utc>,
    pub initial_stock: i64,
    /// `initial_stock` minus the number of SUCCESS orders.
    pub remaining_stock: i64,
    /// `DRAFT`, `LIVE` or `CANCELLED`.
    #[serde(
        default = "super::details::state",
        skip_serializing_if = "super::details::is_live"
    )]
    pub state: String,
    /// It was cancelled while it was a draft.
    #[serde(default, skip_serializing_if = "super::details::is_false")]
    pub never_live: bool,
    #[serde(
        default,
        with = "super::details::time",
        skip_serializing_if = "Option::is_none"
    )]
    pub paused_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    #[serde(with = "millis")]
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderRow {
    pub sale_id: i64,
    pub user_id: i64,
    pub product_id: i64,
    /// PENDING, SUCCESS or FAILED.
    pub status: String,
    pub attempt_id: Uuid,
    #[serde(with = "millis")]
    pub created_at: DateTime<Utc>,
}

/// The number of rows of a kind, and the SHA-256 of their lines in order, each with its line feed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seal {
    pub rows: u64,
    pub sha256: String,
}

/// The last line: a seal for each kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seals {
    pub users: Seal,
    pub products: Seal,
    pub sales: Seal,
    pub orders: Seal,
}

/// The kinds of rows, in their order in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    User,
    Product,
    Sale,
    Order,
}

impl Line {
    pub(super) fn kind(&self) -> Option<Kind> {
        match self {
            Self::User(_) => Some(Kind::User),
            Self::Product(_) => Some(Kind::Product),
            Self::Sale(_) => Some(Kind::Sale),
            Self::Order(_) => Some(Kind::Order),
            Self::Export(_) | Self::End(_) => None,
        }
    }

    pub(super) fn text(&self) -> io::Result<String> {
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        Ok(text)
    }
}

impl fmt::Display for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} users, {} products, {} sales, {} orders",
            self.users.rows, self.products.rows, self.sales.rows, self.orders.rows
        )
    }
}

/// Times with millisecond precision, as in the rest of the service.
mod millis {
    use chrono::{DateTime, SecondsFormat, Utc};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        at: &DateTime<Utc>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<DateTime<Utc>, D::Error> {
        let text = String::deserialize(deserializer)?;
        DateTime::parse_from_rfc3339(&text)
            .map(|at| at.to_utc())
            .map_err(D::Error::custom)
    }
}
