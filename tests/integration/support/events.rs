//! A client of server-sent events.

use std::time::Duration;

use serde_json::Value;

use super::api::{Api, Shopper};

/// How long an event may take: less than the time between two heartbeats.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open stream.
pub struct Events {
    response: reqwest::Response,
    unread: String,
}

/// One event.
#[derive(Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: Option<u64>,
    pub data: Value,
}

impl Events {
    pub async fn of_sale(api: &Api, sale: i64) -> Self {
        let path = format!("/api/flash-sales/{sale}/events");
        Self::open(api, &path, None).await.expect("a stream")
    }

    pub async fn of_orders(api: &Api, shopper: &Shopper) -> Self {
        let stream = Self::open(api, "/api/orders/events", Some(shopper)).await;
        stream.expect("a stream")
    }

    /// Opens a stream on a connection of its own; the response if it is none.
    pub async fn open(
        api: &Api,
        path: &str,
        shopper: Option<&Shopper>,
    ) -> Result<Self, reqwest::Response> {
        let http = reqwest::Client::builder().pool_max_idle_per_host(0);
        let request = http.build().unwrap().get(format!("{}{path}", api.url));
        let request = match shopper {
            Some(shopper) => request.bearer_auth(&shopper.token),
            None => request,
        };
        let response = request.send().await.unwrap();
        if response.status() == 200 {
            let unread = String::new();
            Ok(Self { response, unread })
        } else {
            Err(response)
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.response.headers()[name].to_str().unwrap()
    }

    /// The next block of lines; `None` at the end of the stream.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                return Some(block);
            }
            // An error: the connection was closed in the middle.
            let chunk = self.response.chunk().await.ok()??;
            self.unread.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event.
    pub async fn next(&mut self) -> Event {
        let event = tokio::time::timeout(PATIENCE, self.next_or_end()).await;
        event
            .expect("an event in time")
            .expect("the stream goes on")
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next_or_end(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                let mut lines = block.lines();
                lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            };
            if let Some(data) = field("data") {
                return Some(Event {
                    name: field("event").unwrap().to_owned(),
                    id: field("id").map(|id| id.parse().unwrap()),
                    data: serde_json::from_str(data).unwrap(),
                });
            }
        }
    }

    /// The events until this one, which is the last of them.
    pub async fn until(&mut self, is_it: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            events.push(self.next().await);
            if is_it(events.last().unwrap()) {
                return events;
            }
        }
    }
}

impl Event {
    /// What an event `result` says of a sale.
    pub fn result_of(&self, sale: i64) -> Option<&str> {
        let is_it = self.name == "result" && self.data["saleId"] == sale;
        self.data["status"].as_str().filter(|_| is_it)
    }

    pub fn is_ready(&self) -> bool {
        self.name == "ready"
    }
}
