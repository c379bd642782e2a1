//! Shoppers, and others, who come too often; and what a run leaves in its log.

use serde_json::{Value, json};

use crate::support::{
    api::{Api, JWT_SECRET, Shopper},
    system::System,
};

on_systems! {
    who_presses_too_often_is_told_when_to_press_again,
    a_guesser_is_stopped_and_the_owner_is_not,
    nothing_secret_is_logged,
}

/// Status, `Retry-After`, body.
type Answer = (u16, Option<u64>, Value);

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after.map(|value| value.to_str().unwrap().parse().unwrap());
    let status = response.status().as_u16();
    (status, retry_after, response.json().await.unwrap())
}

async fn press(api: &Api, sale: i64, shopper: &Shopper) -> Answer {
    let url = format!("{}/api/flash-sale/attempt/{sale}", api.url);
    answer(api.http.post(url).bearer_auth(&shopper.token)).await
}

/// A login of somebody behind the load balancer that is trusted.
async fn log_in(api: &Api, name: &str, password: &str, address: &str) -> Answer {
    let form = json!({"username": name, "password": password});
    let request = api.http.post(format!("{}/api/auth/login", api.url));
    answer(request.header("x-forwarded-for", address).json(&form)).await
}

async fn who_presses_too_often_is_told_when_to_press_again(system: impl System) {
    let _worker = system.worker().await;
    let api = system.serve_as(&[("LIMIT_ATTEMPTS_PER_USER", "6")]).await;
    let (sale, _) = system.sale(5).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(2).await;
    let (hasty, calm) = (&shoppers[0], &shoppers[1]);
    let first = press(&api, sale, hasty).await;
    for _ in 1..6 {
        let (status, _, body) = press(&api, sale, hasty).await;
        assert_eq!(status, 200);
        assert_eq!(body["data"]["attemptId"], first.2["data"]["attemptId"]);
    }
    let (status, wait, body) = press(&api, sale, hasty).await;
    let expected = json!({"success": false, "error": "Too Many Requests", "message": "That was too often. Please try again later.", "code": "too_many_requests"});
    assert_eq!((status, body), (429, expected));
    // Six a minute: one comes back every ten seconds.
    assert!(
        wait.is_some_and(|secs| (5..=10).contains(&secs)),
        "{wait:?}"
    );
    assert_eq!(press(&api, sale, calm).await.0, 200, "another shopper");
    let balance = system.check_promises(sale).await;
    assert_eq!(balance.orders, 2, "the hasty one has an order");
}

async fn a_guesser_is_stopped_and_the_owner_is_not(system: impl System) {
    let settings = [
        ("LIMIT_FAILED_LOGINS_PER_ACCOUNT", "3"),
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    let api = system.serve_as(&settings).await;
    let owner = api.register("owner").await;
    for name in ["owner", "nobody"] {
        for _ in 0..3 {
            let (status, _, body) = log_in(&api, name, "a guess", "203.0.113.1").await;
            assert_eq!(
                (status, &body["code"]),
                (401, &json!("invalid_credentials"))
            );
        }
        for password in ["a guess", "password123"] {
            let (status, wait, body) = log_in(&api, name, password, "203.0.113.1").await;
            assert_eq!((status, &body["code"]), (429, &json!("too_many_requests")));
            // Three in 15 minutes: one comes back every five.
            assert!(
                wait.is_some_and(|secs| (290..=300).contains(&secs)),
                "{wait:?}"
            );
        }
    }
    for _ in 0..10 {
        let (status, _, body) = log_in(&api, "OWNER", "password123", "203.0.113.2").await;
        assert_eq!(
            (status, &body["data"]["userId"]),
            (200, &json!(owner.id.to_string()))
        );
    }
}

async fn nothing_secret_is_logged(system: impl System) {
    const RIGHT: &str = "a-right-secret-Kd93hSl";
    const WRONG: &str = "a-wrong-secret-Pq71xTz";
    const FORGED: &str = "eyJhbGciOiJIUzI1NiJ9.eyJGb3JnZWQiOjF9.Zm9yZ2Vk";
    let settings = [
        ("LOG_LEVEL", "trace"),
        ("LIMIT_FAILED_LOGINS_PER_ACCOUNT", "1"),
    ];
    let api = system.serve_as(&settings).await;
    let account = json!({"username": "shopper", "email": "shopper@example.com", "password": RIGHT});
    for status in [201, 409] {
        let registered = api
            .post("/api/auth/register", None, Some(account.clone()))
            .await;
        assert_eq!(registered.0, status);
    }
    let shopper = api.login("shopper", RIGHT).await;
    for status in [401, 429] {
        let form = json!({"username": "shopper", "password": WRONG});
        assert_eq!(
            api.post("/api/auth/login", None, Some(form)).await.0,
            status
        );
    }
    // A body that breaks off is told about in detail, but not in a log.
    let broken = format!("{{\"username\": \"shopper\", \"password\": \"{WRONG}\", ");
    let request = api.http.post(format!("{}/api/auth/login", api.url));
    let request = request
        .header("content-type", "application/json")
        .body(broken);
    assert_eq!(request.send().await.unwrap().status(), 400);
    let forger = Shopper {
        id: shopper.id,
        token: FORGED.to_owned(),
    };
    for (shopper, status) in [(&shopper, 404), (&forger, 401)] {
        let attempt = api
            .post("/api/flash-sale/attempt/999", Some(shopper), None)
            .await;
        assert_eq!(attempt.0, status);
    }
    api.process.terminate();
    let (_, log) = api.process.outcome().await;
    assert!(log.len() > 1_000, "much is logged: {log}");
    for secret in [
        RIGHT,
        WRONG,
        FORGED,
        &shopper.token,
        JWT_SECRET,
        "$argon2id$",
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is logged");
    }
}
