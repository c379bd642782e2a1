//! The balance of a sale: where its units are, as the gate has them in one step, or the ledger while the gate has none.

use chrono::{DateTime, Utc};

use crate::port::{GateStatus, SaleRecord};

/// Where the units of a sale are. `total = available + pending + held + sold + withdrawn + drift`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    pub source: BalanceSource,
    pub total: i64,
    /// Units that can be bought now. Below zero while more are given out than there are.
    pub available: i64,
    /// Accepted, and not settled yet.
    pub pending: i64,
    /// Of orders that await their payment. No sale has such orders yet.
    pub held: i64,
    /// Of orders that stand.
    pub sold: i64,
    /// Set aside, on their way out of the sale.
    pub withdrawn: i64,
    /// Units of which nobody knows where they are. Must be 0.
    pub drift: i64,
    /// By the gate's clock, or the machine's if the gate does not answer.
    pub at: DateTime<Utc>,
}

/// Who told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BalanceSource {
    Gate,
    /// The sale is not open in the gate: what is pending there is not known, and counts as available.
    Ledger,
}

impl Balance {
    /// Of what gate and ledger have of a sale.
    #[must_use]
    pub fn of(sale: &SaleRecord, status: Option<&GateStatus>, at: DateTime<Utc>) -> Self {
        let Some(
            open @ GateStatus::Open {
                available,
                pending,
                holders,
                total,
                ..
            },
        ) = status
        else {
            let (total, available) = (signed(sale.initial_stock), signed(sale.remaining_stock));
            return Self {
                source: BalanceSource::Ledger,
                total,
                available,
                pending: 0,
                held: 0,
                sold: total - available,
                withdrawn: 0,
                drift: 0,
                at,
            };
        };
        let (held_units, withdrawn) = (signed(*holders), signed(open.withdrawn_units()));
        let pending = signed(*pending).min(held_units);
        Self {
            source: BalanceSource::Gate,
            total: *total,
            available: *available,
            pending,
            held: 0,
            sold: held_units - pending,
            withdrawn,
            drift: total - available - held_units - withdrawn,
            at,
        }
    }
}

fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}
