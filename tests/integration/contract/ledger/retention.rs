//! Attempts of sales that are over are removed, and orders stay.

use chrono::{DateTime, TimeDelta, Utc};
use flashsale::{
    ids::{SaleId, UserId},
    port::{ActionName, Attempt, AttemptRetention, Outcome},
};

use super::{
    bed::{SqlBed, attempt, attempt_at, make_partitions, next_id, settle},
    operator::{because, now},
};

/// Attempts of these shoppers in the middle of a sale that ended `days` ago.
async fn over(bed: &impl SqlBed, days: i64, users: &[UserId]) -> (SaleId, Vec<Attempt>) {
    let end = now() - TimeDelta::days(days);
    let sale = bed.sale_at(2, end - TimeDelta::hours(1), end).await;
    let at = end - TimeDelta::minutes(30);
    let attempts = users.iter().map(|user| attempt_at(sale, *user, at));
    (sale, attempts.collect())
}

fn a_month_ago() -> DateTime<Utc> {
    now() - TimeDelta::days(30)
}

/// Removes page by page, two attempts a page. Returns how many were removed.
async fn remove(retention: &(impl AttemptRetention + ?Sized)) -> u64 {
    let (mut after, mut removed) = (None, 0);
    loop {
        let page = retention.remove_attempts(after, 2).await.unwrap();
        removed += page.removed;
        if page.last.is_none() {
            return removed;
        }
        after = page.last;
    }
}

pub async fn attempts_of_sales_that_are_over_are_removed_and_orders_stay(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let users = bed.shoppers(3).await;
    let (old, of_old) = over(bed, 40, &users).await;
    let (recent, of_recent) = over(bed, 20, &users).await;
    let running = bed.sale(5).await;
    let of_running = [attempt(running, users[0])];
    make_partitions(&*ledger, 1).await;
    // Page by page means also between the attempts of several sales.
    let mixed = [&of_old[..1], &of_recent[..], &of_old[1..], &of_running[..]].concat();
    settle(&*ledger, 0, 0, &mixed).await.unwrap();
    let (attempts, orders) = (bed.attempts().await, bed.orders().await);
    assert_eq!((attempts, orders), (7, 5));

    assert_eq!(remove(&*admin).await, 0, "no sale is closed");
    let before = a_month_ago();
    assert_eq!(admin.sales_over(before, 10).await.unwrap(), [old]);
    let entry = because("retention");
    assert_eq!(
        admin.close_attempts(before, 10, &entry).await.unwrap(),
        [old]
    );
    assert_eq!(admin.close_attempts(before, 10, &entry).await.unwrap(), []);
    assert_eq!(admin.sales_over(before, 10).await.unwrap(), []);
    assert_eq!(remove(&*admin).await, 3);
    assert_eq!(remove(&*admin).await, 0);
    assert_eq!((bed.attempts().await, bed.orders().await), (4, 5));
    assert_eq!(admin.attempt(of_old[0].id).await.unwrap(), None);
    assert!(admin.attempt(of_recent[2].id).await.unwrap().is_some());
    let sale = admin.sale(old).await.unwrap().unwrap();
    assert_eq!(
        (sale.version, sale.remaining_stock),
        (1, 0),
        "no change of terms"
    );

    let log = admin.actions(None, None, 10).await.unwrap();
    assert_eq!(log.len(), 1);
    let entry = (log[0].name, log[0].sale, log[0].reason.as_str());
    assert_eq!(entry, (ActionName::RemoveAttempts, Some(old), "retention"));
    assert_eq!(
        admin.sales_over(now(), 1).await.unwrap(),
        [recent],
        "at most one"
    );
}

pub async fn records_that_are_read_again_after_their_attempts_were_removed_get_no_order(
    bed: &impl SqlBed,
) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let users = bed.shoppers(4).await;
    let (sale, attempts) = over(bed, 40, &users).await;
    make_partitions(&*ledger, 1).await;
    let first = settle(&*ledger, 0, 0, &attempts).await.unwrap();
    // Its unit is free, which nobody else may get by a record that was refused.
    bed.end_order(sale, users[0]).await;
    let entry = because("retention");
    let closed = admin.close_attempts(a_month_ago(), 10, &entry).await;
    assert_eq!(closed.unwrap(), [sale]);
    assert_eq!(remove(&*admin).await, 4);

    let again = settle(&*ledger, 0, 4, &attempts).await.unwrap();
    let (ordered, none) = (Outcome::Ordered, Outcome::SoldOut);
    assert_eq!(first, [ordered, ordered, none, none]);
    assert_eq!(again, [none, ordered, none, none]);
    assert_eq!(bed.orders().await, 1);
    // What was settled again is removed by the next run.
    assert_eq!(remove(&*admin).await, 4);
}

pub async fn drafts_and_sales_whose_end_was_moved_keep_what_came_later(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let users = bed.shoppers(2).await;
    let (sale, attempts) = over(bed, 40, &users[..1]).await;
    let draft = next_id();
    let end = now() - TimeDelta::days(50);
    let [start, end] = [end - TimeDelta::hours(1), end].map(|at| bed.instant(at));
    bed.execute(&format!(
        "INSERT INTO flash_sales (id, product_id, start_time, end_time, initial_stock, remaining_stock, state)
         VALUES ({draft}, {sale}, '{start}', '{end}', 1, 1, 'DRAFT')"
    ))
    .await
    .unwrap();
    make_partitions(&*ledger, 1).await;
    settle(&*ledger, 0, 0, &attempts).await.unwrap();
    let entry = because("retention");
    let closed = admin.close_attempts(a_month_ago(), 10, &entry).await;
    assert_eq!(closed.unwrap(), [sale], "no draft");
    let later = bed.instant(now() + TimeDelta::hours(1));
    let moved = format!("UPDATE flash_sales SET end_time = '{later}' WHERE id = {sale}");
    bed.execute(&moved).await.unwrap();
    let new = attempt(sale, users[1]);
    let outcome = settle(&*ledger, 0, 1, &[new]).await.unwrap();
    assert_eq!(outcome, [Outcome::Ordered], "sold as ever");
    assert_eq!(remove(&*admin).await, 1);
    assert!(admin.attempt(new.id).await.unwrap().is_some());
}
