//! What must hold when a sale is over: the promises in gate and ledger, and that everybody was told the truth.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};

use crate::{bed::Bed, load::Load, support::system::System};

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

/// Waits until the system is quiet and checks everything. `may_fail`: whether who was accepted may find nothing left.
pub async fn check(bed: &Bed, load: &Load, may_fail: bool) -> Outcome {
    let balance = bed.system.check_promises(load.sale).await;
    assert_eq!(
        (balance.orders, balance.remaining),
        (i64::from(load.stock), 0),
        "everything can be sold: {balance:?}"
    );
    load.ask_all().await;
    let orders = orders(bed, load.sale).await;
    let outcome = {
        let book = load.book();
        let mut outcome = Outcome {
            accepted: 0,
            failed: 0,
            last_order_after: Duration::ZERO,
        };
        for (user, told) in &book.told {
            let order = orders.get(user);
            if let Some((attempt, at)) = &told.accepted {
                outcome.accepted += 1;
                if let Some((ordered, created)) = order {
                    assert_eq!(ordered, attempt, "the order of shopper {user}");
                    assert!(told.succeeded, "shopper {user} reads no SUCCESS");
                    let after = (*created - *at).to_std().unwrap_or_default();
                    outcome.last_order_after = outcome.last_order_after.max(after);
                } else {
                    outcome.failed += 1;
                    assert!(may_fail, "shopper {user} was accepted and has no order");
                    assert!(told.failed, "shopper {user} was accepted and reads nothing");
                }
            }
            let Some((attempt, _)) = order else {
                assert!(
                    !told.succeeded,
                    "shopper {user} reads SUCCESS without order"
                );
                continue;
            };
            assert!(
                !told.failed,
                "shopper {user} was told of a failure and has the order {attempt}"
            );
            assert!(
                told.accepted.is_some() || told.in_doubt,
                "shopper {user} was told that nothing was changed, and has the order {attempt}"
            );
        }
        for user in orders.keys() {
            assert!(book.told.contains_key(user), "shopper {user} did not press");
        }
        outcome
    };
    press_again(load).await;
    audit(bed, &["--sale", &load.sale.to_string()]).await;
    let book = load.book();
    assert!(book.violations.is_empty(), "{:#?}", book.violations);
    outcome
}

/// `flashsale audit` finds nothing either.
pub async fn audit(bed: &Bed, arguments: &[&str]) {
    let process = bed.system.run(&[&["audit"], arguments].concat());
    let (clean, output) = process.outcome().await;
    assert!(clean, "{output}");
}

/// Who has an order and presses again is told of the same attempt.
async fn press_again(load: &Load) {
    let some: Vec<_> = {
        let book = load.book();
        let told = book.told.iter().filter(|(_, told)| told.succeeded);
        told.take(IMPATIENT).map(|(id, _)| *id).collect()
    };
    for id in some {
        load.press(crate::support::api::Shopper::with_account(id))
            .await;
    }
    assert!(!load.book().someone_comes_again(), "refused with an order");
}

/// The attempts that were ordered, and when, by shopper.
async fn orders(bed: &Bed, sale: i64) -> BTreeMap<i64, (String, DateTime<Utc>)> {
    let query = format!(
        "SELECT user_id, attempt_id::text, (extract(epoch FROM created_at) * 1000)::bigint \
         FROM orders WHERE flash_sale_id = {sale}"
    );
    let rows = bed.system.database.query(&query).await;
    let order = |row: &tokio_postgres::Row| {
        let created = DateTime::from_timestamp_millis(row.get(2)).unwrap();
        (row.get(0), (row.get(1), created))
    };
    rows.iter().map(order).collect()
}
