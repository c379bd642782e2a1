//! Events of sales: every order and every change has one, in the order of the commits, and consumers find them by number.

use std::collections::BTreeSet;

use chrono::{TimeDelta, Utc};
use flashsale::{
    ids::{AttemptId, SaleId},
    port::{EventBatch, EventRecording, EventSubject, EventType, Ledger, SaleChange, SeekOutcome},
};

use super::{
    TestBed,
    bed::{SqlBed, attempt, make_partitions, settle},
    operator::{because, now, open_sale},
};

/// Types of all events of a sale, in order. Fails on a gap.
async fn types(ledger: &dyn Ledger, sale: SaleId) -> Vec<EventType> {
    let batches = batches(ledger, sale).await;
    let types = batches.iter().flat_map(|batch| {
        let count = usize::try_from(batch.count()).unwrap();
        std::iter::repeat_n(batch.event_type, count)
    });
    types.collect()
}

async fn batches(ledger: &dyn Ledger, sale: SaleId) -> Vec<EventBatch> {
    let mut all: Vec<EventBatch> = Vec::new();
    loop {
        let after = all.last().map_or(0, EventBatch::last);
        let page = ledger.events_after(sale, after, 2).await.unwrap().unwrap();
        if page.batches.is_empty() {
            assert_eq!(after, page.last, "all events are read");
            return all;
        }
        for batch in page.batches {
            let last = all.last().map_or(0, EventBatch::last);
            assert_eq!(batch.first, last + 1, "numbers have no gaps");
            assert_eq!(batch.sale, sale);
            all.push(batch);
        }
    }
}

fn attempts(batches: &[EventBatch], event_type: EventType) -> Vec<AttemptId> {
    let of_type = batches
        .iter()
        .filter(|batch| batch.event_type == event_type);
    let orders = of_type.filter_map(|batch| match &batch.subject {
        EventSubject::Orders(orders) => Some(orders),
        EventSubject::Sale(_) => None,
    });
    orders.flatten().map(|order| order.attempt).collect()
}

pub async fn orders_and_changes_are_events_in_their_order(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    ledger.record_events(EventRecording::On).await.unwrap();
    let users = bed.shoppers(3).await;
    let sale = bed.sale(2).await;
    make_partitions(ledger.as_ref(), 1).await;
    let orders = [
        attempt(sale, users[0]),
        attempt(sale, users[1]),
        attempt(sale, users[2]),
    ];
    settle(ledger.as_ref(), 0, 0, &orders).await.unwrap();
    bed.end_order(sale, users[0]).await;
    bed.set_units(sale, 5).await;
    assert_eq!(
        types(ledger.as_ref(), sale).await,
        [
            EventType::SalePublished,
            EventType::OrderCreated,
            EventType::OrderCreated,
            EventType::SaleSoldOut,
            EventType::OrderReleased,
            EventType::SaleRestocked,
            EventType::SaleStockChanged,
        ]
    );
    let batches = batches(ledger.as_ref(), sale).await;
    let created: BTreeSet<_> = attempts(&batches, EventType::OrderCreated)
        .into_iter()
        .collect();
    assert_eq!(created, [orders[0].id, orders[1].id].into());
    assert_eq!(attempts(&batches, EventType::OrderReleased), [orders[0].id]);
    let Some(EventSubject::Sale(terms)) = batches.last().map(|batch| &batch.subject) else {
        panic!("the last event is about the sale");
    };
    assert_eq!((terms.initial_stock, terms.remaining_stock), (5, 4));
    let listed = ledger.snapshot(sale).await.unwrap().unwrap();
    assert_eq!(terms.version, listed.terms().version);
}

pub async fn an_attempt_that_is_settled_again_is_no_further_event(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    ledger.record_events(EventRecording::On).await.unwrap();
    let users = bed.shoppers(1).await;
    let sale = bed.sale(2).await;
    make_partitions(ledger.as_ref(), 1).await;
    let order = [attempt(sale, users[0])];
    settle(ledger.as_ref(), 0, 0, &order).await.unwrap();
    settle(ledger.as_ref(), 0, 1, &order).await.unwrap();
    let types = types(ledger.as_ref(), sale).await;
    assert_eq!(types, [EventType::SalePublished, EventType::OrderCreated]);
}

