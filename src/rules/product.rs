//! What a change makes of a product.

use crate::port::{AdminError, NewProduct, Product, ProductChange};

/// The fields after the change. They equal those before if there is nothing to change.
pub fn apply(product: &Product, change: &ProductChange) -> Result<NewProduct, AdminError> {
    if change.expected != product.version {
        return Err(AdminError::Stale {
            current: product.version,
        });
    }
    let change = change.clone();
    let before = product.fields.clone();
    Ok(NewProduct {
        sku: change.sku.unwrap_or(before.sku),
        name: change.name.unwrap_or(before.name),
        description: change.description.unwrap_or(before.description),
        image_url: change.image_url.unwrap_or(before.image_url),
        price_cents: change.price_cents.unwrap_or(before.price_cents),
        currency: change.currency.unwrap_or(before.currency),
        prior_price_cents: change.prior_price_cents.unwrap_or(before.prior_price_cents),
    })
}
