//! What becomes of logged attempts: the rules of settling, without I/O. Every engine of the ledger decides by these.
//!
//! The engine looks up what is [`Known`] under its locks, calls [`decide`], and writes down the [`Decision`].

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{Attempt, Outcome, Partition, Rejection, SaleWindow, SettleBatch, Settlement},
};

/// What the ledger knows of the batches that it settles together, read under the locks of their sales.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Their attempts that were settled before, whatever batch it was.
    pub settled: HashMap<AttemptId, Settled>,
    /// The standing orders of their shoppers in their sales, each with the attempt that made it.
    pub orders: HashMap<(SaleId, UserId), AttemptId>,
    /// Those of their shoppers that have an account.
    pub users: HashSet<UserId>,
    /// Those of their sales that exist.
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
    /// Units for which no order stands.
    pub remaining: u64,
    /// From the earliest start to the latest end that it ever had; `None` if that is not known, as of sales that are older
    /// than this column. Not the window of now: who was let in before it was shortened gets an order all the same.
    pub admitted: Option<SaleWindow>,
}

/// By how much the clocks of those who write records may be off. Ours write a time within the window; the original service
/// and other producers write that of their machine.
const CLOCKS: TimeDelta = TimeDelta::minutes(5);

/// What is to be written down and what to answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// For each batch one for each of its attempts, in its order.
    pub settlements: Vec<Vec<Settlement>>,
    /// What was decided now, each attempt once: to be recorded.
    pub fresh: Vec<Fresh>,
    /// The attempts for which an order is to be made. Each takes a unit of its sale.
    pub orders: Vec<Attempt>,
}

/// An attempt that was decided now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    pub settlement: Settlement,
    /// Where its record is.
    pub partition: Partition,
    /// Of a rejection.
    pub cause: Option<String>,
}

/// The attempts of batches, one after the other.
#[must_use]
pub fn attempts_of(batches: &[SettleBatch]) -> Vec<Attempt> {
    batches
        .iter()
        .flat_map(|batch| batch.attempts.iter().copied())
        .collect()
}

/// Decides about batches, one after the other, each in the log's order: an attempt settled before keeps its outcome; a
/// shopper gets one order a sale; the first come get the units.
///
/// An attempt of an account that does not exist is decided as such. One that names a sale or product that the ledger does not
/// know, or, without a standing order of its shopper, a time at which its sale was never open, is rejected if its batch lists
/// it as `rejected`; with any that is not listed, nothing is decided and all such attempts are the answer.
///
/// A record that carries the id of somebody else's attempt is answered `Rejected` and leaves no trace: burying it by its
/// id would bury the other attempt with it.
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
        for attempt in &batch.attempts {
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

/// The account above which ids of new accounts have to continue, if an attempt was decided now that has no account: a node of
/// this ledger knew the account when it logged the attempt, and the ledger may have been set back to before its registration.
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

/// Why no order can be made of an attempt at its time.
fn must_have_been_let_in(attempt: &Attempt, sale: &KnownSale) -> Result<(), String> {
    if let Some(SaleWindow { start, end }) = sale.admitted
        && (start - attempt.at > CLOCKS || attempt.at - end >= CLOCKS)
    {
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

/// The outcome of an attempt, or why it cannot be settled; an order made is noted in `orders` and `made`. The time of an
/// attempt counts only where no order stands: an order that was taken over, or made before the window was cut by hand, is
/// the answer whatever the time.
fn outcome_of(
    attempt: &Attempt,
    sale: &mut KnownSale,
    has_account: bool,
    orders: &mut HashMap<(SaleId, UserId), AttemptId>,
    made: &mut Vec<Attempt>,
) -> Result<Outcome, String> {
    let shopper = (attempt.sale, attempt.user);
    match orders.get(&shopper) {
        // Its order stands although the attempt was never recorded: somebody wrote the order by hand.
        Some(by) if *by == attempt.id => return Ok(Outcome::Ordered),
        Some(by) => return Ok(Outcome::AlreadyOrdered { by: *by }),
        None => must_have_been_let_in(attempt, sale)?,
    }
    if !has_account {
        // Nobody can own its order.
        return Ok(Outcome::NoAccount);
    }
    let Some(rest) = sale.remaining.checked_sub(1) else {
        return Ok(Outcome::SoldOut);
    };
    sale.remaining = rest;
    orders.insert(shopper, attempt.id);
    made.push(*attempt);
    Ok(Outcome::Ordered)
}

#[cfg(test)]
mod tests;
