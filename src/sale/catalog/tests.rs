//! What a node says by itself of a sale, and which sale it shows.

use tokio::time::Instant;

use super::*;
use crate::clock::{Clock, SystemClock};

/// How long a sale's holders are known after its end.
const KEEP: Duration = Duration::from_secs(100);

/// A gate's clock that says this now.
fn set(clock: &GateClock, now: i64) {
    clock.note(Instant::now(), at(now), SystemClock.now());
}

fn at(secs: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(secs, 0).unwrap()
}

fn listing(id: i64, start: i64, end: i64) -> SaleListing {
    SaleListing {
        switch: crate::port::SaleSwitch::On,
        id: SaleId::new(id).unwrap(),
        product: ProductId::new(1).unwrap(),
        product_name: String::new(),
        product_description: String::new(),
        offer: crate::port::Offer::default(),
        window: SaleWindow {
            start: at(start),
            end: at(end),
        },
        initial_stock: 10,
        remaining_stock: 7,
        version: 1,
    }
}

/// Without passing time, so that the clock says what it was set to.
fn catalog_of(listings: Vec<SaleListing>) -> (SaleCatalog, Arc<GateClock>) {
    let clock = Arc::new(GateClock::new(Arc::new(SystemClock)));
    set(&clock, 0);
    let catalog = SaleCatalog::new(Arc::clone(&clock), KEEP);
    catalog.set_listings(listings, at(0));
    (catalog, clock)
}

