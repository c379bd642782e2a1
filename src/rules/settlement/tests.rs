//! Tests of the rules, on batches of attempts.

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
        offsets: Vec::new(),
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

/// Sale 1 with five units left, and this attempt settled before.
fn known_settled(attempt: Attempt, outcome: Outcome) -> Known {
    let settled = Settled {
        sale: attempt.sale,
        user: attempt.user,
        outcome,
    };
    Known {
        settled: HashMap::from([(attempt.id, settled)]),
        ..known(5)
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
                attempts_removed_until: None,
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
fn the_first_attempts_get_the_units_and_the_others_find_the_sale_sold_out() {
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
    let known = known_settled(one, Outcome::SoldOut);
    let decision = decide_one(&[one], &[], known).unwrap();
    assert_eq!(outcomes(&decision), [Outcome::SoldOut]);
    assert!(decision.orders.is_empty() && decision.fresh.is_empty());
}

#[test]
fn an_attempt_settled_before_keeps_its_outcome_though_it_is_listed_as_rejected() {
    let one = attempt(1, 1);
    let known = known_settled(one, Outcome::Ordered);
    let rejected = [Rejection {
        attempt: one.id,
        cause: "rejected by an earlier worker".into(),
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
fn attempts_that_name_an_unknown_sale_or_product_stop_the_batch_with_each_cause_once() {
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
fn every_time_is_accepted_if_it_is_not_known_when_the_sale_was_open() {
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
fn an_attempt_of_a_deleted_account_takes_no_unit_and_stops_no_other_attempt() {
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
    let known = known_settled(one, Outcome::NoAccount);
    let decision = decide_one(&[one], &[], known).unwrap();
    assert_eq!(outcomes(&decision), [Outcome::NoAccount]);
    assert!(decision.orders.is_empty());
}

#[test]
fn attempts_among_the_dead_letters_are_rejected_and_the_others_are_settled() {
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
fn batches_settled_together_share_units_and_get_separate_answers() {
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
    let partitions: Vec<_> = decision
        .fresh
        .iter()
        .map(|fresh| fresh.partition.0)
        .collect();
    assert_eq!(partitions, [4, 7, 7]);
}

#[test]
fn an_empty_batch_decides_nothing() {
    assert_eq!(decide(&[], known(5)), Ok(Decision::default()));
}

#[test]
fn an_attempt_whose_row_was_removed_gets_no_order_and_that_of_an_order_keeps_it() {
    let (ordered, refused) = (attempt(1, 1), attempt(2, 2));
    let mut known = known(5);
    let sale = known.sales.get_mut(&ordered.sale).unwrap();
    sale.attempts_removed_until = Some(WINDOW.end);
    let shopper = (ordered.sale, ordered.user);
    known.orders.insert(shopper, ordered.id);
    let decision = decide_one(&[ordered, refused], &[], known.clone()).unwrap();
    assert_eq!(outcomes(&decision), [Outcome::Ordered, Outcome::SoldOut]);
    assert!(decision.orders.is_empty());
    // The end was moved by hand since: what comes after it is sold as ever.
    let later = TimeDelta::hours(1);
    let end = WINDOW.end + later * 2;
    let sale = known.sales.get_mut(&ordered.sale).unwrap();
    sale.admitted = Some(SaleWindow { end, ..WINDOW });
    let new = Attempt {
        at: WINDOW.end + later,
        ..refused
    };
    let decision = decide_one(&[new], &[], known).unwrap();
    assert_eq!(outcomes(&decision), [Outcome::Ordered]);
}
