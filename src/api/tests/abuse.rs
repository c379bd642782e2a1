//! Who comes too often, and who pretends to be somebody else.

use serde_json::{Value, json};

use super::{Server, assert_safe, no_limits, server_config};
use crate::config::LimitsConfig;

const LOGIN: &str = "/api/auth/login";
const REGISTER: &str = "/api/auth/register";

fn limits() -> LimitsConfig {
    LimitsConfig {
        // One failed login is twenty.
        logins_per_address: 60,
        failed_logins_per_account: 2,
        registrations_per_address: 2,
        ..no_limits()
    }
}

async fn behind_a_balancer() -> Server {
    let config = crate::config::ServerConfig {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..server_config()
    };
    Server::with(config, &limits()).await
}

fn login(server: &Server, username: &str) -> reqwest::RequestBuilder {
    let form = json!({"username": username, "password": "a wrong one"});
    server.post(LOGIN).json(&form)
}

async fn status(request: reqwest::RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn who_comes_too_often_is_told_when_to_come_back() {
    let server = Server::with(server_config(), &limits()).await;
    for username in ["nobody", "another"] {
        assert_eq!(status(login(&server, username)).await, 401);
    }
    assert_eq!(status(login(&server, "nobody")).await, 401);
    for problem in [false, true] {
        // Two in 15 minutes for the account, which is asked about first only by the address: 60 in a minute.
        let request = login(&server, "somebody else");
        let request = if problem {
            request.header("accept", "application/problem+json")
        } else {
            request
        };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 429);
        assert_safe(answer.headers());
        let wait: u64 = answer.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(
            (15..=20).contains(&wait),
            "twenty logins come back in 20 s, not {wait}"
        );
        let body: Value = answer.json().await.unwrap();
        assert_eq!(
            (&body["success"], &body["error"], &body["code"]),
            (
                &json!(false),
                &json!("Too Many Requests"),
                &json!("too_many_requests")
            )
        );
        assert_eq!(body["status"] == 429, problem);
    }
}

#[tokio::test]
async fn registrations_of_an_address_are_limited() {
    let server = Server::with(server_config(), &limits()).await;
    for (n, expected) in [(1, 201), (2, 201), (3, 429)] {
        let form = json!({"username": format!("user{n}"), "email": format!("{n}@example.com"), "password": "secret"});
        assert_eq!(status(server.post(REGISTER).json(&form)).await, expected);
    }
    // What is no registration at all does not count, and is told so even now.
    assert_eq!(status(server.post(REGISTER).json(&json!({}))).await, 400);
}

#[tokio::test]
async fn a_forged_address_does_not_help() {
    let server = Server::with(server_config(), &limits()).await;
    let mut answers = Vec::new();
    for n in 0..6 {
        let forged = format!("203.0.113.{n}");
        let request = login(&server, &format!("user{n}"))
            .header("x-forwarded-for", &forged)
            .header("x-real-ip", &forged)
            .header("forwarded", format!("for={forged}"));
        answers.push(status(request).await);
    }
    assert_eq!(answers, [401, 401, 401, 429, 429, 429]);
}

#[tokio::test]
async fn behind_a_balancer_every_client_has_limits_of_its_own() {
    let server = behind_a_balancer().await;
    for client in 0..4 {
        let mut answers = Vec::new();
        for n in 0..5 {
            // The client wrote the first, the balancer added the second.
            let forwarded = format!("198.51.100.{n}, 203.0.113.{client}");
            let request = login(&server, &format!("user{client}{n}"));
            answers.push(status(request.header("x-forwarded-for", forwarded)).await);
        }
        assert_eq!(answers, [401, 401, 401, 429, 429], "client {client}");
    }
}

#[tokio::test]
async fn addresses_of_one_ipv6_network_are_one_client() {
    let server = behind_a_balancer().await;
    let mut answers = Vec::new();
    for n in 0..5 {
        let request = login(&server, &format!("user{n}"));
        let forwarded = format!("2001:db8:1:2:{n}::{n}");
        answers.push(status(request.header("x-forwarded-for", forwarded)).await);
    }
    assert_eq!(answers, [401, 401, 401, 429, 429]);
    let request = login(&server, "user").header("x-forwarded-for", "2001:db8:1:3::1");
    assert_eq!(status(request).await, 401);
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    let server = Server::with_origins(&["https://shop.example"]).await;
    for path in [
        "/health",
        "/metrics",
        "/nothing",
        "/api-docs/",
        "/api-docs/openapi.json",
        LOGIN,
    ] {
        let answer = server.get(path).send().await.unwrap();
        assert_safe(answer.headers());
    }
    for origin in ["https://shop.example", "https://evil.example"] {
        let preflight = server
            .http
            .request(reqwest::Method::OPTIONS, format!("{}{LOGIN}", server.url))
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        assert_safe(preflight.send().await.unwrap().headers());
    }
    let page = server.get("/api-docs/").send().await.unwrap();
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.contains("default-src 'self'"),
        "Swagger UI runs its own scripts: {policy}"
    );
}
