//! Programs of the shop: their accounts, their tokens, and what these let do.

use std::time::Duration;

use flashsale::port::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    api::{Api, Shopper},
    issuer,
    process::Process,
    system::{OneProcess, Servers, System},
    wait_until,
};

/// A system on which commands can be run.
pub trait WithPrograms: System {
    fn command(&self, arguments: &[&str]) -> Process;
}

impl WithPrograms for Servers {
    fn command(&self, arguments: &[&str]) -> Process {
        self.run(arguments)
    }
}

impl WithPrograms for OneProcess {
    fn command(&self, arguments: &[&str]) -> Process {
        self.run(arguments)
    }
}

/// What a command prints with `--json`.
pub async fn command(system: &impl WithPrograms, arguments: &[&str]) -> Value {
    let process = system.command(&[arguments, &["--json", "--by", "a test"]].concat());
    let (succeeded, output) = process.outcome().await;
    assert!(succeeded, "{arguments:?}: {output}");
    serde_json::from_str(&process.answer()).unwrap()
}

/// A new program with these scopes, and its secret.
async fn program(system: &impl WithPrograms, name: &str, scopes: &str) -> String {
    let add = ["user", "add", name, "--role", "service", "--scopes", scopes];
    let made = command(system, &add).await;
    assert_eq!(
        (&made["clientId"], &made["role"]),
        (&json!(name), &json!("service"))
    );
    made["clientSecret"].as_str().unwrap().to_owned()
}

/// A token of a new program with these scopes.
pub async fn service_token(system: &impl WithPrograms, api: &Api, scopes: &str) -> Shopper {
    let secret = program(system, "shop-backend", scopes).await;
    let (status, body) = ask(
        api,
        &[("client_id", "shop-backend"), ("client_secret", &secret)],
    )
    .await;
    assert_eq!(status, 200, "{body}");
    of_answer(&body)
}

fn of_answer(body: &Value) -> Shopper {
    Shopper {
        id: 0,
        token: body["access_token"].as_str().unwrap().to_owned(),
    }
}

/// Asks for a token with these fields and the grant type.
async fn ask(api: &Api, fields: &[(&str, &str)]) -> (u16, Value) {
    let fields = [&[("grant_type", "client_credentials")], fields].concat();
    send(api, form(api, &fields)).await
}

fn form(api: &Api, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let body = serde_urlencoded::to_string(fields).unwrap();
    let request = api.http.post(format!("{}/api/service/token", api.url));
    let kind = "application/x-www-form-urlencoded";
    request.header("content-type", kind).body(body)
}

async fn send(_: &Api, request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

on_systems! {
    programs_get_tokens_for_their_secret,
    changes_of_a_program_end_its_tokens,
}

async fn programs_get_tokens_for_their_secret<S: WithPrograms>(system: S) {
    let api = system.serve_as(&[("EXTERNAL_ISSUER", issuer::NAME)]).await;
    let secret = program(&system, "shop-backend", "shoppers:write,events:read").await;
    assert_eq!(secret.len(), 64);
    let (id, good) = (
        ("client_id", "shop-backend"),
        ("client_secret", secret.as_str()),
    );
    let response = form(&api, &[("grant_type", "client_credentials"), id, good])
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (&body["token_type"], &body["expires_in"]),
        (&json!("Bearer"), &json!(3600))
    );
    assert_eq!(body["scope"], "events:read shoppers:write");
    let basic = form(
        &api,
        &[
            ("grant_type", "client_credentials"),
            ("scope", "shoppers:write"),
        ],
    );
    let (status, body) = send(&api, basic.basic_auth("shop-backend", Some(&secret))).await;
    assert_eq!(
        (status, &body["scope"]),
        (200, &json!("shoppers:write")),
        "{body}"
    );

    let upper = secret.to_uppercase();
    for (fields, status, error) in [
        (vec![id, ("client_secret", "wrong")], 401, "invalid_client"),
        (
            vec![id, ("client_secret", upper.as_str())],
            401,
            "invalid_client",
        ),
        (vec![("client_id", "nobody"), good], 401, "invalid_client"),
        (
            vec![id, good, ("scope", "orders:settle")],
            400,
            "invalid_scope",
        ),
        (
            vec![id, good, ("scope", "everything")],
            400,
            "invalid_scope",
        ),
        (vec![id], 400, "invalid_request"),
    ] {
        let (answered, body) = ask(&api, &fields).await;
        assert_eq!(
            (answered, body["error"].as_str()),
            (status, Some(error)),
            "{fields:?}"
        );
        assert_eq!(body["code"].as_str(), Some(error));
    }
    for (fields, error) in [
        (vec![id, good], "invalid_request"),
        (
            vec![("grant_type", "password"), id, good],
            "unsupported_grant_type",
        ),
    ] {
        let (status, body) = send(&api, form(&api, &fields)).await;
        assert_eq!((status, body["error"].as_str()), (400, Some(error)));
    }
    let both = form(&api, &[("grant_type", "client_credentials"), id, good]);
    let (status, body) = send(&api, both.basic_auth("shop-backend", Some(&secret))).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
    let wrong = form(&api, &[("grant_type", "client_credentials")])
        .basic_auth("shop-backend", Some("wrong"));
    let response = wrong.send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.headers()["www-authenticate"],
        "Basic realm=\"flashsale\""
    );
    // No password logs in to such an account, and its secret is none.
    let login = json!({"username": "shop-backend", "password": secret});
    assert_eq!(api.post("/api/auth/login", None, Some(login)).await.0, 401);
}

