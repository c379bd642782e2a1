//! Systems that record events, and a program that may read them.

use std::time::Duration;

use chrono::Utc;
use flashsale::{ids::UserId, port::Scopes};
use uuid::Uuid;

use crate::support::{
    api::{Api, Shopper, tokens},
    process::Process,
    system::{OneProcess, Servers, System},
    wait_until,
};

/// What workers get in addition.
pub const ON: [(&str, &str); 2] = [
    ("EVENTS_ENABLED", "true"),
    ("EVENTS_WEBHOOKS_TO_PRIVATE_NETWORKS", "true"),
];

/// A system whose workers record events.
pub trait Recording: System {
    async fn recording() -> Self;

    /// An API, and a worker that records events.
    async fn start_recording(&self) -> (Api, Self::Worker);

    /// A worker that does not.
    async fn worker_without_events(&self) -> Self::Worker;

    /// A sale that is made after recording began, and is open.
    async fn recorded_sale(&self, api: &Api, stock: u32) -> i64 {
        wait_until("events are recorded", Duration::from_secs(10), || async {
            self.number("SELECT count(*) FROM event_recording").await == 1
        })
        .await;
        let (sale, _) = self.sale(stock).await;
        api.wait_until_open(self, sale).await;
        sale
    }
}

impl Recording for Servers {
    async fn recording() -> Self {
        let mut system = Self::start().await;
        let on = ON.map(|(name, value)| (name.to_owned(), value.to_owned()));
        system.environment.extend(on);
        system
    }

    async fn start_recording(&self) -> (Api, Process) {
        (self.serve().await, self.work().await)
    }

    async fn worker_without_events(&self) -> Process {
        let worker = self.run_with(&["work"], &[("EVENTS_ENABLED", "false")]);
        worker.wait_for_line("working").await;
        worker
    }
}

impl Recording for OneProcess {
    async fn recording() -> Self {
        Self::start().await
    }

    async fn start_recording(&self) -> (Api, ()) {
        (self.serve_as(&ON).await, ())
    }

    async fn worker_without_events(&self) {}
}

/// A program of the shop that may read events, its client and the API's address.
pub struct Consumer(pub Shopper, pub reqwest::Client, pub String);

impl Consumer {
    pub async fn of(api: &Api, system: &impl System) -> Self {
        let name = Uuid::new_v4().simple().to_string();
        system
            .sql(&format!(
                "INSERT INTO users (username, email, password_hash, role) \
                 VALUES ('{name}', '{name}@example.com', 'none', 'service')"
            ))
            .await;
        let id = system
            .number(&format!("SELECT id FROM users WHERE username = '{name}'"))
            .await;
        Self(
            program(id, "events:read"),
            api.http.clone(),
            api.url.clone(),
        )
    }
}

/// A program with a token for these scopes.
pub fn program(id: i64, scopes: &str) -> Shopper {
    let scopes: Scopes = scopes.parse().unwrap();
    let user = UserId::new(id).unwrap();
    let issued = tokens().issue_to_service(user, "a program", scopes, Utc::now());
    Shopper {
        id,
        token: issued.unwrap().0,
    }
}
