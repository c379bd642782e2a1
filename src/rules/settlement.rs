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
mod tests {
    use super::*;
    use crate::port::{Offset, Position};
    use uuid::Uuid;

    /// The first second of 1970.
    const WINDOW: SaleWindow = SaleWindow {
        start: DateTime::UNIX_EPOCH,
        end: DateTime::from_timestamp_nanos(1_000_000_000),
    };

    /// Records of one partition.
    fn batch(partition: i32, attempts: &[Attempt], rejected: &[Rejection]) -> SettleBatch {
        SettleBatch {
            position: Position {
                group: "workers".into(),
                topic: "attempts".into(),
                partition: Partition(partition),
            },
            from: Offset(0),
            to: Offset(9),
            last: None,
            attempts: attempts.to_vec(),
            rejected: rejected.to_vec(),
            reached: None,
        }
    }

    fn decide_one(
        attempts: &[Attempt],
        rejected: &[Rejection],
        known: Known,
    ) -> Result<Decision, Vec<Rejection>> {
        decide(&[batch(0, attempts, rejected)], known)
    }

    fn attempt(id: u128, user: i64) -> Attempt {
        Attempt {
            id: AttemptId(Uuid::from_u128(id)),
            sale: SaleId::new(1).unwrap(),
            product: ProductId::new(1).unwrap(),
            user: UserId::new(user).unwrap(),
            at: DateTime::UNIX_EPOCH,
        }
    }

    /// Users 1 to 9, and sale 1 of product 1 with this much left.
    fn known(remaining: u64) -> Known {
        Known {
            users: (1..10).filter_map(UserId::new).collect(),
            sales: HashMap::from([(
                SaleId::new(1).unwrap(),
                KnownSale {
                    product: ProductId::new(1).unwrap(),
                    remaining,
                    admitted: Some(WINDOW),
                },
            )]),
            ..Known::default()
        }
    }

    fn outcomes(decision: &Decision) -> Vec<Outcome> {
        decision
            .settlements
            .iter()
            .flatten()
            .map(|settlement| settlement.outcome)
            .collect()
    }

    #[test]
    fn the_first_come_get_the_units_and_the_rest_finds_it_sold_out() {
        let batch = [attempt(3, 3), attempt(1, 1), attempt(2, 2)];
        let decision = decide_one(&batch, &[], known(2)).unwrap();
        assert_eq!(
            outcomes(&decision),
            [Outcome::Ordered, Outcome::Ordered, Outcome::SoldOut]
        );
        assert_eq!(decision.orders, batch[..2]);
        let fresh = decision.fresh.iter().map(|fresh| fresh.settlement);
        assert!(fresh.eq(decision.settlements[0].iter().copied()));
    }

    #[test]
    fn a_shopper_gets_one_order_within_a_batch() {
        let batch = [attempt(1, 1), attempt(2, 1), attempt(3, 2)];
        let decision = decide_one(&batch, &[], known(5)).unwrap();
        let by = batch[0].id;
        assert_eq!(
            outcomes(&decision),
            [
                Outcome::Ordered,
                Outcome::AlreadyOrdered { by },
                Outcome::Ordered
            ]
        );
        assert_eq!(decision.orders.len(), 2);
    }

    #[test]
    fn a_shopper_with_an_order_gets_no_second_one() {
        let by = AttemptId(Uuid::from_u128(77));
        let mut known = known(5);
        known
            .orders
            .insert((SaleId::new(1).unwrap(), UserId::new(1).unwrap()), by);
        let decision = decide_one(&[attempt(1, 1)], &[], known).unwrap();
        assert_eq!(outcomes(&decision), [Outcome::AlreadyOrdered { by }]);
        assert!(decision.orders.is_empty());
    }

    #[test]
    fn an_order_written_by_hand_for_this_very_attempt_is_its_order() {
        let mut known = known(0);
        known.orders.insert(
            (SaleId::new(1).unwrap(), UserId::new(1).unwrap()),
            attempt(1, 1).id,
        );
        let decision = decide_one(&[attempt(1, 1)], &[], known).unwrap();
        assert_eq!(outcomes(&decision), [Outcome::Ordered]);
        assert!(decision.orders.is_empty());
        assert_eq!(decision.fresh.len(), 1);
    }

