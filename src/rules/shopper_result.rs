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

/// From the unit that the shopper holds, and from the stored result of this very sale.
#[must_use]
pub fn reading(
    unit: Option<Standing>,
    stored: Option<PurchaseResult>,
    holders: Holders,
) -> ResultReading {
    match (unit, stored, holders) {
        (Some(Standing::Pending), _, _) => ResultReading::Is(ShopperResult::Pending),
        (Some(Standing::Success), _, _) | (None, Some(PurchaseResult::Success), _) => {
            ResultReading::Is(ShopperResult::Success)
        }
        (None, _, Holders::InDoubt) | (None, None, Holders::Absent) => ResultReading::Unknown,
        (None, Some(PurchaseResult::Failed), Holders::Complete | Holders::Absent) => {
            ResultReading::Is(ShopperResult::Failed)
        }
        (None, None, Holders::Complete) => ResultReading::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDERS: [Holders; 3] = [Holders::Complete, Holders::Absent, Holders::InDoubt];

    #[test]
    fn a_unit_and_a_success_are_told_whatever_the_gate_knows_of_others() {
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
            let stored = reading(None, Some(success), holders);
            assert_eq!(stored, is(ShopperResult::Success), "{holders:?}");
        }
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