pub async fn numbers_go_on_while_nothing_is_recorded(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    ledger.record_events(EventRecording::Off).await.unwrap();
    let users = bed.shoppers(2).await;
    let sale = bed.sale(5).await;
    make_partitions(ledger.as_ref(), 1).await;
    settle(ledger.as_ref(), 0, 0, &[attempt(sale, users[0])])
        .await
        .unwrap();
    let page = ledger.events_after(sale, 0, 100).await.unwrap().unwrap();
    assert_eq!((page.batches.len(), page.last), (0, 2));
    assert!(!page.is_recording);
    assert_eq!(ledger.pending_events("c").await.unwrap(), []);

    ledger.record_events(EventRecording::On).await.unwrap();
    ledger.record_events(EventRecording::On).await.unwrap();
    settle(ledger.as_ref(), 0, 1, &[attempt(sale, users[1])])
        .await
        .unwrap();
    // However few are asked for: the first one that is kept comes.
    let page = ledger.events_after(sale, 0, 1).await.unwrap().unwrap();
    assert!(page.is_recording);
    assert_eq!((page.batches[0].first, page.last), (3, 3));
}

pub async fn a_page_has_the_numbers_that_were_asked_for(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    ledger.record_events(EventRecording::On).await.unwrap();
    let users = bed.shoppers(6).await;
    let sale = bed.sale(9).await;
    let other = bed.sale(9).await;
    make_partitions(ledger.as_ref(), 1).await;
    let orders: Vec<_> = users.iter().map(|user| attempt(sale, *user)).collect();
    settle(ledger.as_ref(), 0, 0, &orders[..3]).await.unwrap();
    settle(ledger.as_ref(), 0, 3, &orders[3..]).await.unwrap();
    let numbers = async |after, limit| {
        let page = ledger
            .events_after(sale, after, limit)
            .await
            .unwrap()
            .unwrap();
        let numbers = page
            .batches
            .iter()
            .flat_map(|batch| batch.first..=batch.last());
        numbers.collect::<Vec<_>>()
    };
    // 1 is the sale itself.
    let middle = numbers(2, 2).await;
    assert!(middle.contains(&3) && middle.contains(&4), "{middle:?}");
    assert!(!middle.contains(&7), "{middle:?}");
    assert_eq!(numbers(7, 10).await, [0; 0]);
    assert_eq!(numbers(0, 100).await, [1, 2, 3, 4, 5, 6, 7]);
    let unknown = SaleId::new(99_999_999).unwrap();
    assert_eq!(ledger.events_after(unknown, 0, 1).await.unwrap(), None);
    let of_other = ledger.events_after(other, 0, 9).await.unwrap().unwrap();
    assert_eq!(of_other.last, 1);
}

pub async fn positions_are_compared_and_set(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    ledger.record_events(EventRecording::On).await.unwrap();
    let (sale, other) = (bed.sale(5).await, bed.sale(5).await);
    let pending = async |consumer| {
        let pending = ledger.pending_events(consumer).await.unwrap();
        let rows = pending.iter().map(|row| (row.sale, row.position, row.last));
        rows.collect::<Vec<_>>()
    };
    assert_eq!(pending("a").await, [(sale, None, 1), (other, None, 1)]);
    let advance = async |consumer, from, to| {
        ledger
            .advance_events(consumer, sale, from, to)
            .await
            .unwrap()
    };
    assert_eq!(advance("a", None, 1).await, SeekOutcome::Moved);
    let fenced = SeekOutcome::Fenced;
    assert_eq!(advance("a", None, 1).await, fenced, "it has a position");
    assert_eq!(pending("a").await, [(other, None, 1)]);
    assert_eq!(pending("b").await, [(sale, None, 1), (other, None, 1)]);
    bed.set_units(sale, 6).await;
    assert_eq!(pending("a").await, [(sale, Some(1), 2), (other, None, 1)]);
    let elsewhere = advance("a", Some(0), 2).await;
    assert_eq!(elsewhere, fenced, "it stands elsewhere");
    assert_eq!(advance("a", Some(1), 2).await, SeekOutcome::Moved);
    assert_eq!(
        ledger.event_positions("a").await.unwrap(),
        [(sale, 2)].into()
    );
}

