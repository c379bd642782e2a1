//! What a support desk looks up: accounts, a shopper's attempts, one order; also on the command line.

use std::collections::BTreeSet;

use flashsale::port::Role;
use serde_json::{Value, json};

use super::{command_line::Commands, desk::Desk};
use crate::support::system::System;

on_systems! {
    an_account_is_found_by_name_address_and_id,
    attempts_of_a_shopper_come_page_by_page,
    the_last_admin_stays,
}

async fn an_account_is_found_by_name_address_and_id<S: System>(system: S) {
    let api = system.serve().await;
    let shopper = api.register("Ada").await;
    for role in [Role::Support, Role::Auditor, Role::Operator, Role::Admin] {
        let desk = Desk::of(&api, &system, role).await;
        for query in [
            "username=Ada".to_owned(),
            "username=aDA".to_owned(),
            "email=ada@EXAMPLE.com".to_owned(),
            format!("id={}", shopper.id),
        ] {
            let found = desk.get(&format!("/users?{query}")).await.expect(200);
            let items = found.data()["items"].as_array().unwrap();
            assert_eq!(items.len(), 1, "{query}: {found:?}");
            let account = items[0].as_object().unwrap();
            assert_eq!(account["userId"], shopper.id.to_string());
            assert_eq!(account["username"], "Ada");
            assert_eq!(account["email"], "Ada@example.com");
            assert_eq!(
                (&account["role"], &account["disabled"]),
                (&json!("user"), &json!(false))
            );
            let fields: BTreeSet<&str> = account.keys().map(String::as_str).collect();
            let known = [
                "createdAt",
                "disabled",
                "email",
                "role",
                "userId",
                "username",
            ];
            assert_eq!(fields, BTreeSet::from(known), "nothing of the password");
        }
    }
    let desk = Desk::of(&api, &system, Role::Support).await;
    let shown = desk
        .get(&format!("/users/{}", shopper.id))
        .await
        .expect(200);
    assert_eq!(shown.data()["username"], "Ada");
    desk.get("/users/999999999").await.expect(404);
    for nobody in ["username=bob", "email=Ada", "id=999999999", "username=%00"] {
        let found = desk.get(&format!("/users?{nobody}")).await.expect(200);
        assert_eq!(
            found.data(),
            &json!({"items": [], "next": null}),
            "{nobody}"
        );
    }
    for wrong in ["", "?username=", "?username=Ada&id=1", "?id=x"] {
        desk.get(&format!("/users{wrong}")).await.expect(400);
    }
    for path in ["/api/admin/users?id=1", "/api/admin/users/1"] {
        assert_eq!(api.get(path, Some(&shopper)).await.0, 403);
        assert_eq!(api.get(path, None).await.0, 401);
    }
}

async fn attempts_of_a_shopper_come_page_by_page<S: Commands>(system: S) {
    let _worker = system.worker().await;
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let shopper = system.shoppers(1).await.remove(0);
    let attempts_of = format!("/users/{}/attempts", shopper.id);
    let none = desk.get(&attempts_of).await.expect(200);
    assert_eq!(none.data(), &json!({"items": [], "next": null}));
    desk.get("/users/999999999/attempts").await.expect(404);

    let mut attempts = Vec::new();
    for _ in 0..3 {
        let sale = desk.open_sale(1).await;
        let (status, body) = api.attempt(sale, &shopper).await;
        assert_eq!(status, 200, "{body}");
        system.check_promises(sale).await;
        attempts.push((sale, body["data"]["attemptId"].as_str().unwrap().to_owned()));
    }
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = desk
            .get(&format!("{attempts_of}?limit=2{after}"))
            .await
            .expect(200);
        let items = page.data()["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        found.extend(
            items
                .iter()
                .map(|item| item["attemptId"].as_str().unwrap().to_owned()),
        );
        match page.data()["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let expected: Vec<_> = attempts
        .iter()
        .rev()
        .map(|(_, attempt)| attempt.clone())
        .collect();
    assert_eq!(found, expected, "each once, the newest first");
    desk.get(&format!("{attempts_of}?after=x"))
        .await
        .expect(400);

    // The same on the command line.
    let (sale, attempt) = &attempts[0];
    let shown = system.json(&["order", "show", attempt]).await;
    let over_http = desk.get(&format!("/attempts/{attempt}")).await.expect(200);
    assert_eq!(shown["order"], over_http.data()["order"]);
    assert_eq!(shown["settled"], over_http.data()["settled"]);
    let text = system.answer(&["order", "show", attempt]).await;
    assert!(
        text.contains("ORDERED") && text.contains("Trail shoe"),
        "{text}"
    );
    let nobody = "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11";
    assert!(
        system
            .refusal(&["order", "show", nobody])
            .await
            .contains("no attempt that is settled or waits")
    );

    let sale_text = sale.to_string();
    let lines = system
        .answer(&["sale", "orders", &sale_text, "--json"])
        .await;
    let order: Value = serde_json::from_str(lines.trim()).unwrap();
    assert_eq!(
        (&order["attemptId"], &order["status"]),
        (&json!(attempt), &json!("SUCCESS"))
    );
    let csv = system.answer(&["sale", "orders", &sale_text]).await;
    assert!(
        csv.starts_with("orderId,") && csv.contains("Trail shoe"),
        "{csv}"
    );

    let cancel = [
        "order",
        "cancel",
        attempt,
        "--restock",
        "true",
        "--reason",
        "Asked for it",
    ];
    let cancelled = system.json(&cancel).await;
    assert_eq!(cancelled["status"], "FAILED", "{cancelled}");
    assert!(system.refusal(&cancel).await.contains("has ended"));
    let newest = desk.get("/actions?limit=1").await.expect(200);
    let newest = &newest.data()["items"][0];
    assert_eq!(
        (&newest["action"], &newest["actor"]),
        (&json!("cancel_order"), &json!("cli:ann"))
    );
    let balance = system.check_promises(*sale).await;
    assert_eq!((balance.remaining, balance.orders), (1, 0));
}

async fn the_last_admin_stays<S: Commands>(system: S) {
    let api = system.serve().await;
    let add = |name: &'static str, email: &'static str| {
        ["user", "add", name, "--email", email, "--role", "admin"]
    };
    // What the demo data made.
    system
        .sql("UPDATE users SET role = 'user' WHERE role = 'admin'")
        .await;
    system.json(&add("ada", "ada@shop.example")).await;
    let disable = ["user", "disable", "ada"];
    let demote = ["user", "role", "ada", "operator"];
    for last in [&disable[..], &demote[..]] {
        let refusal = system.refusal(last).await;
        assert!(
            refusal.contains("ada is the last admin that is enabled"),
            "{refusal}"
        );
    }
    system.json(&add("grace", "grace@shop.example")).await;
    system.json(&disable).await;
    let refusal = system.refusal(&["user", "role", "grace", "user"]).await;
    assert!(
        refusal.contains("grace is the last"),
        "a disabled admin does not count: {refusal}"
    );
    let forced = system.json(&["user", "disable", "grace", "--force"]).await;
    assert_eq!(forced["user"]["disabled"], true);
    drop(api);
}
