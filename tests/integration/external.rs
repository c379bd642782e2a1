//! Accounts of the shop: tokens of its issuer, and the keys that sign them.

mod programs;

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::{
    services::service_token,
    support::{
        api::{Api, Shopper},
        issuer::{self, ROTATION, SigningKey, TestIssuer, claims},
        system::{OneProcess, System},
        wait_until,
    },
};

async fn exchange(api: &Api, token: &str) -> (u16, Value) {
    let form = json!({ "token": token });
    api.post("/api/auth/exchange", None, Some(form)).await
}

/// The session that a token gives.
async fn session(api: &Api, token: &str) -> Shopper {
    let (status, body) = exchange(api, token).await;
    assert_eq!(status, 200, "{body}");
    Shopper {
        id: body["data"]["userId"].as_str().unwrap().parse().unwrap(),
        token: body["data"]["token"].as_str().unwrap().to_owned(),
    }
}

async fn wait_until_taken(api: &Api, token: &str) {
    wait_until("the token is taken", ROTATION, || async {
        exchange(api, token).await.0 == 200
    })
    .await;
}

on_systems! {
    tokens_of_three_algorithms_give_sessions_that_buy,
}

async fn tokens_of_three_algorithms_give_sessions_that_buy(system: impl System) {
    let keys = [
        SigningKey::rsa("rsa"),
        SigningKey::ec("ec"),
        SigningKey::ed("ed"),
    ];
    let issuer = TestIssuer::start(&keys.each_ref()).await;
    let api = system.serve_as(&issuer.environment()).await;
    let worker = system.worker().await;
    let (sale, product) = system.sale(10).await;
    api.wait_until_open(&system, sale).await;
    wait_until_taken(&api, &keys[0].token("nobody")).await;
    for (key, subject) in keys.iter().zip(["auth0|1042", "Zoë", "guest-7f3a"]) {
        let shopper = session(&api, &key.token(subject)).await;
        let again = session(&api, &keys[1].token(subject)).await;
        assert_eq!(again.id, shopper.id, "a subject has one account");
        let (status, body) = api.attempt(sale, &shopper).await;
        assert_eq!(
            (status, &body["data"]["status"]),
            (200, &json!("PENDING")),
            "{}",
            key.id
        );
        wait_until("the order is told", Duration::from_secs(10), || async {
            api.result(product, &again).await.as_deref() == Some("SUCCESS")
        })
        .await;
    }
    // Such an account has no name and no password.
    let name = system
        .number(
            "SELECT count(*) FROM users WHERE username LIKE 'external:%' AND password_hash = '!'",
        )
        .await;
    assert_eq!(name, 4);
    let login = json!({"username": "external:1", "password": "!"});
    assert_eq!(api.post("/api/auth/login", None, Some(login)).await.0, 401);
    assert_eq!(issuer.fetches(), 1, "tokens of known keys cost no request");
    drop(worker);
    system.check_promises(sale).await;
}

/// Changes one claim of a good token.
fn with(name: &str, value: Value) -> Value {
    let mut changed = claims("victim");
    changed[name] = value;
    changed
}

fn without(name: &str) -> Value {
    let mut changed = claims("victim");
    changed.as_object_mut().unwrap().remove(name);
    changed
}

/// Tokens of the issuer that say something wrong, each with what it is.
fn not_signed_for_us(keys: &[SigningKey; 3]) -> Vec<(&'static str, String)> {
    let now = chrono::Utc::now().timestamp();
    let signed = |claims: &Value| keys[2].sign(&keys[2].header(), claims);
    vec![
        (
            "another issuer",
            signed(&with("iss", json!("https://accounts.other.example"))),
        ),
        ("no issuer", signed(&without("iss"))),
        (
            "a list of issuers",
            signed(&with(
                "iss",
                json!([claims("victim")["iss"], "https://accounts.other.example"]),
            )),
        ),
        (
            "another audience",
            signed(&with("aud", json!("another service"))),
        ),
        ("other audiences", signed(&with("aud", json!(["a", "b"])))),
        ("no audience", signed(&without("aud"))),
        ("no subject", signed(&without("sub"))),
        ("an empty subject", signed(&with("sub", json!("")))),
        (
            "a long subject",
            signed(&with("sub", json!("x".repeat(256)))),
        ),
        ("a subject with NUL", signed(&with("sub", json!("a\0b")))),
        ("a subject that is a number", signed(&with("sub", json!(7)))),
        ("no expiry", signed(&without("exp"))),
        ("not yet", signed(&with("nbf", json!(now + 120)))),
    ]
}

