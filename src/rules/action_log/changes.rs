//! Changes of products, sales and orders as the action log describes them: the states before and after are JSON objects with the
//! names of the API.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::{
    ids::SaleId,
    port::{
        ActionName, Change, Movement, MovementMode, MovementState, OrderEntry, Product, Restock,
        SaleRecord, SaleState,
    },
};

/// A product that was made (`before` is `None`) or changed.
#[must_use]
pub fn changed_product(before: Option<&Product>, after: &Product) -> Change {
    Change {
        name: match before {
            None => ActionName::CreateProduct,
            Some(_) => ActionName::ChangeProduct,
        },
        sale: None,
        target: format!("product:{}", after.id),
        before: before.map(product),
        after: Some(product(after)),
    }
}

/// A sale that was made (`before` is `None`) or changed.
#[must_use]
pub fn changed_sale(name: ActionName, before: Option<&SaleRecord>, after: &SaleRecord) -> Change {
    Change {
        name,
        sale: Some(after.id),
        target: format!("sale:{}", after.id),
        before: before.map(sale),
        after: Some(sale(after)),
    }
}

/// The request to withdraw units.
#[must_use]
pub fn begun_withdrawal(begun: &Movement) -> Change {
    Change {
        name: ActionName::BeginWithdrawal,
        sale: Some(begun.sale),
        target: format!("sale:{}", begun.sale),
        before: None,
        after: Some(movement(begun)),
    }
}

/// The end of a withdrawal.
#[must_use]
pub fn closed_withdrawal(pending: &Movement, closed: &Movement) -> Change {
    Change {
        name: ActionName::CloseWithdrawal,
        before: Some(movement(pending)),
        ..begun_withdrawal(closed)
    }
}

/// An order that was ended. `restock`: its unit goes on sale again.
#[must_use]
pub fn cancelled_order(before: &OrderEntry, after: &OrderEntry, restock: Restock) -> Change {
    let mut shown = order(after);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("restock".to_owned(), Value::Bool(restock == Restock::Yes));
    }
    Change {
        name: ActionName::CancelOrder,
        sale: Some(after.sale),
        target: format!("order:{}", after.attempt.0),
        before: Some(order(before)),
        after: Some(shown),
    }
}

/// The closing of a sale whose attempts are removed.
#[must_use]
pub fn removed_attempts(sale: SaleId, ended_at: DateTime<Utc>) -> Change {
    Change {
        name: ActionName::RemoveAttempts,
        sale: Some(sale),
        target: format!("sale:{sale}"),
        before: None,
        after: Some(json!({"id": sale.value(), "attemptsRemovedUntil": time(ended_at)})),
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A sale.
fn sale(sale: &SaleRecord) -> Value {
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
fn product(product: &Product) -> Value {
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
fn movement(movement: &Movement) -> Value {
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
fn order(order: &OrderEntry) -> Value {
    json!({
        "attemptId": order.attempt.0.to_string(),
        "saleId": order.sale.value(),
        "productId": order.product.value(),
        "userId": order.user.value().to_string(),
        "status": order.status,
    })
}
