//! Orders that operators end, and what support staff read of them.

use flashsale::{
    ids::AttemptId,
    port::{ActionName, AdminError, OrderPage, Outcome, Restock},
};

use super::{
    bed::{SqlBed, attempt, make_partitions, settle},
    operator::{because, entries},
};

pub async fn a_cancelled_order_returns_its_unit(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let users = bed.shoppers(2).await;
    let sale = bed.sale(5).await;
    make_partitions(ledger.as_ref(), 1).await;
    let orders = [attempt(sale, users[0]), attempt(sale, users[1])];
    settle(ledger.as_ref(), 0, 0, &orders).await.unwrap();
    let before = admin.sale(sale).await.unwrap().unwrap();
    let cancelled = admin
        .cancel_order(orders[0].id, Restock::Yes, &because("asked by mail"))
        .await
        .unwrap();
    assert_eq!(
        (cancelled.status.as_str(), cancelled.user),
        ("FAILED", users[0])
    );
    assert!(cancelled.updated_at >= cancelled.created_at);
    let after = admin.sale(sale).await.unwrap().unwrap();
    assert_eq!((after.initial_stock, after.remaining_stock), (5, 4));
    assert_eq!(after.version, before.version);
    // The gate is told, and a second record of the attempt gets no second unit.
    let ended = ledger.ended_orders(&[sale], 10).await.unwrap();
    assert_eq!(ended[0].holder.attempt, orders[0].id);
    let again = settle(ledger.as_ref(), 0, 2, &orders).await.unwrap();
    assert_eq!(again, [Outcome::Released, Outcome::Ordered]);
    let log = admin.actions(Some(sale), None, 1).await.unwrap();
    assert_eq!(log[0].name, ActionName::CancelOrder);
    assert_eq!(log[0].target, format!("order:{}", orders[0].id));
    assert_eq!(log[0].before.as_ref().unwrap()["status"], "SUCCESS");
    assert_eq!(log[0].after.as_ref().unwrap()["restock"], true);
}

pub async fn a_cancelled_order_without_restocking_takes_its_unit_along(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let users = bed.shoppers(2).await;
    let sale = bed.sale(1).await;
    make_partitions(ledger.as_ref(), 1).await;
    let order = attempt(sale, users[0]);
    settle(ledger.as_ref(), 0, 0, &[order]).await.unwrap();
    let before = admin.sale(sale).await.unwrap().unwrap();
    admin
        .cancel_order(order.id, Restock::No, &because("damaged"))
        .await
        .unwrap();
    let after = admin.sale(sale).await.unwrap().unwrap();
    assert_eq!((after.initial_stock, after.remaining_stock), (0, 0));
    assert_eq!(after.version, before.version + 1);
    // Nobody gets the unit.
    let other = settle(ledger.as_ref(), 0, 1, &[attempt(sale, users[1])]).await;
    assert_eq!(other.unwrap(), [Outcome::SoldOut]);
}

pub async fn an_order_is_cancelled_once(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let users = bed.shoppers(1).await;
    let sale = bed.sale(3).await;
    make_partitions(ledger.as_ref(), 1).await;
    let order = attempt(sale, users[0]);
    settle(ledger.as_ref(), 0, 0, &[order]).await.unwrap();
    let entry = because("twice");
    let (one, other) = tokio::join!(
        admin.cancel_order(order.id, Restock::No, &entry),
        admin.cancel_order(order.id, Restock::No, &entry)
    );
    // Whether the first one put the unit on sale again, it must not be answered as if it did what this one asks for.
    let ((Ok(_), Err(refused)) | (Err(refused), Ok(_))) = (one, other) else {
        panic!("one is made");
    };
    assert!(matches!(refused, AdminError::NotAllowed(_)), "{refused:?}");
    let again = admin.cancel_order(order.id, Restock::Yes, &entry).await;
    assert!(matches!(again, Err(AdminError::NotAllowed(_))), "{again:?}");
    let after = admin.sale(sale).await.unwrap().unwrap();
    assert_eq!((after.initial_stock, after.remaining_stock), (2, 2));
    assert_eq!(entries(admin.as_ref()).await, 1);
    let nobody = admin
        .cancel_order(AttemptId::generate(), Restock::Yes, &entry)
        .await;
    assert!(matches!(nobody, Err(AdminError::NotFound)), "{nobody:?}");
}

