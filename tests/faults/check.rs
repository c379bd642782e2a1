//! What must hold when a sale is over: the promises in gate and ledger, and that everybody was told the truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};

use crate::{bed::TestBed, fault::Fault, load::Load, support::system::System};

/// Shoppers of the check who press once more.
const IMPATIENT: usize = 20;

/// What became of a sale.
pub struct Outcome {
    pub accepted: usize,
    /// Accepted, and nothing was left.
    pub failed: usize,
    /// The longest time between being accepted and having an order.
    pub last_order_after: Duration,
}

/// Waits until the system is quiet and checks everything that must hold after these faults.
pub async fn check(bed: &TestBed, load: &Load, had: &[Fault]) -> Outcome {
    // Whether who was accepted may find nothing left, and whose account exists no more.
    let may_fail = had.iter().any(|fault| fault.reloads_the_gate());
    let may_be_gone = had.iter().any(|fault| fault.loses_accounts());
    let balance = bed.system.check_promises(load.sale).await;
    assert_eq!(
        (balance.orders, balance.remaining),
        (load.units(), 0),
        "everything can be sold: {balance:?}"
    );
    load.ask_all().await;
    let orders = orders(bed, load.sale).await;
    let accounts = accounts(bed).await;
    let outcome = {
        let client_log = load.client_log();
        let mut outcome = Outcome {
            accepted: 0,
            failed: 0,
            last_order_after: Duration::ZERO,
        };
        for (user, answers) in &client_log.answers {
            let order = orders.get(user);
            let has_account = accounts.contains(user);
            assert!(has_account || may_be_gone, "shopper {user} is gone");
            assert!(
                !(has_account && client_log.unknown.contains(user)),
                "shopper {user} was told 401 and has an account"
            );
            if !has_account || client_log.ended.contains(user) {
                continue;
            }
            if let Some((attempt, at)) = &answers.accepted {
                outcome.accepted += 1;
                if let Some((ordered, created)) = order {
                    assert_eq!(ordered, attempt, "the order of shopper {user}");
                    assert!(answers.succeeded, "shopper {user} reads no SUCCESS");
                    let after = (*created - *at).to_std().unwrap_or_default();
                    outcome.last_order_after = outcome.last_order_after.max(after);
                } else {
                    outcome.failed += 1;
                    assert!(may_fail, "shopper {user} was accepted and has no order");
                    assert!(
                        answers.failed,
                        "shopper {user} was accepted and reads nothing"
                    );
                }
            }
            let Some((attempt, _)) = order else {
                assert!(
                    !answers.succeeded,
                    "shopper {user} reads SUCCESS without order"
                );
                continue;
            };
            assert!(
                !answers.failed,
                "shopper {user} was told of a failure and has the order {attempt}"
            );
            assert!(
                answers.accepted.is_some() || answers.in_doubt,
                "shopper {user} was told that nothing was changed, and has the order {attempt}"
            );
        }
        for user in orders.keys() {
            assert!(
                client_log.answers.contains_key(user),
                "shopper {user} did not press"
            );
        }
        outcome
    };
    press_again(load).await;
    let letters = bed.system.dead_letter_causes().await;
    assert!(letters.is_empty(), "dead letters: {letters:?}");
    audit(bed, &["--sale", &load.sale.to_string()]).await;
    let client_log = load.client_log();
    assert!(
        client_log.violations.is_empty(),
        "{:#?}",
        client_log.violations
    );
    outcome
}

/// `flashsale audit` finds nothing either.
pub async fn audit(bed: &TestBed, arguments: &[&str]) {
    let process = bed.system.run(&[&["audit"], arguments].concat());
    let (clean, output) = process.outcome().await;
    assert!(clean, "{output}");
}

/// Who has an order and presses again is told of the same attempt.
async fn press_again(load: &Load) {
    let some: Vec<_> = {
        let client_log = load.client_log();
        let answers = client_log.answers.iter().filter(|(id, answers)| {
            answers.succeeded && !client_log.unknown.contains(id) && !client_log.ended.contains(id)
        });
        answers.take(IMPATIENT).map(|(id, _)| *id).collect()
    };
    for id in some {
        load.press(crate::support::api::Shopper::with_account(id))
            .await;
    }
    assert!(
        !load.client_log().someone_comes_again(),
        "refused with an order"
    );
}

/// The attempts that were ordered, and when, by shopper.
async fn orders(bed: &TestBed, sale: i64) -> BTreeMap<i64, (String, DateTime<Utc>)> {
    let query = format!(
        "SELECT user_id, attempt_id::text, (extract(epoch FROM created_at) * 1000)::bigint \
         FROM orders WHERE flash_sale_id = {sale} AND status = 'SUCCESS'"
    );
    let rows = bed.system.database.query(&query).await;
    let order = |row: &tokio_postgres::Row| {
        let created = DateTime::from_timestamp_millis(row.get(2)).unwrap();
        (row.get(0), (row.get(1), created))
    };
    rows.iter().map(order).collect()
}

/// The accounts that exist.
async fn accounts(bed: &TestBed) -> BTreeSet<i64> {
    let rows = bed.system.database.query("SELECT id FROM users").await;
    rows.iter().map(|row| row.get(0)).collect()
}
