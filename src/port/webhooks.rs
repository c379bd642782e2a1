//! Webhooks: the endpoints that are sent events, and what became of each try.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{ActionEntry, AdminError, EventType, LedgerError};
use crate::ids::SaleId;

/// Endpoints that there can be at one time.
pub const MAX_WEBHOOKS: usize = 50;
/// Tries of one endpoint that are kept.
pub const MAX_DELIVERIES: u32 = 1_000;

/// Names an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebhookId(pub Uuid);

impl fmt::Display for WebhookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for WebhookId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl WebhookId {
    /// The name under which its positions are stored.
    #[must_use]
    pub fn consumer(self) -> String {
        format!("webhook:{}", self.0)
    }
}

/// What an operator says of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    pub url: String,
    /// Empty: all types.
    pub types: Vec<EventType>,
    /// `None`: all sales.
    pub sale: Option<SaleId>,
    /// Events of one request at most. With 1 a body is an event, else an array.
    pub max_batch: u32,
    /// Requests in a second at most.
    pub per_second: u32,
}

/// How deliveries to an endpoint go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookState {
    /// Why nothing is sent.
    pub disabled: Option<String>,
    /// Failed tries in a row.
    pub failures: u32,
    /// Nothing is sent before this time.
    pub next_attempt_at: Option<DateTime<Utc>>,
}

// Without `Debug`, since it holds secrets.
/// An endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    pub id: WebhookId,
    pub settings: WebhookSettings,
    /// `whsec_` and Base64.
    pub secret: String,
    /// The secret before, with which deliveries are signed too until this time.
    pub previous_secret: Option<(String, DateTime<Utc>)>,
    pub state: WebhookState,
    pub created_at: DateTime<Utc>,
}

/// One try to send events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub message: Uuid,
    pub sale: SaleId,
    /// The numbers of the first and the last event that it covers.
    pub first: u64,
    pub last: u64,
    pub at: DateTime<Utc>,
    pub duration_ms: u64,
    /// Of the answer; `None`: there was none.
    pub status: Option<u16>,
    /// Why the try failed.
    pub error: Option<String>,
}

/// Endpoints as a sender knows them, and tries.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// All endpoints, by their ids.
    async fn webhooks(&self) -> Result<Vec<Webhook>, LedgerError>;

    async fn set_webhook_state(
        &self,
        id: WebhookId,
        state: &WebhookState,
    ) -> Result<(), LedgerError>;

    /// Notes a try; the oldest of [`MAX_DELIVERIES`] goes.
    async fn note_delivery(&self, id: WebhookId, delivery: &Delivery) -> Result<(), LedgerError>;

    /// The last tries, the newest first.
    async fn deliveries(&self, id: WebhookId, limit: u32) -> Result<Vec<Delivery>, LedgerError>;
}

/// Changes of endpoints by operators, each one transaction with its entry in the action log.
#[async_trait]
pub trait WebhookChanges: Webhooks {
    /// Adds an endpoint that gets what happens from now on. False: there are [`MAX_WEBHOOKS`].
    async fn add_webhook(&self, webhook: &Webhook, entry: &ActionEntry)
    -> Result<bool, AdminError>;

    /// Removes an endpoint with its tries and positions. False: there is no such endpoint.
    async fn remove_webhook(&self, id: WebhookId, entry: &ActionEntry) -> Result<bool, AdminError>;

    /// Gives an endpoint a new secret; the one before counts until `previous_until`. The endpoint with its new secret, or `None` if there
    /// is no such endpoint.
    async fn replace_webhook_secret(
        &self,
        id: WebhookId,
        secret: &str,
        previous_until: DateTime<Utc>,
        entry: &ActionEntry,
    ) -> Result<Option<Webhook>, AdminError>;

    /// Has an endpoint sent a sale's events after number `after` next, and enables it. `None`: there is no such endpoint.
    async fn seek_webhook(
        &self,
        id: WebhookId,
        sale: SaleId,
        after: u64,
        entry: &ActionEntry,
    ) -> Result<Option<Webhook>, AdminError>;
}