    #[test]
    fn an_attempt_logged_twice_takes_one_unit_and_is_answered_alike() {
        let batch = [attempt(1, 1), attempt(1, 1), attempt(2, 2), attempt(2, 2)];
        let decision = decide_one(&batch, &[], known(1)).unwrap();
        assert_eq!(
            outcomes(&decision),
            [
                Outcome::Ordered,
                Outcome::Ordered,
                Outcome::SoldOut,
                Outcome::SoldOut
            ]
        );
        assert_eq!((decision.orders.len(), decision.fresh.len()), (1, 2));
    }

    #[test]
    fn an_attempt_settled_before_keeps_its_outcome_though_units_came_back() {
        let one = attempt(1, 1);
        let mut known = known(5);
        known.settled.insert(
            one.id,
            Settled {
                sale: one.sale,
                user: one.user,
                outcome: Outcome::SoldOut,
            },
        );
        let decision = decide_one(&[one], &[], known).unwrap();
        assert_eq!(outcomes(&decision), [Outcome::SoldOut]);
        assert!(decision.orders.is_empty() && decision.fresh.is_empty());
    }

    #[test]
    fn an_attempt_settled_before_keeps_its_outcome_though_it_is_listed_as_rejected() {
        let one = attempt(1, 1);
        let mut known = known(5);
        known.settled.insert(
            one.id,
            Settled {
                sale: one.sale,
                user: one.user,
                outcome: Outcome::Ordered,
            },
        );
        let rejected = [Rejection {
            attempt: one.id,
            cause: "buried in an earlier life".into(),
        }];
        assert_eq!(
            outcomes(&decide_one(&[one], &rejected, known).unwrap()),
            [Outcome::Ordered]
        );
    }

    #[test]
    fn a_record_with_the_id_of_another_attempt_is_rejected_and_leaves_the_other_alone() {
        let (own, stolen) = (attempt(1, 1), attempt(1, 2));
        let decision = decide_one(&[own, stolen, own], &[], known(5)).unwrap();
        assert_eq!(
            outcomes(&decision),
            [Outcome::Ordered, Outcome::Rejected, Outcome::Ordered]
        );
        assert_eq!((decision.orders.len(), decision.fresh.len()), (1, 1));
    }

    #[test]
    fn what_names_unknown_things_stops_the_batch_with_every_cause_once() {
        let mut no_sale = attempt(1, 1);
        no_sale.sale = SaleId::new(9).unwrap();
        let mut wrong_product = attempt(2, 1);
        wrong_product.product = ProductId::new(9).unwrap();
        let batch = [
            no_sale,
            attempt(4, 1),
            wrong_product,
            attempt(3, 99),
            no_sale,
        ];
        let causes: Vec<String> = decide_one(&batch, &[], known(5))
            .unwrap_err()
            .into_iter()
            .map(|rejection| rejection.cause)
            .collect();
        assert_eq!(
            causes,
            [
                "there is no sale 9",
                "sale 1 is of product 1, not of product 9"
            ]
        );
    }

    #[test]
    fn a_record_of_a_time_at_which_the_sale_was_never_open_is_rejected_with_its_cause() {
        let minutes = TimeDelta::minutes;
        let at = |id, user, at| Attempt {
            at,
            ..attempt(id, user)
        };
        let batch = [
            at(1, 1, WINDOW.start - minutes(5) - TimeDelta::milliseconds(1)),
            at(2, 2, WINDOW.start - minutes(5)),
            at(3, 3, WINDOW.end + minutes(5) - TimeDelta::milliseconds(1)),
            at(4, 4, WINDOW.end + minutes(5)),
        ];
        let rejected = decide_one(&batch, &[], known(9)).unwrap_err();
        let causes: Vec<_> = rejected.iter().map(|found| found.cause.as_str()).collect();
        assert_eq!(
            causes,
            [
                "its time 1969-12-31T23:54:59.999Z is outside of sale 1, which was open from 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:01.000Z at the most",
                "its time 1970-01-01T00:05:01.000Z is outside of sale 1, which was open from 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:01.000Z at the most",
            ]
        );
        let decision = decide_one(&batch, &rejected, known(9)).unwrap();
        let expected = [
            Outcome::Rejected,
            Outcome::Ordered,
            Outcome::Ordered,
            Outcome::Rejected,
        ];
        assert_eq!(outcomes(&decision), expected);
    }