async fn changes_of_a_program_end_its_tokens<S: WithPrograms>(system: S) {
    let api = system.serve_as(&[("EXTERNAL_ISSUER", issuer::NAME)]).await;
    let secret = program(&system, "shop-backend", "shoppers:write,events:read").await;
    let (id, good) = (
        ("client_id", "shop-backend"),
        ("client_secret", secret.as_str()),
    );
    let (_, body) = ask(&api, &[id, good]).await;
    let token = of_answer(&body);
    let make = json!({"subjects": ["1"]});
    let used = async |token: &Shopper| {
        api.post("/api/service/shoppers", Some(token), Some(make.clone()))
            .await
            .0
    };
    assert_eq!(used(&token).await, 200);
    // Other scopes: the token ends, and a new one has them.
    command(&system, &["user", "scopes", "shop-backend", "events:read"]).await;
    wait_until("the token is refused", Duration::from_secs(5), || async {
        used(&token).await == 401
    })
    .await;
    let (_, body) = ask(&api, &[id, good]).await;
    assert_eq!(body["scope"], "events:read");
    assert_eq!(used(&of_answer(&body)).await, 403);
    command(
        &system,
        &[
            "user",
            "scopes",
            "shop-backend",
            "events:read,shoppers:write",
        ],
    )
    .await;
    // Another secret: the old one and its tokens end.
    let renewed = command(&system, &["user", "secret", "shop-backend"]).await;
    let renewed = renewed["clientSecret"].as_str().unwrap().to_owned();
    assert_eq!(ask(&api, &[id, good]).await.0, 401);
    let good = ("client_secret", renewed.as_str());
    let (status, body) = ask(&api, &[id, good]).await;
    assert_eq!(status, 200, "{body}");
    let token = of_answer(&body);
    wait_until("the token is taken", Duration::from_secs(5), || async {
        used(&token).await == 200
    })
    .await;
    // Disabled: no token is good, and none is given.
    command(&system, &["user", "disable", "shop-backend"]).await;
    wait_until("the token is refused", Duration::from_secs(5), || async {
        used(&token).await == 401
    })
    .await;
    assert_eq!(ask(&api, &[id, good]).await.0, 401);
    let secrets = [secret, renewed];
    let output = api.process.output();
    assert!(
        output.contains("service_token") && secrets.iter().all(|secret| !output.contains(secret))
    );
    for name in ["create_user", "set_scopes", "renew_secret"] {
        let noted = system
            .number(&format!(
                "SELECT count(*) FROM admin_actions WHERE action = '{name}'"
            ))
            .await;
        assert!(noted >= 1, "{name}");
    }
}

