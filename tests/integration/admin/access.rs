//! Who may use the API of operators. The paths are those of the OpenAPI document, so that a new one is looked at, too.

use flashsale::port::Role;
use reqwest::Method;
use serde_json::Value;

use super::desk::Desk;
use crate::support::{
    api::Shopper,
    system::{OneProcess, System},
};

/// Every operation under /api/admin, with something in the place of ids.
fn operations() -> Vec<(Method, String)> {
    let document = serde_json::to_value(flashsale::api::document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut operations = Vec::new();
    for (path, item) in paths {
        let Some(path) = path.strip_prefix("/api/admin") else {
            continue;
        };
        let path = path
            .replace("{attemptId}", "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11")
            .replace("{letterId}", "0:0");
        let path = path
            .split('/')
            .map(|part| if part.starts_with('{') { "1" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        for method in item.as_object().unwrap().keys() {
            let method = method.to_uppercase().parse().unwrap();
            operations.push((method, path.clone()));
        }
    }
    assert!(operations.len() >= 26, "{operations:?}");
    operations
}

/// Whether an operation is about accounts, which is for administrators alone.
fn is_about_accounts(method: &Method, path: &str) -> bool {
    path.starts_with("/service-accounts") || (*method == Method::DELETE && path == "/users/1")
}

on_systems! {
    only_operators_are_let_in,
}

async fn only_operators_are_let_in<S: System>(system: S) {
    let api = system.serve().await;
    let shopper = system.shoppers(1).await.remove(0);
    let roles = [Role::User, Role::Service, Role::Support, Role::Auditor];
    for (method, path) in operations() {
        let url = format!("{}/api/admin{path}", api.url);
        let ask = |token: Option<String>| {
            let request = api.http.request(method.clone(), &url);
            Desk::send(match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            })
        };
        let name = format!("{method} {path}");
        let nobody = ask(None).await.expect(401);
        assert_eq!(nobody.code(), "token_missing", "{name}");
        let wrong = ask(Some("nonsense".to_owned())).await.expect(401);
        assert_eq!(wrong.code(), "token_invalid", "{name}");
        let without_account = Shopper::nobody().with_role(Role::Admin).token;
        assert_eq!(ask(Some(without_account)).await.status, 401, "{name}");
        for role in roles {
            let answer = ask(Some(shopper.clone().with_role(role).token)).await;
            let may_read = matches!(role, Role::Support | Role::Auditor)
                && method == Method::GET
                && !is_about_accounts(&method, &path);
            if may_read {
                assert_ne!(answer.status, 403, "{name} {role:?}: {}", answer.body);
            } else {
                assert_eq!(
                    (answer.status, answer.code()),
                    (403, "forbidden"),
                    "{name} {role:?}"
                );
            }
        }
    }
    // Behind lines of requests without a good token.
    let log = api.process.wait_for_line("forbidden").await;
    assert!(
        log.contains("admin_access") && log.contains(&format!("user:{}", shopper.id)),
        "{log}"
    );
}

#[tokio::test]
async fn an_operator_may_do_everything_but_change_accounts_and_wrong_methods_name_the_right_ones() {
    let system = OneProcess::start().await;
    let api = system.serve().await;
    for role in [Role::Admin, Role::Operator] {
        let desk = Desk::of(&api, &system, role).await;
        for (method, path) in operations() {
            if role == Role::Admin && method == Method::DELETE {
                // The first account is the one that asks.
                continue;
            }
            let answer = Desk::send(desk.request(method.clone(), &path)).await;
            if role == Role::Operator && is_about_accounts(&method, &path) {
                assert_eq!(answer.status, 403, "{method} {path}");
                continue;
            }
            assert!(
                ![401, 403, 404, 405].contains(&answer.status) || answer.code() == "not_found",
                "{method} {path}: {answer:?}"
            );
        }
        let wrong = Desk::send(desk.request(Method::DELETE, "/sales/1")).await;
        assert_eq!(wrong.status, 405);
        assert_eq!(wrong.headers["allow"], "GET, HEAD, PATCH");
        let wrong = Desk::send(desk.request(Method::PUT, "/sales")).await;
        assert_eq!(wrong.headers["allow"], "GET, HEAD, POST");
        desk.get("/nothing").await.expect(404);
    }
}

/// The port for the inside is reached while shoppers hold every connection of the API's.
#[tokio::test]
async fn operators_have_connections_of_their_own() {
    let system = OneProcess::start().await;
    let port = crate::support::process::free_port().to_string();
    let settings = [
        ("MAX_CONNECTIONS", "4"),
        ("METRICS_PORT", port.as_str()),
        ("METRICS_HOST", "127.0.0.1"),
    ];
    let api = system.serve_as(&settings).await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let address = api.url.trim_start_matches("http://");
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let inside = format!("http://127.0.0.1:{port}/api/admin/sales");
    let answer = reqwest::Client::new().get(&inside).bearer_auth(&desk.token);
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["success"], true);
    let nobody = reqwest::get(&inside).await.unwrap();
    assert_eq!(nobody.status(), 401);
}
