//! What a shopper is told of one sale, in every gate.

use crate::port::{PurchaseResult, ResultReading, ShopperResult, Standing};

/// What a gate knows of a sale's holders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holders {
    /// All of them.
    Complete,
    /// The gate does not have the sale.
    Absent,
    /// The sale is being loaded, or may have lost holders: a shopper without a unit may be one.
    InDoubt,
}

/// From the unit that the shopper holds, and from the stored result of this very sale. A stored SUCCESS without a unit counts only
/// where holders are missing: among all of them it is of an order that has ended, and came back with an older state of the server.
#[must_use]
pub fn reading(
    unit: Option<Standing>,
    stored: Option<PurchaseResult>,
    holders: Holders,
) -> ResultReading {
    use Holders::{Absent, Complete, InDoubt};
    use PurchaseResult::{Failed, Success};
    match (unit, stored, holders) {
        (Some(Standing::Pending), _, _) => ResultReading::Is(ShopperResult::Pending),
        (Some(Standing::Success), _, _) | (None, Some(Success), Absent | InDoubt) => {
            ResultReading::Is(ShopperResult::Success)
        }
        (None, _, InDoubt) | (None, None, Absent) => ResultReading::Unknown,
        (None, Some(Failed), Complete | Absent) => ResultReading::Is(ShopperResult::Failed),
        (None, None | Some(Success), Complete) => ResultReading::Nothing,
    }
}

/// The result that the shopper reads of a sale by [`reading`]: none while it is pending or unknown.
#[must_use]
pub fn result(
    unit: Option<Standing>,
    stored: Option<PurchaseResult>,
    holders: Holders,
) -> Option<PurchaseResult> {
    match reading(unit, stored, holders) {
        ResultReading::Is(ShopperResult::Success) => Some(PurchaseResult::Success),
        ResultReading::Is(ShopperResult::Failed) => Some(PurchaseResult::Failed),
        ResultReading::Is(ShopperResult::Pending)
        | ResultReading::Nothing
        | ResultReading::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDERS: [Holders; 3] = [Holders::Complete, Holders::Absent, Holders::InDoubt];

    #[test]
    fn a_unit_is_told_whatever_the_gate_knows_of_others() {
        let (success, failed) = (PurchaseResult::Success, PurchaseResult::Failed);
        let is = ResultReading::Is;
        for holders in HOLDERS {
            for stored in [None, Some(failed), Some(success)] {
                let pending = reading(Some(Standing::Pending), stored, holders);
                assert_eq!(
                    pending,
                    is(ShopperResult::Pending),
                    "{stored:?} {holders:?}"
                );
                let ordered = reading(Some(Standing::Success), stored, holders);
                assert_eq!(
                    ordered,
                    is(ShopperResult::Success),
                    "{stored:?} {holders:?}"
                );
            }
        }
    }

    #[test]
    fn a_success_without_a_unit_counts_only_where_holders_are_missing() {
        let stored = HOLDERS.map(|holders| reading(None, Some(PurchaseResult::Success), holders));
        let is_success = ResultReading::Is(ShopperResult::Success);
        assert_eq!(stored, [ResultReading::Nothing, is_success, is_success]);
    }

    #[test]
    fn a_shopper_reads_no_result_while_it_is_pending_or_unknown() {
        let (success, failed) = (Some(PurchaseResult::Success), Some(PurchaseResult::Failed));
        for stored in [None, failed, success] {
            let pending = result(Some(Standing::Pending), stored, Holders::Complete);
            assert_eq!(pending, None);
            let ordered = result(Some(Standing::Success), stored, Holders::InDoubt);
            assert_eq!(ordered, success);
        }
        assert_eq!(
            HOLDERS.map(|holders| result(None, failed, holders)),
            [failed, failed, None]
        );
        assert_eq!(
            HOLDERS.map(|holders| result(None, None, holders)),
            [None; 3]
        );
    }

    #[test]
    fn a_failed_is_told_only_if_the_shopper_surely_holds_no_unit() {
        let failed = HOLDERS.map(|holders| reading(None, Some(PurchaseResult::Failed), holders));
        let is_failed = ResultReading::Is(ShopperResult::Failed);
        assert_eq!(failed, [is_failed, is_failed, ResultReading::Unknown]);
        let nothing = HOLDERS.map(|holders| reading(None, None, holders));
        let unknown = ResultReading::Unknown;
        assert_eq!(nothing, [ResultReading::Nothing, unknown, unknown]);
    }
}