    #[test]
    fn a_record_of_a_shopper_with_an_order_is_answered_by_the_order_whatever_its_time() {
        let late = WINDOW.end + TimeDelta::days(9);
        let batch = [attempt(1, 1), attempt(2, 1), attempt(3, 2)].map(|attempt| Attempt {
            at: late,
            ..attempt
        });
        let mut known = known(5);
        for ordered in [batch[0], batch[2]] {
            let shopper = (ordered.sale, ordered.user);
            known.orders.insert(shopper, ordered.id);
        }
        let decision = decide_one(&batch, &[], known).unwrap();
        let by = batch[0].id;
        let expected = [
            Outcome::Ordered,
            Outcome::AlreadyOrdered { by },
            Outcome::Ordered,
        ];
        assert_eq!(outcomes(&decision), expected);
        assert!(decision.orders.is_empty());
    }

    #[test]
    fn where_it_is_not_known_when_a_sale_was_open_every_time_is_taken() {
        let mut known = known(9);
        for sale in known.sales.values_mut() {
            sale.admitted = None;
        }
        let late = Attempt {
            at: WINDOW.end + TimeDelta::days(9),
            ..attempt(1, 1)
        };
        let decision = decide_one(&[late], &[], known).unwrap();
        assert_eq!(outcomes(&decision), [Outcome::Ordered]);
    }

    #[test]
    fn an_attempt_of_a_deleted_account_takes_no_unit_and_stops_nobody() {
        let batch = [attempt(1, 99), attempt(2, 2), attempt(1, 99)];
        let decision = decide_one(&batch, &[], known(1)).unwrap();
        assert_eq!(
            outcomes(&decision),
            [Outcome::NoAccount, Outcome::Ordered, Outcome::NoAccount]
        );
        assert_eq!((decision.orders.len(), decision.fresh.len()), (1, 2));
        assert!(decision.fresh.iter().all(|fresh| fresh.cause.is_none()));
    }

    #[test]
    fn an_attempt_without_an_account_keeps_its_outcome_though_the_account_is_there_later() {
        let one = attempt(1, 1);
        let mut known = known(5);
        known.settled.insert(
            one.id,
            Settled {
                sale: one.sale,
                user: one.user,
                outcome: Outcome::NoAccount,
            },
        );
        let decision = decide_one(&[one], &[], known).unwrap();
        assert_eq!(outcomes(&decision), [Outcome::NoAccount]);
        assert!(decision.orders.is_empty());
    }

    #[test]
    fn buried_attempts_are_rejected_and_the_rest_is_settled() {
        let mut no_sale = attempt(1, 1);
        no_sale.sale = SaleId::new(9).unwrap();
        let batch = [no_sale, attempt(2, 2)];
        let rejected = decide_one(&batch, &[], known(5)).unwrap_err();
        let decision = decide_one(&batch, &rejected, known(5)).unwrap();
        assert_eq!(outcomes(&decision), [Outcome::Rejected, Outcome::Ordered]);
        let causes: Vec<_> = decision
            .fresh
            .into_iter()
            .map(|fresh| fresh.cause)
            .collect();
        assert_eq!(causes, [Some("there is no sale 9".to_owned()), None]);
    }

    #[test]
    fn batches_settled_together_see_each_other_and_are_answered_apart() {
        let (one, two, three) = (attempt(1, 1), attempt(2, 2), attempt(3, 1));
        let batches = [batch(4, &[one], &[]), batch(7, &[two, three], &[])];
        let decision = decide(&batches, known(1)).unwrap();
        assert_eq!(
            decision
                .settlements
                .iter()
                .map(Vec::len)
                .collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(
            outcomes(&decision),
            [
                Outcome::Ordered,
                Outcome::SoldOut,
                Outcome::AlreadyOrdered { by: one.id }
            ]
        );
        let places: Vec<_> = decision
            .fresh
            .iter()
            .map(|fresh| fresh.partition.0)
            .collect();
        assert_eq!(places, [4, 7, 7]);
    }

    #[test]
    fn an_empty_batch_decides_nothing() {
        assert_eq!(decide(&[], known(5)), Ok(Decision::default()));
    }
}
