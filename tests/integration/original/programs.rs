//! The original's programs, written anew from what its README says of them: a stress client, and a login script.

use std::time::Duration;

use futures::{StreamExt, future::join_all, stream};
use reqwest::Client;
use serde_json::{Value, json};

/// `STRESS_TEST_USERS` and `STRESS_TEST_CONCURRENT`.
pub const USERS: usize = 100;
const CONCURRENT: usize = 50;

/// What its stress test counts.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    pub registered: usize,
    pub logged_in: usize,
    /// Answers with `success: true`.
    pub succeeded: usize,
    pub failed: usize,
}

fn client() -> Client {
    let client = Client::builder().timeout(Duration::from_mins(1));
    client.build().unwrap()
}

async fn post(client: &Client, url: String, token: Option<&str>, body: Option<Value>) -> Value {
    let mut request = client.post(url);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    request.send().await.unwrap().json().await.unwrap()
}

/// Registers all users at once, logs each in, shows itself the sale, and presses once for each, `CONCURRENT` in parallel.
pub async fn stress(base: &str) -> Report {
    let client = client();
    let names: Vec<String> = (1..=USERS).map(|n| format!("stress_user_{n}")).collect();
    let registered = join_all(names.iter().map(|name| {
        let form = json!({
            "username": name, "email": format!("{name}@stresstest.com"), "password": "password123", "fullName": "Stress Test",
        });
        post(&client, format!("{base}/api/auth/register"), None, Some(form))
    }))
    .await;
    let tokens: Vec<String> = join_all(names.iter().map(|name| {
        let form = json!({"username": name, "password": "password123"});
        post(&client, format!("{base}/api/auth/login"), None, Some(form))
    }))
    .await
    .iter()
    .filter_map(|answer| Some(answer["data"]["token"].as_str()?.to_owned()))
    .collect();
    let status = client
        .get(format!("{base}/api/flash-sale/status"))
        .header("Authorization", format!("Bearer {}", tokens[0]));
    let status: Value = status.send().await.unwrap().json().await.unwrap();
    assert_eq!(status["data"]["status"], "active", "{status}");
    let url = format!("{base}/api/flash-sale/attempt/{}", status["data"]["id"]);
    let presses = tokens
        .iter()
        .map(|token| post(&client, url.clone(), Some(token), None));
    let answers: Vec<Value> = stream::iter(presses)
        .buffer_unordered(CONCURRENT)
        .collect()
        .await;
    let is_success = |answer: &&Value| answer["success"] == true;
    let succeeded = answers.iter().filter(is_success).count();
    Report {
        registered: registered.iter().filter(is_success).count(),
        logged_in: tokens.len(),
        succeeded,
        failed: answers.len() - succeeded,
    }
}

/// Prints a token of admin/admin123, as people paste it into their shell.
pub async fn log_in_as_admin(base: &str) {
    let form = json!({"username": "admin", "password": "admin123"});
    let answer = post(
        &client(),
        format!("{base}/api/auth/login"),
        None,
        Some(form),
    )
    .await;
    assert_eq!(answer["success"], true, "{answer}");
    assert_eq!(
        answer["data"]["token"].as_str().unwrap().split('.').count(),
        3
    );
    assert!(answer["data"]["userId"].is_string());
}
