//! An API of a test system, and shoppers who call it.

use std::time::Duration;

use chrono::Utc;
use flashsale::{
    auth::Tokens,
    config::{AuthConfig, Secret},
    ids::UserId,
    port::Role,
};
use serde_json::{Value, json};

use super::{process::Process, system::System};

/// The secret of the tokens of every test system.
pub const JWT_SECRET: &str = "a secret of the tests with more than 32 bytes";

/// A running API.
pub struct Api {
    pub url: String,
    pub process: Process,
    pub http: reqwest::Client,
}

/// Someone with a token.
#[derive(Debug, Clone)]
pub struct Shopper {
    pub id: i64,
    pub token: String,
}

impl Api {
    /// Of a process that was just started, once it serves.
    pub async fn of(process: Process) -> Self {
        let line = process.wait_for_line("serving http://").await;
        let address = line.split("serving ").nth(1).unwrap();
        let url = address.split([',', ' ']).next().unwrap().to_owned();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        Self { url, process, http }
    }

    pub async fn get(&self, path: &str, shopper: Option<&Shopper>) -> (u16, Value) {
        let request = self.http.get(format!("{}{path}", self.url));
        send(request, shopper).await.expect("the API answers")
    }

    pub async fn post(
        &self,
        path: &str,
        shopper: Option<&Shopper>,
        body: Option<Value>,
    ) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.url));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        send(request, shopper).await.expect("the API answers")
    }

    pub async fn attempt(&self, sale: i64, shopper: &Shopper) -> (u16, Value) {
        let answer = self.try_attempt(sale, shopper).await;
        answer.expect("the API answers")
    }

    /// An attempt at an API that may die over it.
    pub async fn try_attempt(
        &self,
        sale: i64,
        shopper: &Shopper,
    ) -> Result<(u16, Value), reqwest::Error> {
        let url = format!("{}/api/flash-sale/attempt/{sale}", self.url);
        send(self.http.post(url), Some(shopper)).await
    }

    /// `SUCCESS`, `FAILED`, or `None` while there is no result.
    pub async fn result(&self, product: i64, shopper: &Shopper) -> Option<String> {
        match self
            .get(&format!("/api/orders/status/{product}"), Some(shopper))
            .await
        {
            (200, body) => Some(body["data"]["status"].as_str().unwrap().to_owned()),
            (400, body) if body["code"] == "result_not_found" => None,
            other => panic!("{other:?}"),
        }
    }

    /// Registers over HTTP and logs in.
    pub async fn register(&self, name: &str) -> Shopper {
        let account = json!({"username": name, "email": format!("{name}@example.com"), "password": "password123"});
        let (status, body) = self.post("/api/auth/register", None, Some(account)).await;
        assert_eq!(status, 201, "{body}");
        self.login(name, "password123").await
    }

    pub async fn login(&self, name: &str, password: &str) -> Shopper {
        let login = json!({"username": name, "password": password});
        let (status, body) = self.post("/api/auth/login", None, Some(login)).await;
        assert_eq!(status, 200, "{body}");
        let id = body["data"]["userId"].as_str().unwrap().parse().unwrap();
        Shopper {
            id,
            token: body["data"]["token"].as_str().unwrap().to_owned(),
        }
    }

    /// Waits until the sale is open and this API knows it.
    pub async fn wait_until_open(&self, system: &impl System, sale: i64) {
        system.wait_until_open(sale).await;
        // The API reads the catalog every second. Of several open sales it shows the one that ends first.
        super::wait_until("the API shows the sale", Duration::from_secs(5), || async {
            let (_, body) = self
                .get("/api/flash-sale/status", Some(&Shopper::nobody()))
                .await;
            body["data"]["id"] == sale
        })
        .await;
    }

    /// Waits until this API knows a sale that is not open: an attempt is refused, and not with 404.
    pub async fn wait_until_known(&self, system: &impl System, sale: i64) {
        let somebody = system.shoppers(1).await.remove(0);
        super::wait_until("the API knows the sale", Duration::from_secs(5), || async {
            self.attempt(sale, &somebody).await.0 != 404
        })
        .await;
    }
}

async fn send(
    request: reqwest::RequestBuilder,
    shopper: Option<&Shopper>,
) -> Result<(u16, Value), reqwest::Error> {
    let request = match shopper {
        Some(shopper) => request.bearer_auth(&shopper.token),
        None => request,
    };
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    if status == 204 {
        return Ok((status, Value::Null));
    }
    let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: not JSON: {text}"));
    Ok((status, body))
}

impl Shopper {
    /// Whoever has this account.
    pub fn with_account(id: i64) -> Self {
        Self {
            id,
            token: token_of(id, Role::User),
        }
    }

    /// The same with a token of this role.
    pub fn with_role(self, role: Role) -> Self {
        Self {
            id: self.id,
            token: token_of(self.id, role),
        }
    }

    /// Someone with a token and without an account.
    pub fn nobody() -> Self {
        Self::with_account(i64::MAX)
    }
}

/// What signs the tokens of every test system.
pub fn tokens() -> Tokens {
    Tokens::new(&AuthConfig {
        jwt_secret: Secret::new(JWT_SECRET),
        jwt_secret_previous: None,
        token_ttl: Duration::from_hours(1),
        password_memory_kib: 64,
        password_passes: 1,
        password_threads: 1,
        password_queue: 1,
        password_blocklist: false,
    })
}

/// A token as the API makes them.
fn token_of(user: i64, role: Role) -> String {
    let user = UserId::new(user).unwrap();
    tokens()
        .issue(user, &format!("user{user}"), role, Utc::now())
        .unwrap()
}
