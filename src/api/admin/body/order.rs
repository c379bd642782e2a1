//! Orders and attempts as operators and support staff see them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::timestamp,
    port::{AttemptHistory, OrderEntry, PurchaseResult},
    sale::{Applied, CancelledOrder, ReservedAttempt},
};

/// An order.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderBody {
    #[schema(format = "uuid", example = "0190b6a4-6a2b-7d11-8f0e-1c2d3e4f5a6b")]
    order_id: String,
    /// The attempt that made it, by which it is named here.
    #[schema(format = "uuid", example = "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11")]
    attempt_id: String,
    #[schema(example = 1)]
    sale_id: i64,
    #[schema(example = 1)]
    product_id: i64,
    #[schema(example = "2")]
    user_id: String,
    /// `SUCCESS`: it stands. `FAILED`: it has ended.
    #[schema(example = "SUCCESS")]
    status: String,
    #[schema(format = DateTime, example = "2030-11-29T12:00:01.234Z")]
    created_at: String,
    #[schema(format = DateTime, example = "2030-11-29T12:00:01.234Z")]
    updated_at: String,
    /// Of the product, as it is now.
    #[schema(example = "FLASH-001")]
    sku: String,
    #[schema(example = "Flash sale smartphone")]
    product_name: String,
}

/// An order that was cancelled.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelledOrderBody {
    #[serde(flatten)]
    order: OrderBody,
    /// Whether the gate has it: the shopper may buy again, and the unit is on sale if it was to be. If not, within two seconds.
    #[schema(example = true)]
    pub applied: bool,
    /// By the gate's clock.
    #[schema(format = DateTime, example = "2030-11-29T12:05:00.000Z")]
    applied_at: Option<String>,
}

/// The history of an attempt.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AttemptHistoryBody)]
pub struct AttemptBody {
    #[schema(format = "uuid", example = "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11")]
    attempt_id: String,
    state: AttemptState,
    #[schema(example = 1)]
    sale_id: i64,
    #[schema(example = 1)]
    product_id: i64,
    #[schema(example = "2")]
    user_id: String,
    /// When a unit was reserved for it, by the clock of the node that took it; while it is not settled, by the gate's.
    #[schema(format = DateTime, example = "2030-11-29T12:00:00.512Z")]
    reserved_at: String,
    /// Where it is in the attempt log; not known until it is settled.
    logged: Option<LoggedBody>,
    settled: Option<SettledBody>,
    /// What the shopper is told now of this product: `SUCCESS`, `FAILED` or nothing. Not read in lists.
    #[schema(example = "SUCCESS")]
    told: Option<&'static str>,
    order: Option<OrderBody>,
    /// When its order ended.
    #[schema(format = DateTime, example = json!(null))]
    released_at: Option<String>,
}

/// How far an attempt has come.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AttemptState, example = "settled")]
pub enum AttemptState {
    /// The gate holds a unit for it. It is in the log, or on its way there.
    Reserved,
    /// The ledger has decided about it.
    Settled,
}

/// A place in the attempt log.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoggedBody {
    #[schema(example = "flash-sale-attempts")]
    topic: String,
    #[schema(example = 3)]
    partition: i32,
    /// Not known of attempts that an earlier version settled.
    #[schema(example = 4711)]
    offset: Option<i64>,
}

/// What the ledger decided.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettledBody {
    #[schema(format = DateTime, example = "2030-11-29T12:00:01.234Z")]
    at: String,
    /// `ORDERED`, `SOLD_OUT`, `ALREADY_ORDERED`, `NO_ACCOUNT` or `REJECTED`.
    #[schema(example = "ORDERED")]
    outcome: String,
    /// Of a rejection.
    #[schema(example = json!(null))]
    cause: Option<String>,
}

