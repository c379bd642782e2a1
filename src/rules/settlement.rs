//! The rules that decide the outcomes of logged attempts, without I/O. Every engine of the ledger uses them.
//!
//! An engine reads [`Known`] under its locks, calls [`decide`], and writes the [`Decision`].

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{Attempt, Offset, Outcome, Partition, Rejection, SaleWindow, SettleBatch, Settlement},
};

/// What the ledger knows about the batches that it settles together, read while it holds the locks of their sales.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Those of the batches' attempts that are settled already.
    pub settled: HashMap<AttemptId, Settled>,
    /// The orders of the batches' shoppers in the batches' sales, each with the attempt that made it.
    pub orders: HashMap<(SaleId, UserId), AttemptId>,
    /// Those of the batches' shoppers that have an account.
    pub users: HashSet<UserId>,
    /// Those of the batches' sales that exist.
    pub sales: HashMap<SaleId, KnownSale>,
}

/// An attempt that was settled before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    pub sale: SaleId,
    pub user: UserId,
    pub outcome: Outcome,
}

/// A sale that attempts name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownSale {
    pub product: ProductId,
    /// Units that no order has taken.
    pub remaining: u64,
    /// From the earliest start to the latest end that the sale ever had. Not its present window: an attempt that was accepted
    /// before the window was shortened still gets an order. It starts after its end for a sale that was never LIVE. `None` if
    /// unknown, as for sales older than this column.
    pub admitted: Option<SaleWindow>,
    /// The end of the sale when its attempts were removed. An attempt of that time may have been settled before.
    pub attempts_removed_until: Option<DateTime<Utc>>,
}

/// Tolerated error of the clock that a record's time comes from. This service writes a time within the window; the original
/// service and other producers write the time of their machine.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// The answers to the callers, and the rows that the engine has to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// For each batch one settlement for each of its attempts, in the order of the batch.
    pub settlements: Vec<Vec<Settlement>>,
    /// The attempts that were decided now, each once. The engine records their outcomes.
    pub fresh: Vec<Fresh>,
    /// The attempts for which the engine makes an order. Each takes a unit of its sale.
    pub orders: Vec<Attempt>,
}

/// An attempt that was decided now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    pub settlement: Settlement,
    /// The partition of its record.
    pub partition: Partition,
    /// Where its record is there, if the batch says so.
    pub offset: Option<Offset>,
    /// The cause of a rejection; `None` for other outcomes.
    pub cause: Option<String>,
}

/// The attempts of all batches, in order.
#[must_use]
pub fn attempts_of(batches: &[SettleBatch]) -> Vec<Attempt> {
    batches
        .iter()
        .flat_map(|batch| batch.attempts.iter().copied())
        .collect()
}

/// Decides batches one after the other, each in the order of the log. An attempt that was settled before keeps its outcome. A
/// shopper gets at most one order in a sale. The units go to the first attempts.
///
/// An attempt whose account does not exist gets [`Outcome::NoAccount`]. An attempt cannot be settled if it names an unknown sale
/// or the wrong product, or if its shopper has no order and its sale was never open at its time. Such an attempt gets
/// [`Outcome::Rejected`] if its batch lists it in `rejected`. If at least one is not listed, nothing is decided, and the error
/// has all that are not listed.
///
/// An attempt of a sale whose attempts were removed gets no order: it gets the outcome of an order that its shopper has, and else
/// [`Outcome::SoldOut`].
///
/// A record with the id of an attempt of another shopper or sale is answered `Rejected`, but not recorded: a rejection under
/// that id would also reject the other attempt.
pub fn decide(batches: &[SettleBatch], known: Known) -> Result<Decision, Vec<Rejection>> {
    let Known {
        mut settled,
        mut orders,
        users,
        mut sales,
    } = known;
    let mut decision = Decision::default();
    let mut unsettleable: Vec<Rejection> = Vec::new();

    for batch in batches {
        let causes: HashMap<AttemptId, &str> = batch
            .rejected
            .iter()
            .map(|rejection| (rejection.attempt, rejection.cause.as_str()))
            .collect();
        let mut settlements = Vec::with_capacity(batch.attempts.len());
        for (place, attempt) in batch.attempts.iter().enumerate() {
            let outcome = if let Some(earlier) = settled.get(&attempt.id) {
                if (earlier.sale, earlier.user) == (attempt.sale, attempt.user) {
                    earlier.outcome
                } else {
                    Outcome::Rejected
                }
            } else {
                let cause = causes.get(&attempt.id);
                let outcome = if cause.is_some() {
                    Outcome::Rejected
                } else {
                    let outcome = sale_of(attempt, &mut sales).and_then(|sale| {
                        let has_account = users.contains(&attempt.user);
                        let made = &mut decision.orders;
                        outcome_of(attempt, sale, has_account, &mut orders, made)
                    });
                    match outcome {
                        Ok(outcome) => outcome,
                        Err(cause) => {
                            if !unsettleable
                                .iter()
                                .any(|rejection| rejection.attempt == attempt.id)
                            {
                                unsettleable.push(Rejection {
                                    attempt: attempt.id,
                                    cause,
                                });
                            }
                            continue;
                        }
                    }
                };
                settled.insert(
                    attempt.id,
                    Settled {
                        sale: attempt.sale,
                        user: attempt.user,
                        outcome,
                    },
                );
                decision.fresh.push(Fresh {
                    settlement: Settlement {
                        attempt: *attempt,
                        outcome,
                    },
                    partition: batch.position.partition,
                    offset: batch.offsets.get(place).copied(),
                    cause: cause.map(|&cause| cause.to_owned()),
                });
                outcome
            };
            settlements.push(Settlement {
                attempt: *attempt,
                outcome,
            });
        }
        decision.settlements.push(settlements);
    }
    if unsettleable.is_empty() {
        Ok(decision)
    } else {
        Err(unsettleable)
    }
}