/// Tokens that the issuer did not sign, or not as it says.
fn forged(keys: &[SigningKey; 3]) -> Vec<(&'static str, String)> {
    let [rsa, ec, ed] = keys;
    let header = |alg: &str, key: &SigningKey| json!({"typ": "JWT", "alg": alg, "kid": key.id});
    let forged = |key: &SigningKey, by: &SigningKey| by.sign(&key.header(), &claims("victim"));
    let mut bent = ed.token("victim");
    let last = bent.pop().unwrap();
    bent.push(if last == 'A' { 'E' } else { 'A' });
    let mut refused = vec![
        (
            "another key of the same kind",
            forged(ed, &SigningKey::ed("ed")),
        ),
        ("a key of another kind", forged(rsa, ec)),
        ("another key on P-256", forged(ec, &SigningKey::ec("ec"))),
        ("a bent signature", bent),
        (
            "no key id",
            ed.sign(&json!({"alg": "EdDSA"}), &claims("victim")),
        ),
        (
            "an unknown key id",
            ed.sign(&json!({"alg": "EdDSA", "kid": "?"}), &claims("victim")),
        ),
        (
            "a long key id",
            ed.sign(
                &json!({"alg": "EdDSA", "kid": "x".repeat(1_000)}),
                &claims("victim"),
            ),
        ),
        (
            "extensions",
            ed.sign(
                &json!({"alg": "EdDSA", "kid": "ed", "crit": ["b64"]}),
                &claims("victim"),
            ),
        ),
        (
            "another algorithm",
            ed.sign(&header("RS256", ed), &claims("victim")),
        ),
        (
            "our own secret",
            issuer::with_hmac(
                &json!({"alg": "HS256", "kid": "ed"}),
                &claims("victim"),
                crate::support::api::JWT_SECRET.as_bytes(),
            ),
        ),
        ("one of our own", Shopper::with_account(1).token),
        ("nonsense", "nonsense".to_owned()),
        ("nothing", String::new()),
        ("two dots", "..".to_owned()),
    ];
    for key in keys {
        for alg in ["HS256", "HS384", "HS512"] {
            let header = header(alg, key);
            let token = issuer::with_hmac(&header, &claims("victim"), &key.public_bytes());
            refused.push(("an HMAC with the public key", token));
        }
        for alg in ["none", "None", "NONE", ""] {
            let token = issuer::unsigned(&header(alg, key), &claims("victim"));
            refused.push(("no signature", token));
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_issuer_did_not_sign_for_this_service_is_refused() {
    let keys = [
        SigningKey::rsa("rsa"),
        SigningKey::ec("ec"),
        SigningKey::ed("ed"),
    ];
    let ed = &keys[2];
    let issuer = TestIssuer::start(&keys.each_ref()).await;
    let system = OneProcess::start().await;
    let api = system.serve_as(&issuer.environment()).await;
    wait_until_taken(&api, &ed.token("somebody")).await;
    let now = chrono::Utc::now().timestamp();
    let signed = |claims: &Value| ed.sign(&ed.header(), claims);
    for (what, token) in not_signed_for_us(&keys).into_iter().chain(forged(&keys)) {
        let (status, body) = exchange(&api, &token).await;
        assert_eq!(
            (status, &body["code"]),
            (401, &json!("token_invalid")),
            "{what}"
        );
    }
    let (status, body) = exchange(&api, &signed(&with("exp", json!(now - 60)))).await;
    assert_eq!((status, &body["code"]), (401, &json!("token_expired")));
    // Clocks may differ by half a minute.
    for good in [
        with("exp", json!(now - 10)),
        with("nbf", json!(now + 20)),
        with("aud", json!(["a", issuer::AUDIENCE])),
    ] {
        let (status, body) = exchange(&api, &signed(&good)).await;
        assert_eq!(status, 200, "{good} {body}");
    }
    for wrong in [json!({}), json!({"token": 7}), json!([])] {
        let (status, _) = api.post("/api/auth/exchange", None, Some(wrong)).await;
        assert_eq!(status, 400);
    }
    let log = api.process.wait_for_line("exchange").await;
    assert!(!log.contains("eyJ"), "no token is logged: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_a_kind_that_is_not_allowed_or_too_short_is_not_used() {
    let keys = [
        SigningKey::rsa("rsa"),
        SigningKey::ec("ec"),
        SigningKey::ed("ed"),
    ];
    let issuer = TestIssuer::start(&keys.each_ref()).await;
    let system = OneProcess::start().await;
    let mut environment = issuer.environment().to_vec();
    environment.push(("EXTERNAL_ALGORITHMS", "RS256,EdDSA"));
    let api = system.serve_as(&environment).await;
    wait_until_taken(&api, &keys[0].token("1")).await;
    assert_eq!(exchange(&api, &keys[2].token("1")).await.0, 200);
    assert_eq!(exchange(&api, &keys[1].token("1")).await.0, 401);
    let log = api
        .process
        .wait_for_line("a key of the issuer is not used")
        .await;
    assert!(
        log.contains("EXTERNAL_ALGORITHMS does not have ES256"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_changed_without_a_restart_and_known_ones_survive_the_issuer() {
    let (first, second) = (SigningKey::ed("first"), SigningKey::ec("second"));
    let issuer = TestIssuer::start(&[&first]).await;
    issuer.set_down(true);
    let system = OneProcess::start().await;
    let api = system.serve_as(&issuer.environment()).await;
    let (status, body) = exchange(&api, &first.token("1")).await;
    assert_eq!(
        (status, &body["code"]),
        (503, &json!("unavailable")),
        "no key was read yet"
    );
    issuer.set_down(false);
    wait_until_taken(&api, &first.token("1")).await;
    issuer.publish(&[&first, &second]);
    let begun = Instant::now();
    wait_until_taken(&api, &second.token("1")).await;
    assert!(begun.elapsed() < ROTATION, "{:?}", begun.elapsed());
    assert_eq!(exchange(&api, &first.token("1")).await.0, 200);
    // A key that is withdrawn is refused as soon as the keys are read again.
    let third = SigningKey::ed("third");
    issuer.publish(&[&second, &third]);
    wait_until_taken(&api, &third.token("1")).await;
    assert_eq!(exchange(&api, &first.token("1")).await.0, 401);
    issuer.set_down(true);
    assert_eq!(exchange(&api, &first.token("1")).await.0, 401);
    for key in [&second, &third] {
        assert_eq!(
            exchange(&api, &key.token("1")).await.0,
            200,
            "known keys go on"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_unknown_key_ids_cost_one_request_to_the_issuer_in_ten_seconds() {
    let key = SigningKey::ed("known");
    let issuer = TestIssuer::start(&[&key]).await;
    let system = OneProcess::start().await;
    let api = system.serve_as(&issuer.environment()).await;
    wait_until_taken(&api, &key.token("1")).await;
    let begun = Instant::now();
    let before = issuer.fetches();
    let refused = stream::iter(0..10_000)
        .map(|number| {
            let header = json!({"alg": "EdDSA", "kid": format!("unknown {number}")});
            let token = key.sign(&header, &claims("1"));
            let api = &api;
            async move { exchange(api, &token).await.0 }
        })
        .buffer_unordered(128)
        .filter(|status| std::future::ready(*status == 401))
        .count()
        .await;
    assert_eq!(refused, 10_000);
    assert_eq!(
        exchange(&api, &key.token("1")).await.0,
        200,
        "the known key goes on"
    );
    let most = 1 + usize::try_from(begun.elapsed().as_secs() / 10).unwrap();
    let fetches = issuer.fetches() - before;
    assert!(
        fetches <= most,
        "{fetches} requests in {:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_issuer_the_paths_are_unknown() {
    let system = OneProcess::start().await;
    let api = system.serve().await;
    let program = service_token(&system, &api, "shoppers:write,attempts:write").await;
    for path in [
        "/api/auth/exchange",
        "/api/service/shoppers",
        "/api/service/attempts",
    ] {
        for shopper in [None, Some(&program)] {
            let (status, body) = api.post(path, shopper, Some(json!({}))).await;
            assert_eq!(
                (status, &body["code"]),
                (404, &json!("not_found")),
                "{path}"
            );
            let (status, _) = api.get(path, shopper).await;
            assert_eq!(status, 404, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_local_accounts_off_shoppers_are_sent_to_the_shop_and_operators_log_in() {
    let system = OneProcess::start().await;
    let api = system.serve().await;
    api.register("ada").await;
    drop(api);
    let add = [
        "user",
        "add",
        "olga",
        "--email",
        "olga@shop.example",
        "--role",
        "operator",
        "--json",
        "--by",
        "a test",
    ];
    let added = system.run(&add);
    let (succeeded, output) = added.outcome().await;
    assert!(succeeded, "{output}");
    let made: Value = serde_json::from_str(&added.answer()).unwrap();
    let password = made["password"].as_str().unwrap();
    let settings = [
        ("LOCAL_ACCOUNTS", "false"),
        ("EXTERNAL_ISSUER", issuer::NAME),
    ];
    let api = system.serve_as(&settings).await;
    let login = async |name: &str, password: &str| {
        let form = json!({"username": name, "password": password});
        api.post("/api/auth/login", None, Some(form)).await
    };
    // The same answer, whether the password is right or not, and whether there is such an account.
    for (name, password) in [
        ("ada", "password123"),
        ("ada", "wrong"),
        ("nobody", "wrong"),
        ("olga", "wrong"),
    ] {
        let (status, body) = login(name, password).await;
        assert_eq!(
            (status, &body["code"]),
            (403, &json!("local_accounts_off")),
            "{name}"
        );
    }
    assert_eq!(login("olga", password).await.0, 200);
    // What was wrong is counted, and told to nobody.
    let metrics = reqwest::get(format!("{}/metrics", api.url)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for (outcome, count) in [
        ("wrong_credentials", 3),
        ("local_accounts_off", 1),
        ("ok", 1),
    ] {
        let line = format!("flashsale_logins_total{{outcome=\"{outcome}\"}} {count}");
        assert!(metrics.contains(&line), "{line}");
    }
    let form = json!({"username": "eve", "email": "eve@example.com", "password": "password123"});
    let (status, body) = api.post("/api/auth/register", None, Some(form)).await;
    assert_eq!((status, &body["code"]), (403, &json!("local_accounts_off")));
}