impl From<OrderEntry> for OrderBody {
    fn from(order: OrderEntry) -> Self {
        Self {
            order_id: order.id.to_string(),
            attempt_id: order.attempt.to_string(),
            sale_id: order.sale.value(),
            product_id: order.product.value(),
            user_id: order.user.to_string(),
            status: order.status,
            created_at: timestamp(order.created_at),
            updated_at: timestamp(order.updated_at),
            sku: order.sku,
            product_name: order.product_name,
        }
    }
}

impl OrderBody {
    /// The names of a line of CSV.
    pub const CSV: &'static str =
        "orderId,attemptId,saleId,productId,userId,status,createdAt,updatedAt,sku,productName";

    /// A line of CSV.
    #[must_use]
    pub fn csv(&self) -> String {
        [
            &self.order_id,
            &self.attempt_id,
            &self.sale_id.to_string(),
            &self.product_id.to_string(),
            &self.user_id,
            &self.status,
            &self.created_at,
            &self.updated_at,
            &quoted(&self.sku),
            &quoted(&self.product_name),
        ]
        .map(String::as_str)
        .join(",")
    }
}

/// First characters of a text that a spreadsheet takes for a formula (OWASP, "CSV Injection"), also in full width.
const OF_A_FORMULA: [char; 11] = [
    '=', '+', '-', '@', '\t', '\r', '\n', '\u{FF1D}', '\u{FF0B}', '\u{FF0D}', '\u{FF20}',
];

/// A text as a field of CSV (RFC 4180). One that a spreadsheet would take for a formula gets an apostrophe, as OWASP advises.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(OF_A_FORMULA) {
        "'"
    } else {
        ""
    };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

impl From<CancelledOrder> for CancelledOrderBody {
    fn from(cancelled: CancelledOrder) -> Self {
        let at = match cancelled.applied {
            Applied::At(at) => Some(at),
            Applied::Later => None,
        };
        Self {
            order: cancelled.order.into(),
            applied: at.is_some(),
            applied_at: at.map(timestamp),
        }
    }
}

impl AttemptBody {
    #[must_use]
    pub fn of(attempt: AttemptHistory, told: Option<PurchaseResult>) -> Self {
        Self {
            attempt_id: attempt.attempt.to_string(),
            state: AttemptState::Settled,
            sale_id: attempt.sale.value(),
            product_id: attempt.product.value(),
            user_id: attempt.user.to_string(),
            reserved_at: timestamp(attempt.attempted_at),
            logged: Some(LoggedBody {
                topic: attempt.topic,
                partition: attempt.partition.0,
                offset: attempt.offset.map(|offset| offset.0),
            }),
            settled: Some(SettledBody {
                at: timestamp(attempt.settled_at),
                outcome: attempt.outcome,
                cause: attempt.cause,
            }),
            told: told.map(told_as),
            order: attempt.order.map(OrderBody::from),
            released_at: attempt.released_at.map(timestamp),
        }
    }

    /// Of an attempt that is not settled.
    #[must_use]
    pub fn reserved(attempt: &ReservedAttempt, told: Option<PurchaseResult>) -> Self {
        Self {
            attempt_id: attempt.entry.attempt.to_string(),
            state: AttemptState::Reserved,
            sale_id: attempt.sale.value(),
            product_id: attempt.product.value(),
            user_id: attempt.entry.user.to_string(),
            reserved_at: timestamp(attempt.entry.since),
            logged: None,
            settled: None,
            told: told.map(told_as),
            order: None,
            released_at: None,
        }
    }
}

fn told_as(told: PurchaseResult) -> &'static str {
    match told {
        PurchaseResult::Success => "SUCCESS",
        PurchaseResult::Failed => "FAILED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_csv_is_one_field_and_no_formula() {
        assert_eq!(quoted("Trail shoe"), "Trail shoe");
        assert_eq!(quoted("Shoe, blue"), "\"Shoe, blue\"");
        assert_eq!(quoted("15\" screen"), "\"15\"\" screen\"");
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
        assert_eq!(quoted("\u{FF1D}1+1"), "\"'\u{FF1D}1+1\"");
        assert_eq!(quoted("two\nlines"), "\"two\nlines\"");
    }
}
