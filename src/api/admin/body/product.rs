//! A product as operators see it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{http::timestamp, port::Product};

/// A product.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductBody {
    #[schema(example = 1)]
    pub id: i64,
    #[schema(example = "SHOE-7-BLACK")]
    sku: String,
    #[schema(example = "Trail shoe, black")]
    name: String,
    #[schema(example = "Waterproof, 280 g")]
    description: String,
    #[schema(example = "https://shop.example/shoe-7.jpg")]
    image_url: Option<String>,
    /// In the currency's smallest unit.
    #[schema(example = 9900)]
    price_cents: i64,
    #[schema(example = "EUR")]
    currency: String,
    /// The price before the sale.
    #[schema(example = 14900)]
    prior_price_cents: Option<i64>,
    /// The `ETag` is `"v<version>"`.
    #[schema(example = 1)]
    pub version: u64,
    #[schema(format = DateTime, example = "2030-11-20T09:00:00.000Z")]
    created_at: String,
    #[schema(format = DateTime, example = "2030-11-20T09:00:00.000Z")]
    updated_at: String,
}

impl From<Product> for ProductBody {
    fn from(product: Product) -> Self {
        let fields = product.fields;
        Self {
            id: product.id.value(),
            sku: fields.sku,
            name: fields.name,
            description: fields.description,
            image_url: fields.image_url,
            price_cents: fields.price_cents,
            currency: fields.currency,
            prior_price_cents: fields.prior_price_cents,
            version: product.version,
            created_at: timestamp(product.created_at),
            updated_at: timestamp(product.updated_at),
        }
    }
}
