//! Products, sales, movements and orders as the action log shows them: JSON objects with the names of the API.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::port::{
    Movement, MovementMode, MovementState, OrderEntry, Product, SaleRecord, SaleState,
};

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A sale.
#[must_use]
pub fn sale(sale: &SaleRecord) -> Value {
    json!({
        "id": sale.id.value(),
        "productId": sale.product.value(),
        "state": match sale.state {
            SaleState::Draft => "DRAFT",
            SaleState::Live => "LIVE",
            SaleState::Cancelled => "CANCELLED",
        },
        "pausedAt": sale.paused_at.map(time),
        "startTime": time(sale.window.start),
        "endTime": time(sale.window.end),
        "initialStock": sale.initial_stock,
        "remainingStock": sale.remaining_stock,
        "version": sale.version,
        "note": sale.note,
    })
}

/// A product.
#[must_use]
pub fn product(product: &Product) -> Value {
    let fields = &product.fields;
    json!({
        "id": product.id.value(),
        "sku": fields.sku,
        "name": fields.name,
        "description": fields.description,
        "imageUrl": fields.image_url,
        "priceCents": fields.price_cents,
        "currency": fields.currency,
        "priorPriceCents": fields.prior_price_cents,
        "version": product.version,
    })
}

/// A withdrawal.
#[must_use]
pub fn movement(movement: &Movement) -> Value {
    json!({
        "id": movement.id.0.to_string(),
        "mode": match movement.mode {
            MovementMode::Exact => "exact",
            MovementMode::UpTo => "upTo",
        },
        "requested": movement.requested,
        "applied": movement.applied,
        "state": match movement.state {
            MovementState::Pending => "PENDING",
            MovementState::Applied => "APPLIED",
            MovementState::Refused => "REFUSED",
        },
    })
}

/// An order.
#[must_use]
pub fn order(order: &OrderEntry) -> Value {
    json!({
        "attemptId": order.attempt.0.to_string(),
        "saleId": order.sale.value(),
        "productId": order.product.value(),
        "userId": order.user.value().to_string(),
        "status": order.status,
    })
}
