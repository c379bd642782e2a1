//! Records the outcomes of settled attempts in the gate.

use std::collections::BTreeMap;

use crate::{
    ids::SaleId,
    port::{GateError, Outcome, PurchaseResult, ResultEntry, Settlement, StockGate},
    telemetry::CallDurations,
};

/// Records settlements in the gate, with one call for each sale.
pub(super) async fn record(
    gate: &dyn StockGate,
    settlements: &[Settlement],
) -> Result<(), GateError> {
    // These accounts and their orders were lost when the ledger was set back: a SUCCESS that the gate still keeps for them is
    // deleted.
    let lost: Vec<_> = settlements
        .iter()
        .filter(|settlement| settlement.outcome == Outcome::NoAccount)
        .map(|settlement| ResultEntry {
            sale: settlement.attempt.sale,
            product: settlement.attempt.product,
            user: settlement.attempt.user,
            result: PurchaseResult::Success,
        })
        .collect();
    if !lost.is_empty() {
        gate.forget_results(&lost).await?;
    }
    let mut by_sale: BTreeMap<SaleId, Vec<Settlement>> = BTreeMap::new();
    for settlement in settlements {
        by_sale
            .entry(settlement.attempt.sale)
            .or_default()
            .push(*settlement);
    }
    let durations = CallDurations::of_gate("record");
    for (sale, settlements) in by_sale {
        durations.measure(gate.record(sale, &settlements)).await?;
    }
    Ok(())
}