pub async fn the_history_of_an_attempt_is_told(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let users = bed.shoppers(2).await;
    let sale = bed.sale(1).await;
    make_partitions(ledger.as_ref(), 1).await;
    let (bought, late) = (attempt(sale, users[0]), attempt(sale, users[1]));
    settle(ledger.as_ref(), 0, 0, &[bought, late])
        .await
        .unwrap();
    let found = admin.attempt(bought.id).await.unwrap().unwrap();
    assert_eq!((found.attempt, found.user), (bought.id, users[0]));
    assert_eq!(
        (found.outcome.as_str(), found.released_at),
        ("ORDERED", None)
    );
    let order = found.order.unwrap();
    assert_eq!((order.status.as_str(), order.sale), ("SUCCESS", sale));
    let found = admin.attempt(late.id).await.unwrap().unwrap();
    assert_eq!((found.outcome.as_str(), found.order), ("SOLD_OUT", None));
    admin
        .cancel_order(bought.id, Restock::Yes, &because("asked"))
        .await
        .unwrap();
    let ended = admin.attempt(bought.id).await.unwrap().unwrap();
    assert_eq!(ended.order.unwrap().status, "FAILED");
    assert!(ended.released_at.is_some());
    // The shopper buys again: the first attempt still says that its order ended.
    let again = attempt(sale, users[0]);
    settle(ledger.as_ref(), 0, 2, &[again]).await.unwrap();
    let attempts = admin.attempts_of(users[0], None, 10).await.unwrap();
    let ids: Vec<_> = attempts.iter().map(|history| history.attempt).collect();
    assert_eq!(ids, [again.id, bought.id], "the newest first");
    assert!(attempts[0].order.is_some() && attempts[1].order.is_none());
    assert!(attempts[1].released_at.is_some());
    assert_eq!(admin.attempts_of(users[0], None, 1).await.unwrap().len(), 1);
    let newest = attempts[0].attempt;
    let rest = admin.attempts_of(users[0], Some(newest), 10).await.unwrap();
    assert_eq!(rest, attempts[1..]);
    assert_eq!(admin.attempt(AttemptId::generate()).await.unwrap(), None);
}

pub async fn orders_are_listed_page_by_page(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let users = bed.shoppers(7).await;
    let sale = bed.sale(10).await;
    make_partitions(ledger.as_ref(), 1).await;
    let orders: Vec<_> = users.iter().map(|user| attempt(sale, *user)).collect();
    // Orders of one transaction have one time.
    settle(ledger.as_ref(), 0, 0, &orders[..4]).await.unwrap();
    settle(ledger.as_ref(), 0, 4, &orders[4..]).await.unwrap();
    let whole = admin.orders(sale, None, 100).await.unwrap();
    assert_eq!(whole.len(), 7);
    let (mut paged, mut after) = (Vec::new(), None);
    for expected in [3, 3, 1, 0] {
        let page = admin.orders(sale, after.as_ref(), 3).await.unwrap();
        assert_eq!(page.len(), expected);
        let last = page.last().map(|order| OrderPage {
            created_at: order.created_at,
            id: order.id,
        });
        after = last.or(after);
        paged.extend(page);
    }
    assert_eq!(paged, whole);
    let buyers: std::collections::BTreeSet<_> = whole.iter().map(|order| order.user).collect();
    assert_eq!(buyers.len(), 7);
}

pub async fn cancelling_and_settling_at_once_keep_the_balance(bed: &impl SqlBed) {
    let (admin, ledger) = (bed.administration().await, bed.ledger().await);
    let users = bed.shoppers(40).await;
    let sale = bed.sale(30).await;
    make_partitions(ledger.as_ref(), 1).await;
    let orders: Vec<_> = users.iter().map(|user| attempt(sale, *user)).collect();
    settle(ledger.as_ref(), 0, 0, &orders[..20]).await.unwrap();
    let settling = async {
        for (offset, order) in (20..).zip(&orders[20..]) {
            let settled = settle(ledger.as_ref(), 0, offset, &[*order]).await;
            settled.unwrap();
        }
    };
    let cancelling = async {
        for (number, order) in orders[..20].iter().enumerate() {
            let restock = match number % 2 {
                0 => Restock::Yes,
                _ => Restock::No,
            };
            let cancelled = admin.cancel_order(order.id, restock, &because("all")).await;
            cancelled.unwrap();
        }
    };
    tokio::join!(settling, cancelling);
    let after = admin.sale(sale).await.unwrap().unwrap();
    assert_eq!(after.initial_stock, 20);
    assert_eq!(entries(admin.as_ref()).await, 20);
}
