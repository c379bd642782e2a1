//! Accounts that programs of the shop make many at a time, and attempts that they send.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    services::{WithPrograms, service_token},
    support::{
        api::{Api, Shopper},
        issuer,
        system::System,
        wait_until,
    },
};

/// Makes accounts of these subjects.
async fn make(api: &Api, program: &Shopper, subjects: &[String]) -> (u16, Value) {
    let form = json!({ "subjects": subjects });
    api.post("/api/service/shoppers", Some(program), Some(form))
        .await
}

/// Sends an attempt of a shopper.
async fn press(api: &Api, program: &Shopper, form: Value) -> (u16, Value) {
    api.post("/api/service/attempts", Some(program), Some(form))
        .await
}

/// Requests of a program that are not answered with an attempt or an account.
async fn what_is_wrong_is_refused(api: &Api, program: &Shopper, sale: i64, id: &Value) {
    for (form, status, code) in [
        (
            json!({"saleId": sale, "subject": "nobody"}),
            404,
            "shopper_not_found",
        ),
        (
            json!({"saleId": sale, "userId": "999999999"}),
            404,
            "shopper_not_found",
        ),
        (
            json!({"saleId": sale, "userId": "x"}),
            400,
            "validation_failed",
        ),
        (json!({"saleId": sale}), 400, "validation_failed"),
        (
            json!({"saleId": sale, "subject": "customer-0", "userId": id}),
            400,
            "validation_failed",
        ),
        (json!({"subject": "customer-0"}), 400, "validation_failed"),
        (
            json!({"saleId": sale, "subject": "a\0b"}),
            400,
            "validation_failed",
        ),
        (
            json!({"saleId": 0, "subject": "customer-0"}),
            400,
            "validation_failed",
        ),
    ] {
        let (answered, body) = press(api, program, form.clone()).await;
        assert_eq!(
            (answered, body["code"].as_str()),
            (status, Some(code)),
            "{form}"
        );
    }
    let too_many: Vec<String> = (0..10_001).map(|n| n.to_string()).collect();
    for wrong in [
        vec![],
        vec![String::new()],
        vec!["x".repeat(256)],
        vec!["a\nb".to_owned()],
        too_many,
    ] {
        assert_eq!(make(api, program, &wrong).await.0, 400);
    }
    let (status, body) = make(api, program, &vec!["\u{10ffff}".repeat(255); 10_000]).await;
    assert_eq!((status, &body["code"]), (413, &json!("body_too_large")));
}

/// Subjects that are sent again, in another order and with one of them twice, have the accounts that they had.
async fn made_once(
    system: &impl System,
    api: &Api,
    program: &Shopper,
    subjects: &[String],
    ids: &[Value],
) {
    let mixed = [
        &subjects[9_999..],
        &subjects[..1],
        &subjects[..1],
        &["guest-1".to_owned()],
    ]
    .concat();
    let both = join_all([make(api, program, &mixed), make(api, program, &mixed)]).await;
    for (status, body) in &both {
        assert_eq!(*status, 200, "{body}");
        let again = body["data"]["userIds"].as_array().unwrap();
        assert_eq!(
            again[..3],
            [ids[9_999].clone(), ids[0].clone(), ids[0].clone()]
        );
        assert_eq!(again[3], both[0].1["data"]["userIds"][3]);
    }
    assert_eq!(
        system
            .number("SELECT count(*) FROM external_identities")
            .await,
        10_001
    );
    let of_identities = "SELECT count(*) FROM users WHERE username LIKE 'external:%'";
    assert_eq!(
        system.number(of_identities).await,
        10_001,
        "none is left over"
    );
}

on_systems! {
    accounts_are_made_many_at_a_time_and_buy_through_programs,
}

async fn accounts_are_made_many_at_a_time_and_buy_through_programs<S: WithPrograms>(system: S) {
    let environment = [("EXTERNAL_ISSUER", issuer::NAME)];
    let api = system.serve_as(&environment).await;
    let worker = system.worker().await;
    let (sale, product) = system.sale(3).await;
    api.wait_until_open(&system, sale).await;
    let program = service_token(&system, &api, "shoppers:write,attempts:write").await;
    let subjects: Vec<String> = (0..10_000).map(|n| format!("customer-{n}")).collect();
    let (status, body) = make(&api, &program, &subjects).await;
    assert_eq!(status, 200, "{body}");
    let ids = body["data"]["userIds"].as_array().unwrap().clone();
    assert_eq!(ids.len(), 10_000);
    made_once(&system, &api, &program, &subjects, &ids).await;
    let press = |form| press(&api, &program, form);
    let first = press(json!({"saleId": sale, "subject": "customer-0"})).await;
    assert_eq!(
        (first.0, &first.1["data"]["status"]),
        (200, &json!("PENDING")),
        "{first:?}"
    );
    let repeated = press(json!({"saleId": sale, "userId": ids[0]})).await;
    assert_eq!(
        repeated.1["data"]["attemptId"],
        first.1["data"]["attemptId"]
    );
    // The shopper's own press is the same attempt.
    let shopper = Shopper::with_account(ids[0].as_str().unwrap().parse().unwrap());
    let own = api.attempt(sale, &shopper).await;
    assert_eq!(own.1["data"]["attemptId"], first.1["data"]["attemptId"]);
    wait_until("the order is told", Duration::from_secs(10), || async {
        api.result(product, &shopper).await.as_deref() == Some("SUCCESS")
    })
    .await;
    assert_eq!(
        press(json!({"saleId": sale, "subject": "guest-1"})).await.0,
        200
    );
    assert_eq!(
        press(json!({"saleId": sale, "userId": ids[1]})).await.0,
        200
    );
    let sold_out = press(json!({"saleId": sale, "subject": "customer-2"})).await;
    assert_eq!((sold_out.0, &sold_out.1["code"]), (409, &json!("sold_out")));
    let unknown_sale = press(json!({"saleId": 99_999, "subject": "customer-2"})).await;
    assert_eq!(
        (unknown_sale.0, &unknown_sale.1["code"]),
        (404, &json!("sale_not_found"))
    );
    what_is_wrong_is_refused(&api, &program, sale, &ids[0]).await;

    // A disabled account cannot buy, whoever presses.
    let (status, _) = api
        .post("/api/service/attempts", None, Some(json!({})))
        .await;
    assert_eq!(status, 401);
    system
        .sql(&format!(
            "UPDATE users SET disabled_at = '{}' WHERE id = {}",
            system.instant(chrono::Utc::now()),
            shopper.id
        ))
        .await;
    let of_subject = press(json!({"saleId": sale, "subject": "customer-0"})).await;
    assert_eq!(of_subject.0, 404, "{of_subject:?}");
    wait_until("nodes know it", Duration::from_secs(5), || async {
        press(json!({"saleId": sale, "userId": ids[0]})).await.0 == 404
    })
    .await;
    drop(worker);
    system.check_promises(sale).await;
}
