//! Changes of a sale while shoppers press.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use flashsale::port::Role;
use futures::future::join_all;
use serde_json::json;

use super::desk::{Desk, accepted};
use crate::support::{
    api::{Api, Shopper},
    system::{Servers, System},
    wait_until,
};

/// A press that was answered: when it was sent, when it was answered, and how.
struct Press {
    sent: Instant,
    answered: Instant,
    status: u16,
    code: String,
}

/// Presses without a pause at a node until told to stop, each by another shopper, some at a time.
async fn press_on(api: &Api, sale: i64, shoppers: &[Shopper], stop: &AtomicBool) -> Vec<Press> {
    let lanes = shoppers
        .chunks(shoppers.len().div_ceil(16))
        .map(async |lane| {
            let mut presses = Vec::new();
            for shopper in lane {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let sent = Instant::now();
                let (status, body) = api.attempt(sale, shopper).await;
                let code = body["code"].as_str().unwrap_or_default().to_owned();
                presses.push(Press {
                    sent,
                    answered: Instant::now(),
                    status,
                    code,
                });
            }
            presses
        });
    join_all(lanes).await.into_iter().flatten().collect()
}

#[tokio::test]
async fn after_the_answer_to_a_pause_no_node_accepts_anybody() {
    let system = Servers::start().await;
    let _worker = system.work().await;
    let (first, second) = (system.serve().await, system.serve().await);
    let desk = Desk::of(&first, &system, Role::Operator).await;
    let sale = desk.open_sale(1_000_000).await;
    second.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(40_000).await;
    let (left, right) = shoppers.split_at(20_000);
    let stop = Arc::new(AtomicBool::new(false));
    let operate = async {
        // Some have to be accepted before.
        wait_until("shoppers are accepted", Duration::from_secs(10), || async {
            desk.balance(sale).await["available"].as_i64().unwrap() < 999_500
        })
        .await;
        let asked = Instant::now();
        let path = format!("/sales/{sale}/pause");
        let paused = desk.post(&path, json!({"reason": "Test"})).await;
        let paused = paused.expect(200);
        let answered = Instant::now();
        assert!(
            answered - asked < Duration::from_secs(1),
            "{:?}",
            answered - asked
        );
        assert_eq!(paused.data()["phase"], "paused");
        assert_eq!(paused.data()["applied"], true);
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.store(true, Ordering::Relaxed);
        answered
    };
    let (paused, at_first, at_second) = tokio::join!(
        operate,
        press_on(&first, sale, left, &stop),
        press_on(&second, sale, right, &stop)
    );
    for (node, presses) in [("first", &at_first), ("second", &at_second)] {
        let after: Vec<_> = presses.iter().filter(|press| press.sent > paused).collect();
        assert!(!after.is_empty(), "{node}");
        for press in after {
            assert_eq!(
                (press.status, press.code.as_str()),
                (409, "paused"),
                "{node}"
            );
        }
        let before = presses.iter().filter(|press| press.status == 200);
        assert!(before.count() > 100, "{node}");
    }
    let accepted = [&at_first, &at_second];
    let accepted = accepted.iter().flat_map(|presses| presses.iter());
    let accepted = accepted.filter(|press| press.status == 200).count();
    let balance = system.check_promises(sale).await;
    assert_eq!(
        usize::try_from(balance.orders).unwrap(),
        accepted,
        "all of them get it"
    );

    desk.post(&format!("/sales/{sale}/resume"), json!({}))
        .await
        .expect(200);
    let begun = Instant::now();
    let late = system.shoppers(2).await;
    for (api, shopper) in [&first, &second].into_iter().zip(&late) {
        wait_until("the node accepts", Duration::from_secs(1), || async {
            api.attempt(sale, shopper).await.0 == 200
        })
        .await;
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
    system.check_promises(sale).await;
}

on_systems! {
    a_sold_out_sale_sells_what_is_added,
    only_units_that_nobody_holds_are_taken_away,
    a_sale_is_extended_ended_and_its_note_is_kept,
}

async fn a_sold_out_sale_sells_what_is_added<S: System>(system: S) {
    let _worker = system.worker().await;
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let sale = desk.open_sale(20).await;
    let shoppers = system.shoppers(20_000).await;
    assert_eq!(accepted(&api, sale, &shoppers[..40]).await, 20);
    wait_until("everybody knows", Duration::from_secs(5), || async {
        api.attempt(sale, &shoppers[39]).await.1["code"] == "sold_out"
    })
    .await;

    let stop = AtomicBool::new(false);
    let operate = async {
        // The refusals are in full swing.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let asked = Instant::now();
        let added = desk.stock(sale, "pallet", json!({"delta": 50})).await;
        let added = added.expect(200);
        assert_eq!(
            (&added.data()["applied"], &added.data()["complete"]),
            (&json!(50), &json!(true))
        );
        wait_until("all are held", Duration::from_secs(10), || async {
            desk.balance(sale).await["available"] == 0
        })
        .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.store(true, Ordering::Relaxed);
        asked
    };
    let (asked, presses) = tokio::join!(operate, press_on(&api, sale, &shoppers[40..], &stop));
    let before = presses.iter().filter(|press| press.sent < asked);
    assert!(before.count() > 100, "there is load");
    assert!(presses.len() < shoppers.len() - 40, "until the end");
    let others = presses.iter().filter(|press| press.status != 200);
    for press in others {
        assert_eq!((press.status, press.code.as_str()), (409, "sold_out"));
    }
    let bought: Vec<_> = presses.iter().filter(|press| press.status == 200).collect();
    assert_eq!(bought.len(), 50, "exactly those that were added");
    assert!(bought.iter().all(|press| press.answered > asked));
    let first = bought.iter().map(|press| press.answered - asked).min();
    assert!(first.unwrap() < Duration::from_secs(1), "{first:?}");
    let balance = system.check_promises(sale).await;
    assert_eq!(
        (balance.initial, balance.orders, balance.remaining),
        (70, 70, 0)
    );
}

async fn only_units_that_nobody_holds_are_taken_away<S: System>(system: S) {
    let _worker = system.worker().await;
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let sale = desk.open_sale(1_000).await;
    let shoppers = system.shoppers(710).await;
    assert_eq!(accepted(&api, sale, &shoppers[..700]).await, 700);

    let exact = desk
        .stock(sale, "exact", json!({"delta": -301, "mode": "exact"}))
        .await;
    assert_eq!((exact.status, exact.code()), (409, "below_sold"));
    let all = json!({"delta": -1_000, "mode": "upTo", "reason": "Recalled"});
    let all = desk.stock(sale, "all", all).await.expect(200);
    assert_eq!(all.data()["requested"], -1_000);
    assert_eq!(all.data()["applied"], -300, "{all:?}");
    assert_eq!(all.data()["balance"]["total"], 700);
    assert_eq!(all.data()["balance"]["drift"], 0);
    assert_eq!(accepted(&api, sale, &shoppers[700..]).await, 0);
    let balance = system.check_promises(sale).await;
    assert_eq!(
        (balance.initial, balance.orders),
        (700, 700),
        "nobody who was accepted lost a unit"
    );
    let nothing = json!({"delta": -5, "mode": "upTo"});
    let nothing = desk.stock(sale, "nothing", nothing).await.expect(200);
    assert_eq!(nothing.data()["applied"], 0);
}

async fn a_sale_is_extended_ended_and_its_note_is_kept<S: System>(system: S) {
    let _worker = system.worker().await;
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let sale = desk.open_sale(10).await;
    let path = format!("/sales/{sale}");
    let shoppers = system.shoppers(2).await;
    assert_eq!(api.attempt(sale, &shoppers[0]).await.0, 200);
    let longer =
        json!({"endTime": (chrono::Utc::now() + chrono::TimeDelta::hours(5)).to_rfc3339()});
    let seen = desk.get(&path).await.etag();
    let longer = desk.patch(&path, &seen, longer).await.expect(200);
    assert_eq!(longer.data()["phase"], "open");
    let seen = longer.etag();
    let start = desk.patch(
        &path,
        &seen,
        json!({"startTime": "2040-01-01T00:00:00Z", "endTime": "2040-01-02T00:00:00Z"}),
    );
    assert_eq!(start.await.code(), "not_allowed");

    let ended = desk
        .post(&format!("{path}/end"), json!({"reason": "Enough"}))
        .await;
    assert_eq!(ended.expect(200).data()["phase"], "ended");
    let (status, body) = api.attempt(sale, &shoppers[1]).await;
    assert_eq!((status, body["code"].as_str()), (410, Some("ended")));
    let (status, body) = api.attempt(sale, &shoppers[0]).await;
    assert_eq!(status, 200, "a buyer is told about the purchase: {body}");
    let cancelled = desk.post(&format!("{path}/cancel"), json!({})).await;
    assert_eq!((cancelled.status, cancelled.code()), (409, "not_allowed"));
    let seen = desk.get(&path).await.etag();
    let noted = desk
        .patch(&path, &seen, json!({"note": "It went well"}))
        .await;
    assert_eq!(noted.expect(200).data()["note"], "It went well");
}