pub async fn old_events_are_removed_the_oldest_first(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    ledger.record_events(EventRecording::On).await.unwrap();
    let sale = bed.sale(5).await;
    for units in 6..=8 {
        bed.set_units(sale, units).await;
    }
    let (past, future) = (
        Utc::now() - TimeDelta::hours(1),
        Utc::now() + TimeDelta::hours(1),
    );
    assert_eq!(ledger.prune_events(past, 10).await.unwrap(), 0);
    assert_eq!(ledger.prune_events(future, 3).await.unwrap(), 3);
    let page = ledger.events_after(sale, 0, 1).await.unwrap().unwrap();
    assert_eq!((page.batches[0].first, page.last), (4, 4));
    assert_eq!(ledger.prune_events(future, 3).await.unwrap(), 1);
    let page = ledger.events_after(sale, 3, 1).await.unwrap().unwrap();
    assert_eq!((page.batches.len(), page.last), (0, 4));
}

pub async fn statements_by_hand_are_events(bed: &impl SqlBed) {
    let ledger = bed.ledger().await;
    ledger.record_events(EventRecording::On).await.unwrap();
    let users = bed.shoppers(1).await;
    let sale = bed.sale(1).await;
    let attempt = AttemptId::generate();
    bed.order(sale, sale.value(), users[0], attempt, "SUCCESS")
        .await
        .unwrap();
    let later = bed.instant(Utc::now() + TimeDelta::hours(3));
    let paused = bed.instant(Utc::now());
    for statement in [
        "UPDATE orders SET status = 'FAILED'".to_owned(),
        "UPDATE orders SET status = 'SUCCESS'".to_owned(),
        "DELETE FROM orders".to_owned(),
        format!("UPDATE flash_sales SET end_time = '{later}'"),
        format!("UPDATE flash_sales SET paused_at = '{paused}'"),
        "UPDATE flash_sales SET paused_at = NULL".to_owned(),
        "UPDATE flash_sales SET note = 'nothing for shoppers'".to_owned(),
        "UPDATE flash_sales SET initial_stock = initial_stock + 1".to_owned(),
        "UPDATE flash_sales SET state = 'CANCELLED'".to_owned(),
    ] {
        bed.execute(&statement).await.unwrap();
    }
    assert_eq!(
        types(ledger.as_ref(), sale).await,
        [
            EventType::SalePublished,
            EventType::OrderCreated,
            EventType::SaleSoldOut,
            EventType::OrderReleased,
            EventType::SaleRestocked,
            EventType::OrderCreated,
            EventType::SaleSoldOut,
            EventType::OrderReleased,
            EventType::SaleRestocked,
            EventType::SaleTermsChanged,
            EventType::SalePaused,
            EventType::SaleResumed,
            EventType::SaleStockChanged,
            EventType::SaleCancelled,
        ]
    );
    let batches = batches(ledger.as_ref(), sale).await;
    let of_orders = batches
        .iter()
        .filter(|batch| matches!(batch.subject, EventSubject::Orders(_)));
    let repeated: Vec<_> = of_orders.map(|batch| batch.is_repeated).collect();
    assert_eq!(repeated, [false, false, true, true]);
}

