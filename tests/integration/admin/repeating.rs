//! Requests that are sent again: `Idempotency-Key`.

use std::time::Duration;

use flashsale::port::Role;
use futures::future::join_all;
use serde_json::json;

use super::desk::Desk;
use crate::support::{system::System, wait_until};

on_systems! {
    a_change_with_one_key_is_made_once,
    a_key_without_an_answer_is_answered_from_the_ledger,
}

async fn a_change_with_one_key_is_made_once<S: System>(system: S) {
    let _worker = system.worker().await;
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let sale = desk.open_sale(100).await;

    let path = format!("/sales/{sale}/stock");
    let without = desk.post(&path, json!({"delta": 10})).await;
    assert_eq!(without.status, 400, "units need a key");

    let body = json!({"delta": 10, "reason": "Found"});
    let three = join_all((0..3).map(|_| desk.stock(sale, "ten", body.clone()))).await;
    let replayed = three.iter().filter(|answer| answer.is_replayed()).count();
    assert_eq!(replayed, 2, "{three:?}");
    for answer in &three {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body, three[0].body, "the first answer");
        assert_eq!(answer.etag(), three[0].etag());
    }
    assert_eq!(desk.balance(sale).await["total"], 110);

    let other = desk.stock(sale, "ten", json!({"delta": 11})).await;
    assert_eq!(
        (other.status, other.code()),
        (422, "idempotency_key_reused")
    );
    let elsewhere = desk
        .post_once(
            &format!("/sales/{sale}/pause"),
            "ten",
            json!({"reason": "Found"}),
        )
        .await;
    assert_eq!(elsewhere.status, 422, "{elsewhere:?}");
    let colleague = Desk::of(&api, &system, Role::Operator).await;
    let own = colleague.stock(sale, "ten", body.clone()).await.expect(200);
    assert!(!own.is_replayed(), "a key is its owner's");
    assert_eq!(desk.balance(sale).await["total"], 120);

    // Also what was refused for good.
    let too_many = json!({"delta": -1_000, "mode": "exact"});
    for _ in 0..2 {
        let refused = desk.stock(sale, "too many", too_many.clone()).await;
        assert_eq!((refused.status, refused.code()), (409, "below_sold"));
    }
    let product =
        json!({"sku": format!("once-{sale}"), "name": "x", "priceCents": 1, "currency": "EUR"});
    let first = desk
        .post_once("/products", "product", product.clone())
        .await;
    let again = desk.post_once("/products", "product", product).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.id(), again.id());
    assert_eq!(first.headers["location"], again.headers["location"]);
    system.check_promises(sale).await;
}

/// The node of the first request died after its change and before its answer: the key is there, and no answer.
async fn a_key_without_an_answer_is_answered_from_the_ledger<S: System>(system: S) {
    let _worker = system.worker().await;
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let sale = desk.open_sale(100).await;
    let draft = desk.draft(100, 600, 1_200).await;
    let requests = [
        (format!("/sales/{sale}/stock"), json!({"delta": 7})),
        (
            format!("/sales/{sale}/stock"),
            json!({"delta": -3, "mode": "upTo"}),
        ),
        (format!("/sales/{sale}/pause"), json!({"reason": "x"})),
        (format!("/sales/{draft}/stock"), json!({"delta": -3})),
        (
            format!("/sales/{draft}/stock"),
            json!({"delta": -1_000, "mode": "upTo"}),
        ),
        // The sale has one unit by now, and keeps it.
        (
            format!("/sales/{draft}/stock"),
            json!({"delta": -1, "mode": "upTo"}),
        ),
    ];
    let mut answers = Vec::new();
    for (n, (path, body)) in requests.iter().enumerate() {
        let answer = desk
            .post_once(path, &format!("key {n}"), body.clone())
            .await;
        answers.push(answer.expect(200));
    }
    let (refused, too_many) = (format!("/sales/{draft}/stock"), json!({"delta": -9}));
    let first = desk.post_once(&refused, "too many", too_many.clone()).await;
    assert_eq!((first.status, first.code()), (409, "below_sold"));
    system
        .sql("UPDATE idempotency_keys SET status = NULL, body = NULL")
        .await;
    let soon = desk.post_once(&requests[0].0, "key 0", requests[0].1.clone());
    let soon = soon.await;
    assert_eq!((soon.status, soon.code()), (409, "request_in_progress"));
    assert_eq!(soon.headers["retry-after"], "1");
    wait_until(
        "the keys are old enough",
        Duration::from_secs(20),
        || async {
            let (path, body) = &requests[0];
            desk.post_once(path, "key 0", body.clone()).await.status == 200
        },
    )
    .await;
    for (n, (path, body)) in requests.iter().enumerate() {
        let again = desk
            .post_once(path, &format!("key {n}"), body.clone())
            .await;
        let again = again.expect(200);
        assert!(again.is_replayed());
        for field in ["requested", "applied", "complete", "phase", "id"] {
            assert_eq!(
                again.data()[field],
                answers[n].data()[field],
                "{path} {field}"
            );
        }
    }
    let again = desk.post_once(&refused, "too many", too_many).await;
    assert_eq!((again.status, again.code()), (409, "below_sold"));
    assert!(again.is_replayed());
    assert_eq!(desk.balance(sale).await["total"], 104);
}
