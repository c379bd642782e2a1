//! A sale as operators see it, and what came of changing it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::timestamp,
    port::SaleRecord,
    rules::lifecycle::{Phase, phase},
    sale::{Applied, Balance, BalanceSource, Shifted, Steered},
};

/// A sale as operators see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AdminSaleBody)]
pub struct SaleBody {
    #[schema(example = 1)]
    pub id: i64,
    #[schema(example = 1)]
    product_id: i64,
    pub phase: PhaseName,
    #[schema(format = DateTime, example = "2030-11-29T12:00:00.000Z")]
    start_time: String,
    #[schema(format = DateTime, example = "2030-11-29T14:00:00.000Z")]
    end_time: String,
    /// All units of the sale, sold ones included.
    #[schema(example = 1000)]
    units: u64,
    /// Units for which no order stands.
    #[schema(example = 640)]
    remaining: u64,
    /// Since when it has been paused.
    #[schema(format = DateTime, example = json!(null))]
    paused_at: Option<String>,
    #[schema(example = "Announced in the newsletter of 20 November")]
    note: String,
    /// The `ETag` is `"v<version>"`.
    #[schema(example = 3)]
    pub version: u64,
    #[schema(format = DateTime, example = "2030-11-20T09:00:00.000Z")]
    created_at: String,
    #[schema(format = DateTime, example = "2030-11-20T09:00:00.000Z")]
    updated_at: String,
}

/// Where a sale stands, by the gate's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "open")]
pub enum PhaseName {
    /// Seen by operators alone.
    Draft,
    Scheduled,
    Open,
    Paused,
    Ended,
    Cancelled,
}

/// Where the units of a sale are: `total = available + pending + held + sold + withdrawn + drift`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BalanceBody {
    /// `gate`: at one moment. `ledger`: the sale is not open in the gate, and what is pending there counts as available.
    source: SourceName,
    #[schema(example = 1000)]
    total: i64,
    /// Units that can be bought now.
    #[schema(example = 600)]
    available: i64,
    /// Accepted, and not settled yet.
    #[schema(example = 40)]
    pending: i64,
    /// Of orders that await their payment.
    #[schema(example = 0)]
    held: i64,
    /// Of orders that stand.
    #[schema(example = 360)]
    sold: i64,
    /// Set aside, on their way out of the sale.
    #[schema(example = 0)]
    withdrawn: i64,
    /// Units that are missing. Always 0, or something is wrong.
    #[schema(example = 0)]
    drift: i64,
    #[schema(format = DateTime, example = "2030-11-29T12:05:00.000Z")]
    at: String,
}

/// Who told a balance.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "gate")]
pub enum SourceName {
    Gate,
    Ledger,
}

/// A sale with its balance.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SaleDetailBody {
    #[serde(flatten)]
    pub sale: SaleBody,
    balance: BalanceBody,
}

/// A sale after a change.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SteeredBody {
    #[serde(flatten)]
    sale: SaleBody,
    /// Whether the gate decides by it: from `appliedAt` on no node acts on the old terms. If not, it does within two seconds.
    #[schema(example = true)]
    pub applied: bool,
    /// By the gate's clock.
    #[schema(format = DateTime, example = "2030-11-29T12:05:00.000Z")]
    applied_at: Option<String>,
}

/// What came of a change of units.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StockBody {
    #[schema(example = 1)]
    sale_id: i64,
    #[schema(example = -100)]
    requested: i64,
    /// What was done of it; `null` until the gate has said how many units it took.
    #[schema(example = -60)]
    pub applied: Option<i64>,
    /// Whether all of it is done. If not, it is within two seconds, once the gate has the sale.
    #[schema(example = true)]
    pub complete: bool,
    /// Of the sale.
    #[schema(example = 4)]
    version: u64,
    balance: BalanceBody,
}

impl SaleBody {
    /// A sale as it stands at this time by the gate's clock.
    #[must_use]
    pub fn of(sale: &SaleRecord, now: DateTime<Utc>) -> Self {
        Self {
            id: sale.id.value(),
            product_id: sale.product.value(),
            phase: phase(sale, now).into(),
            start_time: timestamp(sale.window.start),
            end_time: timestamp(sale.window.end),
            units: sale.initial_stock,
            remaining: sale.remaining_stock,
            paused_at: sale.paused_at.map(timestamp),
            note: sale.note.clone(),
            version: sale.version,
            created_at: timestamp(sale.created_at),
            updated_at: timestamp(sale.updated_at),
        }
    }
}

impl SaleDetailBody {
    #[must_use]
    pub fn of(sale: &SaleRecord, balance: Balance) -> Self {
        Self {
            sale: SaleBody::of(sale, balance.at),
            balance: balance.into(),
        }
    }
}

impl SteeredBody {
    /// What came of a change, at this time by the gate's clock.
    #[must_use]
    pub fn of(steered: &Steered, now: DateTime<Utc>) -> Self {
        let at = match steered.applied {
            Applied::At(at) => Some(at),
            Applied::Later => None,
        };
        Self {
            sale: SaleBody::of(&steered.sale, at.unwrap_or(now)),
            applied: at.is_some(),
            applied_at: at.map(timestamp),
        }
    }
}

impl StockBody {
    #[must_use]
    pub fn of(shifted: &Shifted, balance: Balance) -> Self {
        Self {
            sale_id: shifted.sale.id.value(),
            requested: shifted.requested,
            applied: shifted.done,
            complete: shifted.done.is_some() && matches!(shifted.applied, Applied::At(_)),
            version: shifted.sale.version,
            balance: balance.into(),
        }
    }
}

impl From<Phase> for PhaseName {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Draft => Self::Draft,
            Phase::Scheduled => Self::Scheduled,
            Phase::Open => Self::Open,
            Phase::Paused => Self::Paused,
            Phase::Ended => Self::Ended,
            Phase::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Balance> for BalanceBody {
    fn from(balance: Balance) -> Self {
        Self {
            source: match balance.source {
                BalanceSource::Gate => SourceName::Gate,
                BalanceSource::Ledger => SourceName::Ledger,
            },
            total: balance.total,
            available: balance.available,
            pending: balance.pending,
            held: balance.held,
            sold: balance.sold,
            withdrawn: balance.withdrawn,
            drift: balance.drift,
            at: timestamp(balance.at),
        }
    }
}