pub async fn a_sale_that_is_ended_before_its_time_is_an_event(bed: &impl SqlBed) {
    let (ledger, admin) = (bed.ledger().await, bed.administration().await);
    ledger.record_events(EventRecording::On).await.unwrap();
    let [by_operator, by_hand] = [
        open_sale(admin.as_ref()).await.id,
        open_sale(admin.as_ref()).await.id,
    ];
    // The gate's clock is a little ahead of the ledger's.
    let ahead = now() + TimeDelta::seconds(3);
    let entry = because("sold elsewhere");
    let end = admin.change_sale(by_operator, &SaleChange::End, ahead, &entry);
    let ended = end.await.unwrap().after;
    let set_end = async |minutes| {
        let end = bed.instant(Utc::now() + TimeDelta::minutes(minutes));
        let sql = format!("UPDATE flash_sales SET end_time = '{end}' WHERE id = {by_hand}");
        bed.execute(&sql).await.unwrap();
    };
    // Earlier, but still to come; now; a sale that is over already.
    for minutes in [30, 0, -10] {
        set_end(minutes).await;
    }
    // Several events of one change have no order among them.
    let sorted = async |sale| {
        let mut types = types(ledger.as_ref(), sale).await;
        types.sort();
        types
    };
    let (published, changed) = (EventType::SalePublished, EventType::SaleTermsChanged);
    let once = [published, changed, EventType::SaleEnded];
    assert_eq!(sorted(by_operator).await, once);
    let once = [published, changed, changed, changed, EventType::SaleEnded];
    assert_eq!(sorted(by_hand).await, once);
    let of_end = batches(ledger.as_ref(), by_operator).await;
    let of_end = of_end
        .iter()
        .find(|one| one.event_type == EventType::SaleEnded);
    let Some(EventSubject::Sale(terms)) = of_end.map(|batch| &batch.subject) else {
        panic!("it is about the sale");
    };
    assert_eq!((terms.window, terms.version), (ended.window, ended.version));
}

pub async fn a_draft_has_no_events_until_it_is_published(bed: &impl SqlBed) {
    let ledger = bed.ledger().await;
    ledger.record_events(EventRecording::On).await.unwrap();
    let sale = bed.sale(5).await;
    let next = super::bed::next_id();
    bed.execute(&format!(
        "INSERT INTO flash_sales (id, product_id, start_time, end_time, initial_stock, remaining_stock, state)
         SELECT {next}, product_id, start_time, end_time, 5, 5, 'DRAFT' FROM flash_sales WHERE id = {sale}"
    ))
    .await
    .unwrap();
    let draft = SaleId::new(next).unwrap();
    let far = bed.instant(Utc::now() + TimeDelta::days(9));
    let farther = bed.instant(Utc::now() + TimeDelta::days(10));
    let of_draft = format!("WHERE id = {draft}");
    for change in [
        "initial_stock = 7, remaining_stock = 7".to_owned(),
        format!("start_time = '{far}', end_time = '{farther}'"),
    ] {
        bed.execute(&format!("UPDATE flash_sales SET {change} {of_draft}"))
            .await
            .unwrap();
    }
    assert_eq!(types(ledger.as_ref(), draft).await, []);
    bed.execute(&format!("UPDATE flash_sales SET state = 'LIVE' {of_draft}"))
        .await
        .unwrap();
    let published = [EventType::SalePublished];
    assert_eq!(types(ledger.as_ref(), draft).await, published);
}

pub async fn an_undone_change_is_no_event(bed: &impl SqlBed) {
    let ledger = bed.ledger().await;
    ledger.record_events(EventRecording::On).await.unwrap();
    let users = bed.shoppers(2).await;
    let sale = bed.sale(1).await;
    let order = |user| bed.order(sale, sale.value(), user, AttemptId::generate(), "SUCCESS");
    order(users[0]).await.unwrap();
    order(users[1]).await.unwrap_err();
    bed.set_units(sale, 3).await;
    let mut types = types(ledger.as_ref(), sale).await;
    // Several events of one change have no order among them.
    types.sort();
    assert_eq!(
        types,
        [
            EventType::OrderCreated,
            EventType::SalePublished,
            EventType::SaleStockChanged,
            EventType::SaleSoldOut,
            EventType::SaleRestocked,
        ]
    );
}