/// The account id above which the ids of new accounts must continue, if an attempt without an account was decided now. The
/// account may have been registered and logged by a node of this ledger before the ledger was set back to an earlier state.
#[must_use]
pub fn reached_before_set_back(batches: &[SettleBatch], decision: &Decision) -> Option<UserId> {
    let no_account = |fresh: &Fresh| fresh.settlement.outcome == Outcome::NoAccount;
    if !decision.fresh.iter().any(no_account) {
        return None;
    }
    batches.iter().filter_map(|batch| batch.reached).max()
}

/// The sale of an attempt, or why the attempt cannot be settled.
fn sale_of<'a>(
    attempt: &Attempt,
    sales: &'a mut HashMap<SaleId, KnownSale>,
) -> Result<&'a mut KnownSale, String> {
    let sale = sales
        .get_mut(&attempt.sale)
        .ok_or_else(|| format!("there is no sale {}", attempt.sale))?;
    if sale.product != attempt.product {
        return Err(format!(
            "sale {} is of product {}, not of product {}",
            attempt.sale, sale.product, attempt.product
        ));
    }
    Ok(sale)
}

/// Fails with the cause if the sale was never open at the attempt's time, within [`CLOCK_TOLERANCE`].
fn check_admitted(attempt: &Attempt, sale: &KnownSale) -> Result<(), String> {
    if let Some(SaleWindow { start, end }) = sale.admitted
        && (start - attempt.at > CLOCK_TOLERANCE || attempt.at - end >= CLOCK_TOLERANCE)
    {
        if start > end {
            return Err(format!("sale {} was never published", attempt.sale));
        }
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
        return Err(format!(
            "its time {} is outside of sale {}, which was open from {} to {} at the most",
            time(attempt.at),
            attempt.sale,
            time(start),
            time(end)
        ));
    }
    Ok(())
}

/// The outcome of an attempt, or why it cannot be settled. A new order is added to `orders` and `made`. The attempt's time is
/// checked only if its shopper has no order: an order that was imported, or made before an operator shortened the window, decides
/// the outcome whatever the time.
fn outcome_of(
    attempt: &Attempt,
    sale: &mut KnownSale,
    has_account: bool,
    orders: &mut HashMap<(SaleId, UserId), AttemptId>,
    made: &mut Vec<Attempt>,
) -> Result<Outcome, String> {
    let shopper = (attempt.sale, attempt.user);
    match orders.get(&shopper) {
        // The attempt is not recorded, but its order exists: an operator inserted the order by hand.
        Some(by) if *by == attempt.id => return Ok(Outcome::Ordered),
        Some(by) => return Ok(Outcome::AlreadyOrdered { by: *by }),
        None => check_admitted(attempt, sale)?,
    }
    if sale
        .attempts_removed_until
        .is_some_and(|until| attempt.at - until < CLOCK_TOLERANCE)
    {
        // Its shopper has no order: it got none when it was settled, or its order has ended.
        return Ok(Outcome::SoldOut);
    }
    if !has_account {
        // An order needs an account that owns it.
        return Ok(Outcome::NoAccount);
    }
    let Some(left) = sale.remaining.checked_sub(1) else {
        return Ok(Outcome::SoldOut);
    };
    sale.remaining = left;
    orders.insert(shopper, attempt.id);
    made.push(*attempt);
    Ok(Outcome::Ordered)
}

#[cfg(test)]
mod tests;
