//! What becomes of logged attempts: the pure decision, the same for every ledger.
//!
//! The ledger's engine says what it knows, under its locks; here is decided; the engine writes it down.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{Attempt, Outcome, Rejection, Settlement},
};

/// What the ledger knows about one attempt.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known {
    /// The outcome, if it was settled before.
    pub earlier: Option<Outcome>,
    /// The attempt that made the shopper's order in this sale, if there is one.
    pub order: Option<AttemptId>,
    pub user_exists: bool,
}

/// A sale of the batch, locked.
#[derive(Debug, Clone, Copy)]
pub struct Stock {
    pub product: ProductId,
    pub remaining: u64,
}

/// What is to be written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// One for each attempt, in order.
    pub settlements: Vec<Settlement>,
    /// Those that are settled now for the first time; each attempt once.
    pub new: Vec<Settlement>,
    /// Units to take.
    pub taken: BTreeMap<SaleId, u64>,
}

/// Decides a batch in the log's order: who comes first gets the unit. `known` has one entry for each attempt.
///
/// # Errors
/// The attempts that cannot be settled, unless they are among `rejected`.
pub fn decide(
    attempts: &[Attempt],
    known: &[Known],
    stocks: &BTreeMap<SaleId, Stock>,
    rejected: &[Rejection],
) -> Result<Decision, Vec<Rejection>> {
    let rejected: HashSet<AttemptId> = rejected.iter().map(|rejection| rejection.attempt).collect();
    let mut left: BTreeMap<SaleId, u64> = stocks
        .iter()
        .map(|(sale, stock)| (*sale, stock.remaining))
        .collect();
    let mut settled: HashMap<AttemptId, Outcome> = HashMap::new();
    let mut buyers: HashMap<(SaleId, UserId), AttemptId> = HashMap::new();
    let mut decision = Decision::default();
    let mut unsettleable = Vec::new();

    for (attempt, known) in attempts.iter().zip(known) {
        let before = settled.get(&attempt.id).copied().or(known.earlier);
        let outcome = if let Some(before) = before {
            before
        } else if rejected.contains(&attempt.id) {
            Outcome::Rejected
        } else if let Some(cause) = flaw(attempt, *known, stocks) {
            unsettleable.push(Rejection {
                attempt: attempt.id,
                cause,
            });
            continue;
        } else {
            let shopper = (attempt.sale, attempt.user);
            let left = left.entry(attempt.sale).or_default();
            if let Some(by) = buyers.get(&shopper).copied().or(known.order) {
                Outcome::AlreadyOrdered { by }
            } else if *left > 0 {
                *left -= 1;
                *decision.taken.entry(attempt.sale).or_default() += 1;
                buyers.insert(shopper, attempt.id);
                Outcome::Ordered
            } else {
                Outcome::SoldOut
            }
        };
        let settlement = Settlement {
            attempt: *attempt,
            outcome,
        };
        if before.is_none() {
            settled.insert(attempt.id, outcome);
            decision.new.push(settlement);
        }
        decision.settlements.push(settlement);
    }
    if unsettleable.is_empty() {
        Ok(decision)
    } else {
        Err(unsettleable)
    }
}

/// Why an attempt cannot be settled.
fn flaw(attempt: &Attempt, known: Known, stocks: &BTreeMap<SaleId, Stock>) -> Option<String> {
    match stocks.get(&attempt.sale) {
        None => Some(format!("there is no sale {}", attempt.sale)),
        Some(stock) if stock.product != attempt.product => Some(format!(
            "sale {} is not of product {}",
            attempt.sale, attempt.product
        )),
        Some(_) if !known.user_exists => Some(format!("there is no user {}", attempt.user)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    const FRESH: Known = Known {
        earlier: None,
        order: None,
        user_exists: true,
    };

    fn attempt(user: i64) -> Attempt {
        Attempt {
            id: AttemptId::generate(),
            sale: SaleId::new(1).unwrap(),
            product: ProductId::new(1).unwrap(),
            user: UserId::new(user).unwrap(),
            at: DateTime::UNIX_EPOCH,
        }
    }

    fn stock(remaining: u64) -> BTreeMap<SaleId, Stock> {
        let product = ProductId::new(1).unwrap();
        BTreeMap::from([(SaleId::new(1).unwrap(), Stock { product, remaining })])
    }

    fn outcomes(decision: &Decision) -> Vec<Outcome> {
        decision
            .settlements
            .iter()
            .map(|settlement| settlement.outcome)
            .collect()
    }

    #[test]
    fn the_first_in_the_log_get_the_units() {
        let attempts = [attempt(1), attempt(2), attempt(3)];
        let decision = decide(&attempts, &[FRESH; 3], &stock(2), &[]).unwrap();
        assert_eq!(
            outcomes(&decision),
            [Outcome::Ordered, Outcome::Ordered, Outcome::SoldOut]
        );
        assert_eq!(decision.taken.values().sum::<u64>(), 2);
        assert_eq!(decision.new.len(), 3);
    }

    #[test]
    fn a_shopper_s_second_attempt_finds_the_first_one_s_order() {
        let attempts = [attempt(1), attempt(1), attempt(2)];
        let known = [
            FRESH,
            FRESH,
            Known {
                order: Some(attempts[0].id),
                ..FRESH
            },
        ];
        let decision = decide(&attempts, &known, &stock(9), &[]).unwrap();
        let already = Outcome::AlreadyOrdered { by: attempts[0].id };
        assert_eq!(outcomes(&decision), [Outcome::Ordered, already, already]);
        assert_eq!(decision.taken.values().sum::<u64>(), 1);
    }

    #[test]
    fn an_attempt_that_comes_again_is_answered_as_before_and_not_written_again() {
        let (again, old) = (attempt(1), attempt(2));
        let settled = Known {
            earlier: Some(Outcome::SoldOut),
            ..FRESH
        };
        let decision = decide(
            &[again, again, old],
            &[FRESH, FRESH, settled],
            &stock(9),
            &[],
        )
        .unwrap();
        assert_eq!(
            outcomes(&decision),
            [Outcome::Ordered, Outcome::Ordered, Outcome::SoldOut]
        );
        assert_eq!(decision.new.len(), 1);
        assert_eq!(decision.taken.values().sum::<u64>(), 1);
    }

    #[test]
    fn what_cannot_be_settled_is_named_until_it_is_rejected() {
        let unknown_user = attempt(1);
        let unknown_sale = Attempt {
            sale: SaleId::new(7).unwrap(),
            ..attempt(2)
        };
        let wrong_product = Attempt {
            product: ProductId::new(7).unwrap(),
            ..attempt(3)
        };
        let attempts = [unknown_user, unknown_sale, wrong_product, attempt(4)];
        let known = [
            Known {
                user_exists: false,
                ..FRESH
            },
            FRESH,
            FRESH,
            FRESH,
        ];
        let flaws = decide(&attempts, &known, &stock(9), &[]).unwrap_err();
        let causes: Vec<_> = flaws.iter().map(|flaw| flaw.cause.as_str()).collect();
        assert_eq!(
            causes,
            [
                "there is no user 1",
                "there is no sale 7",
                "sale 1 is not of product 7"
            ]
        );

        let decision = decide(&attempts, &known, &stock(9), &flaws).unwrap();
        let rejected = Outcome::Rejected;
        assert_eq!(
            outcomes(&decision),
            [rejected, rejected, rejected, Outcome::Ordered]
        );
    }
}
