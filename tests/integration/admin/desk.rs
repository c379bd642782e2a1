//! An operator at an API of a test system.

use flashsale::port::Role;
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    api::{Api, Shopper},
    system::System,
};

/// Someone with a role, and the API that they use.
pub struct Desk<'a> {
    pub api: &'a Api,
    pub token: String,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn data(&self) -> &Value {
        &self.body["data"]
    }

    pub fn id(&self) -> i64 {
        self.data()["id"].as_i64().unwrap()
    }

    pub fn etag(&self) -> String {
        self.headers["etag"].to_str().unwrap().to_owned()
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn is_replayed(&self) -> bool {
        self.headers.contains_key("idempotency-replayed")
    }

    /// The same, if the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }
}

impl<'a> Desk<'a> {
    pub async fn of(api: &'a Api, system: &impl System, role: Role) -> Self {
        let somebody = system.shoppers(1).await.remove(0);
        Self {
            api,
            token: somebody.with_role(role).token,
        }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/api/admin{path}", self.api.url);
        self.api.http.request(method, url).bearer_auth(&self.token)
    }

    pub async fn send(request: RequestBuilder) -> Answer {
        let response = request.send().await.expect("the API answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer {
            status,
            headers,
            body,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        Self::send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        Self::send(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn post_once(&self, path: &str, key: &str, body: Value) -> Answer {
        let request = self.request(Method::POST, path).json(&body);
        Self::send(request.header("Idempotency-Key", format!("\"{key}\""))).await
    }

    pub async fn patch(&self, path: &str, seen: &str, body: Value) -> Answer {
        let request = self.request(Method::PATCH, path).json(&body);
        Self::send(request.header("If-Match", seen)).await
    }

    /// A product. Its id.
    pub async fn product(&self) -> i64 {
        let sku = Uuid::new_v4().simple().to_string();
        let product = json!({
            "sku": sku, "name": "Trail shoe", "description": "280 g", "imageUrl": "https://shop.example/shoe.jpg",
            "priceCents": 9900, "currency": "EUR", "priorPriceCents": 14900,
        });
        self.post("/products", product).await.expect(201).id()
    }

    /// A draft of a product of its own, that starts and ends so many seconds from now. Its id.
    pub async fn draft(&self, units: u32, starts: i64, ends: i64) -> i64 {
        let product = self.product().await;
        let at = |secs: i64| (chrono::Utc::now() + chrono::TimeDelta::seconds(secs)).to_rfc3339();
        let sale = json!({
            "productId": product, "startTime": at(starts), "endTime": at(ends), "units": units, "note": "Of a test",
        });
        self.post("/sales", sale).await.expect(201).id()
    }

    /// A sale that is open now, in the gate, too. Its id.
    pub async fn open_sale(&self, units: u32) -> i64 {
        let sale = self.draft(units, -60, 3600).await;
        let published = self
            .post(&format!("/sales/{sale}/publish"), json!({}))
            .await;
        assert!([200, 202].contains(&published.status), "{published:?}");
        crate::support::wait_until(
            "the gate has the sale",
            std::time::Duration::from_secs(10),
            || async { self.balance(sale).await["source"] == "gate" },
        )
        .await;
        sale
    }

    pub async fn balance(&self, sale: i64) -> Value {
        let answer = self.get(&format!("/sales/{sale}/balance")).await;
        answer.expect(200).data().clone()
    }

    pub async fn stock(&self, sale: i64, key: &str, body: Value) -> Answer {
        self.post_once(&format!("/sales/{sale}/stock"), key, body)
            .await
    }
}

/// Lets shoppers press, so many at a time, and counts the answers 200.
pub async fn accepted(api: &Api, sale: i64, shoppers: &[Shopper]) -> usize {
    use futures::StreamExt;
    let presses = shoppers.iter().map(|shopper| api.attempt(sale, shopper));
    let answers: Vec<_> = futures::stream::iter(presses)
        .buffer_unordered(20)
        .collect()
        .await;
    answers.iter().filter(|(status, _)| *status == 200).count()
}
