//! Products as operators write them.

use chrono::{DateTime, Utc};

use crate::ids::ProductId;

/// A product to be made. All texts are free of NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProduct {
    /// 1 to 100 characters, unique.
    pub sku: String,
    /// 1 to 255 characters.
    pub name: String,
    pub description: String,
    /// An `https` address.
    pub image_url: Option<String>,
    /// In the currency's smallest unit.
    pub price_cents: i64,
    /// ISO 4217: three capital letters.
    pub currency: String,
    /// The price before the sale, in the same unit.
    pub prior_price_cents: Option<i64>,
}

/// A product as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub id: ProductId,
    pub fields: NewProduct,
    /// Goes up with every change.
    pub version: u64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A change of a product: the fields that are given replace the stored ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductChange {
    /// The version that the caller saw.
    pub expected: u64,
    pub sku: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
    /// `Some(None)` removes it.
    pub image_url: Option<Option<String>>,
    pub price_cents: Option<i64>,
    pub currency: Option<String>,
    pub prior_price_cents: Option<Option<i64>>,
}