/// Every operation under /api/service that needs a token, as the OpenAPI document has them, so that a new one is looked at, too.
fn operations() -> Vec<(Method, String)> {
    let document = serde_json::to_value(flashsale::api::document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let service = paths
        .iter()
        .filter(|(path, _)| path.starts_with("/api/service/"));
    let guarded = service.filter(|(path, _)| *path != "/api/service/token");
    let operations = guarded.flat_map(|(path, item)| {
        let path = path.replace("{attemptId}", "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11");
        let methods = item.as_object().unwrap().keys();
        let methods: Vec<Method> = methods
            .map(|method| method.to_uppercase().parse().unwrap())
            .collect();
        methods
            .into_iter()
            .map(move |method| (method, path.clone()))
    });
    operations.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_of_programs_needs_a_token_with_its_scope() {
    let system = OneProcess::start().await;
    let api = system.serve_as(&[("EXTERNAL_ISSUER", issuer::NAME)]).await;
    // No path asks for this one alone so far that is asked here without it.
    let without = service_token(&system, &api, "orders:settle").await;
    let shopper = system.shoppers(1).await.remove(0);
    let operations = operations();
    assert!(operations.len() >= 2, "{operations:?}");
    for (method, path) in operations {
        let name = format!("{method} {path}");
        let ask = async |token: Option<&str>| {
            let request = api
                .http
                .request(method.clone(), format!("{}{path}", api.url));
            let request = match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            send(&api, request).await
        };
        let (status, body) = ask(None).await;
        assert_eq!(
            (status, &body["code"]),
            (401, &json!("token_missing")),
            "{name}"
        );
        let (status, body) = ask(Some("nonsense")).await;
        assert_eq!(
            (status, &body["code"]),
            (401, &json!("token_invalid")),
            "{name}"
        );
        for role in Role::ALL {
            let token = shopper.clone().with_role(role).token;
            let (status, body) = ask(Some(&token)).await;
            assert_eq!(
                (status, &body["code"]),
                (403, &json!("forbidden")),
                "{name} {role:?}"
            );
        }
        if !path.starts_with("/api/service/orders") {
            let (status, body) = ask(Some(&without.token)).await;
            assert_eq!(
                (status, &body["code"]),
                (403, &json!("forbidden")),
                "{name}"
            );
        }
    }
    // Behind lines of requests without a good token.
    let log = api.process.wait_for_line("forbidden").await;
    assert!(log.contains("service_access"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_makes_and_changes_programs_over_http() {
    let system = OneProcess::start().await;
    let api = system.serve().await;
    let admin = system.shoppers(1).await.remove(0).with_role(Role::Admin);
    let path = "/api/admin/service-accounts";
    let form =
        json!({"clientId": "feed-reader", "scopes": ["events:read"], "reason": "the order system"});
    let (status, body) = api.post(path, Some(&admin), Some(form.clone())).await;
    assert_eq!(status, 201, "{body}");
    let made = body["data"].clone();
    let secret = made["clientSecret"].as_str().unwrap();
    assert_eq!(made["scopes"], json!(["events:read"]));
    let credentials = [("client_id", "feed-reader"), ("client_secret", secret)];
    assert_eq!(ask(&api, &credentials).await.0, 200);
    let again = api.post(path, Some(&admin), Some(form)).await;
    assert_eq!((again.0, &again.1["code"]), (409, &json!("username_taken")));
    for wrong in [
        json!({"clientId": "other", "scopes": []}),
        json!({"clientId": "other", "scopes": ["everything"]}),
        json!({"clientId": "a b", "scopes": ["events:read"]}),
        json!({"scopes": ["events:read"]}),
    ] {
        let (status, body) = api.post(path, Some(&admin), Some(wrong)).await;
        assert_eq!(
            (status, &body["code"]),
            (400, &json!("validation_failed")),
            "{body}"
        );
    }
    let (_, listed) = api.get(path, Some(&admin)).await;
    let listed = &listed["data"]["items"];
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(
        (&listed[0]["clientId"], listed[0].get("clientSecret")),
        (&json!("feed-reader"), None)
    );
    let own = format!("{path}/{}", made["userId"].as_str().unwrap());
    let changed = api
        .http
        .patch(format!("{}{own}", api.url))
        .bearer_auth(&admin.token);
    let (status, body) = send(&api, changed.json(&json!({"scopes": ["orders:settle"]}))).await;
    assert_eq!(
        (status, &body["data"]["scopes"]),
        (200, &json!(["orders:settle"])),
        "{body}"
    );
    let (_, body) = ask(&api, &credentials).await;
    assert_eq!(body["scope"], "orders:settle");
    let (status, body) = api.post(&format!("{own}/secret"), Some(&admin), None).await;
    assert_eq!(status, 200, "{body}");
    assert_ne!(body["data"]["clientSecret"], made["clientSecret"]);
    assert_eq!(ask(&api, &credentials).await.0, 401);
    let shopper = system.shoppers(1).await.remove(0);
    for nobody in [shopper.id, 999_999] {
        let (status, _) = api
            .post(&format!("{path}/{nobody}/secret"), Some(&admin), None)
            .await;
        assert_eq!(status, 404);
    }
    let operator = system.shoppers(1).await.remove(0).with_role(Role::Operator);
    assert_eq!(api.get(path, Some(&operator)).await.0, 403);
}
