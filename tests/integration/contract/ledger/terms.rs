//! Terms of a sale: their version goes up with every change, and with nothing else.

use chrono::{TimeDelta, Utc};
use flashsale::{
    ids::SaleId,
    port::{Ledger, SaleListing},
};

use super::{
    TestBed,
    bed::{attempt, make_partitions, settle},
};

async fn listing(ledger: &dyn Ledger, sale: SaleId) -> SaleListing {
    let since = Utc::now() - TimeDelta::hours(3);
    let listings = ledger.sales(since).await.unwrap();
    listings
        .into_iter()
        .find(|listing| listing.id == sale)
        .unwrap()
}

pub async fn a_change_of_units_is_a_new_version(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let (sale, other) = (bed.sale(5).await, bed.sale(5).await);
    let before = listing(ledger.as_ref(), sale).await;
    assert!(before.version >= 1, "0 is what an older program's gate has");
    let mut last = before.version;
    for units in [9, 3, 4] {
        bed.set_units(sale, units).await;
        let now = listing(ledger.as_ref(), sale).await;
        assert!(now.version > last, "{} after {last}", now.version);
        let units = u64::from(units);
        assert_eq!((now.initial_stock, now.remaining_stock), (units, units));
        last = now.version;
    }
    let untouched = listing(ledger.as_ref(), other).await;
    assert_eq!((untouched.version, untouched.initial_stock), (1, 5));
}

pub async fn settling_is_no_change_of_terms(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(2).await;
    let sale = bed.sale(5).await;
    make_partitions(ledger.as_ref(), 1).await;
    let before = listing(ledger.as_ref(), sale).await;
    let orders = [attempt(sale, users[0]), attempt(sale, users[1])];
    settle(ledger.as_ref(), 0, 0, &orders).await.unwrap();
    bed.end_order(sale, users[1]).await;
    let after = listing(ledger.as_ref(), sale).await;
    assert_eq!(after.terms(), before.terms());
    assert_eq!(after.remaining_stock, 4);
}

pub async fn a_snapshot_has_terms_and_units_of_one_moment(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(1).await;
    let sale = bed.sale(5).await;
    make_partitions(ledger.as_ref(), 1).await;
    let order = attempt(sale, users[0]);
    settle(ledger.as_ref(), 0, 0, &[order]).await.unwrap();
    bed.set_units(sale, 7).await;
    let listed = listing(ledger.as_ref(), sale).await;
    let snapshot = ledger.snapshot(sale).await.unwrap().unwrap();
    assert_eq!(snapshot.terms(), listed.terms());
    assert_eq!((snapshot.initial, snapshot.remaining), (7, 6));
    let holders: Vec<_> = snapshot
        .holders
        .iter()
        .map(|holder| holder.attempt)
        .collect();
    assert_eq!(holders, [order.id]);
}