fn ids(value: i64) -> (SaleId, UserId) {
    (SaleId::new(value).unwrap(), UserId::new(value).unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_active_sale_is_shown_then_the_next_then_the_last() {
    let (catalog, clock) = catalog_of(vec![listing(1, 100, 200), listing(2, 300, 400)]);
    for (now, id, expected) in [
        (0, 1, SaleStatus::Upcoming),
        (100, 1, SaleStatus::Active),
        (199, 1, SaleStatus::Active),
        (200, 2, SaleStatus::Upcoming),
        (300, 2, SaleStatus::Active),
        (400, 2, SaleStatus::Ended),
    ] {
        set(&clock, now);
        let view = catalog.current().unwrap();
        assert_eq!((view.id.value(), view.status), (id, expected), "at {now}");
    }
}

#[tokio::test(start_paused = true)]
async fn near_the_edges_of_the_window_the_gate_decides() {
    let (catalog, clock) = catalog_of(vec![listing(1, 100, 200)]);
    let (sale, user) = ids(1);
    let ask = Admission::AskGate {
        product: ProductId::new(1).unwrap(),
    };
    for (now, expected) in [
        (98, Admission::NotStarted),
        (99, ask),
        (100, ask),
        (150, ask),
        (200, ask),
        (201, ask),
        // Its holders have been told for as long as they are known.
        (300, ask),
        (301, Admission::Ended),
    ] {
        set(&clock, now);
        catalog.set_listings(vec![listing(1, 100, 200)], at(now));
        assert_eq!(catalog.admit(sale, user), expected, "at {now}");
    }
    assert_eq!(catalog.admit(ids(9).0, user), Admission::UnknownSale);
}

#[tokio::test]
async fn without_a_recent_comparison_the_gate_decides() {
    let clock = Arc::new(GateClock::new(Arc::new(SystemClock)));
    let catalog = SaleCatalog::new(clock, KEEP);
    catalog.set_listings(vec![listing(1, 100, 200)], SystemClock.now());
    let (sale, user) = ids(1);
    let product = ProductId::new(1).unwrap();
    assert_eq!(catalog.admit(sale, user), Admission::AskGate { product });
    assert_eq!(catalog.admit(ids(9).0, user), Admission::UnknownSale);
}

#[tokio::test(start_paused = true)]
async fn the_sold_out_mark_refuses_everyone_but_the_holders() {
    let (catalog, clock) = catalog_of(vec![listing(1, 100, 200)]);
    set(&clock, 150);
    let product = ProductId::new(1).unwrap();
    let holders = vec![ids(3).1, ids(5).1].into_boxed_slice();
    catalog.watched_sales(true)[0].set_mark(Some(RefusalMark::new(
        MarkCause::SoldOut,
        0,
        holders,
        catalog.now(),
    )));
    assert_eq!(
        catalog.admit(ids(1).0, ids(4).1),
        Admission::SoldOut { product }
    );
    assert_eq!(
        catalog.admit(ids(1).0, ids(5).1),
        Admission::AskGate { product }
    );
    set(&clock, 200);
    assert_eq!(
        catalog.admit(ids(1).0, ids(4).1),
        Admission::AskGate { product },
        "it may be over"
    );
}

#[tokio::test(start_paused = true)]
async fn a_sold_out_mark_that_the_gate_does_not_confirm_lapses() {
    let (catalog, clock) = catalog_of(vec![listing(1, 100, 200)]);
    set(&clock, 150);
    let (product, (sale, user)) = (ProductId::new(1).unwrap(), ids(1));
    let mark = RefusalMark::new(MarkCause::SoldOut, 0, Box::default(), catalog.now());
    catalog.watched_sales(true)[0].set_mark(Some(mark));
    set(&clock, 151);
    assert_eq!(catalog.admit(sale, user), Admission::SoldOut { product });
    set(&clock, 152);
    assert_eq!(catalog.admit(sale, user), Admission::AskGate { product });
    let watched = catalog.watched_sales(true);
    watched[0].mark().unwrap().confirm(catalog.now());
    assert_eq!(catalog.admit(sale, user), Admission::SoldOut { product });
}

#[tokio::test(start_paused = true)]
async fn a_holder_whom_the_mark_does_not_know_ends_it() {
    let (catalog, clock) = catalog_of(vec![listing(1, 100, 200)]);
    set(&clock, 150);
    let product = ProductId::new(1).unwrap();
    let (sale, known, other) = (ids(1).0, ids(2).1, ids(3).1);
    let mark = RefusalMark::new(MarkCause::SoldOut, 0, [known].into(), catalog.now());
    catalog.watched_sales(true)[0].set_mark(Some(mark));
    catalog.note_holder(sale, known);
    assert_eq!(catalog.admit(sale, other), Admission::SoldOut { product });
    catalog.note_holder(sale, other);
    assert_eq!(catalog.admit(sale, known), Admission::AskGate { product });
    assert_eq!(catalog.admit(sale, other), Admission::AskGate { product });
}

#[tokio::test(start_paused = true)]
async fn a_refresh_keeps_what_is_known_of_the_stock() {
    let (catalog, clock) = catalog_of(vec![listing(1, 100, 200)]);
    set(&clock, 150);
    assert_eq!(
        catalog.current().unwrap().remaining_stock,
        7,
        "the ledger's, until the gate's is known"
    );
    catalog.watched_sales(true)[0].set_available(Some(-1));
    catalog.set_listings(
        vec![SaleListing {
            remaining_stock: 6,
            ..listing(1, 100, 200)
        }],
        at(0),
    );
    assert_eq!(catalog.current().unwrap().remaining_stock, 0);
}

/// What the gate says of sale 1, with this many units available.
fn status(switch: SaleSwitch, end: i64, available: i64) -> GateStatus {
    GateStatus::Open {
        window: SaleWindow {
            start: at(100),
            end: at(end),
        },
        switch,
        available,
        pending: 0,
        holders: 1,
        withdrawn: Vec::new(),
        holders_epoch: 7,
        version: 1,
        total: available + 1,
        complete: true,
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_end_holders_are_sent_to_the_gate_and_others_are_refused() {
    let (catalog, clock) = catalog_of(vec![listing(1, 100, 200)]);
    let (sale, holder) = ids(1);
    set(&clock, 250);
    let product = ProductId::new(1).unwrap();
    let ask = Admission::AskGate { product };
    assert_eq!(
        catalog.admit(sale, ids(2).1),
        ask,
        "until the gate has said who holds a unit"
    );
    catalog.watched_sales(true)[0].set_mark(Some(RefusalMark::new(
        MarkCause::Ended,
        7,
        [holder].into(),
        catalog.now(),
    )));
    assert_eq!(catalog.admit(sale, holder), ask);
    assert_eq!(catalog.admit(sale, ids(2).1), Admission::Ended);
    // A new listing, and a gate that is away for a while, change nothing of it.
    catalog.set_listings(
        vec![SaleListing {
            remaining_stock: 3,
            ..listing(1, 100, 200)
        }],
        at(0),
    );
    assert_eq!(catalog.admit(sale, ids(2).1), Admission::Ended);
}

#[tokio::test(start_paused = true)]
async fn a_sale_is_refused_by_the_gate_s_terms_not_by_an_older_listing() {
    let (catalog, clock) = catalog_of(vec![listing(1, 100, 200)]);
    for (now, switch, end, available, cause) in [
        (150, SaleSwitch::On, 200, 3, None),
        (150, SaleSwitch::On, 200, 0, Some(MarkCause::SoldOut)),
        (200, SaleSwitch::On, 200, 3, None),
        (201, SaleSwitch::On, 200, 3, Some(MarkCause::Ended)),
        // Made longer a moment ago, or ended early: the listing does not know yet.
        (201, SaleSwitch::On, 300, 3, None),
        (150, SaleSwitch::On, 140, 3, Some(MarkCause::Ended)),
        // Nobody is told that it is sold out.
        (150, SaleSwitch::Paused, 200, 0, None),
        (150, SaleSwitch::Cancelled, 200, 3, Some(MarkCause::Ended)),
    ] {
        set(&clock, now);
        let found = catalog.cause(&status(switch, end, available));
        assert_eq!(
            found, cause,
            "at {now}: {switch:?}, to {end}, {available} available"
        );
    }
    assert_eq!(catalog.cause(&GateStatus::Closed { pending: 0 }), None);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_sale_counts_as_ended_and_gives_way_to_others() {
    let cancelled = SaleListing {
        switch: SaleSwitch::Cancelled,
        ..listing(2, 140, 260)
    };
    let (catalog, clock) = catalog_of(vec![listing(1, 100, 120), cancelled.clone()]);
    let product = ProductId::new(1).unwrap();
    for now in [150, 270] {
        set(&clock, now);
        assert!(catalog.has_ended(ids(2).0) && catalog.has_ended(ids(1).0));
        let view = catalog.current().unwrap();
        assert_eq!(
            (view.id, view.status),
            (ids(1).0, SaleStatus::Ended),
            "at {now}"
        );
        assert_eq!(
            catalog.admit(ids(2).0, ids(1).1),
            Admission::AskGate { product }
        );
    }
    catalog.set_listings(vec![cancelled], at(270));
    let view = catalog.current().unwrap();
    assert_eq!((view.id, view.status), (ids(2).0, SaleStatus::Ended));
}

#[tokio::test(start_paused = true)]
async fn whoever_was_let_into_a_cancelled_sale_is_told_of_it_and_not_of_an_older_one() {
    let cancelled = |start| SaleListing {
        switch: SaleSwitch::Cancelled,
        ..listing(2, start, 260)
    };
    let (catalog, clock) = catalog_of(vec![listing(1, 100, 120), cancelled(140)]);
    let product = ProductId::new(1).unwrap();
    set(&clock, 150);
    let latest = || catalog.latest_sale_of(product);
    let mark = |cause, holders: Vec<UserId>| {
        let watched = catalog.watched_sales(true);
        let sale = watched.iter().find(|sale| sale.listing.id == ids(2).0);
        sale.unwrap().set_mark(Some(RefusalMark::new(
            cause,
            0,
            holders.into(),
            catalog.now(),
        )));
    };
    assert_eq!(latest(), Some(ids(2).0), "it may have holders");
    mark(MarkCause::SoldOut, Vec::new());
    assert_eq!(latest(), Some(ids(2).0), "not known since it was cancelled");
    mark(MarkCause::Ended, vec![ids(7).1]);
    assert_eq!(latest(), Some(ids(2).0));
    mark(MarkCause::Ended, Vec::new());
    assert_eq!(latest(), Some(ids(1).0), "nobody asks for its results");
    // Another one took its place, and began later.
    mark(MarkCause::Ended, vec![ids(7).1]);
    catalog.set_listings(vec![listing(3, 145, 260), cancelled(140)], at(150));
    assert_eq!(latest(), Some(ids(3).0));
}

#[tokio::test(start_paused = true)]
async fn a_sale_is_not_refused_by_its_start_in_an_old_listing() {
    let (catalog, clock) = catalog_of(vec![listing(1, 100, 200)]);
    let (sale, user) = ids(1);
    let product = ProductId::new(1).unwrap();
    for (now, expected) in [
        (0, Admission::NotStarted),
        (2, Admission::NotStarted),
        (3, Admission::AskGate { product }),
        (50, Admission::AskGate { product }),
    ] {
        set(&clock, now);
        assert_eq!(catalog.admit(sale, user), expected, "at {now}");
    }
    catalog.set_listings(vec![listing(1, 100, 200)], at(49));
    assert_eq!(catalog.admit(sale, user), Admission::NotStarted);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_sale_of_the_future_is_watched_now_and_then() {
    let cancelled = SaleListing {
        switch: SaleSwitch::Cancelled,
        ..listing(1, 1_000, 2_000)
    };
    let (catalog, clock) = catalog_of(vec![cancelled]);
    set(&clock, 0);
    let watched = |all| catalog.watched_sales(all).len();
    assert_eq!(watched(false), 1, "the gate has not said so yet");
    catalog.watched_sales(true)[0].set_mark(Some(RefusalMark::new(
        MarkCause::Ended,
        7,
        Box::default(),
        catalog.now(),
    )));
    assert_eq!((watched(false), watched(true)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn sales_that_ended_are_watched_for_as_long_as_their_holders_are_told() {
    let (catalog, clock) = catalog_of(vec![listing(1, 100, 200)]);
    let watched = |all| catalog.watched_sales(all).len();
    for (now, expected) in [(98, 0), (99, 1), (205, 1), (299, 1), (300, 0)] {
        set(&clock, now);
        assert_eq!(watched(false), expected, "at {now}");
    }
    set(&clock, 205);
    catalog.watched_sales(true)[0].set_mark(Some(RefusalMark::new(
        MarkCause::Ended,
        7,
        Box::default(),
        catalog.now(),
    )));
    assert_eq!(watched(false), 1, "a moment after its end");
    set(&clock, 211);
    assert_eq!((watched(false), watched(true)), (0, 1), "now and then");
}
