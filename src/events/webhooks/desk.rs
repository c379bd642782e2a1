//! Adds, changes and removes endpoints for operators. The ledger writes the entry in the action log with each change. The API and
//! the command line share this code.

use std::sync::Arc;

use chrono::{SubsecRound, TimeDelta};

use super::{
    super::feed::{self, FeedError},
    NoRandomness, new_secret,
};
use crate::{
    clock::Clock,
    ids::SaleId,
    outgoing::{self, ClientOptions, UrlError},
    port::{
        ActionEntry, AdminError, Delivery, EventFeed, EventType, LedgerError, MAX_WEBHOOKS,
        Webhook, WebhookChanges, WebhookId, WebhookSettings, WebhookState,
    },
};

/// Longest URL, in characters.
const URL_CHARS: usize = 2_000;
/// Highest number of events in one request that an operator may set.
const MAX_BATCH: u32 = 100;
/// Highest number of requests per second that an operator may set.
const MAX_PER_SECOND: u32 = 100;
/// Highest number of hours for which deliveries are signed with the previous secret, too.
const MAX_OVERLAP_HOURS: u32 = 7 * 24;

/// The operators' actions on endpoints.
#[derive(Clone)]
pub struct WebhookDesk {
    pub webhooks: Arc<dyn WebhookChanges>,
    pub events: Arc<dyn EventFeed>,
    pub clock: Arc<dyn Clock>,
    /// The limits of requests to endpoints. They are also applied to the URL of a new endpoint: a URL to which no request may be
    /// sent is refused at once.
    pub options: ClientOptions,
}

/// The settings of a new endpoint, not checked yet.
#[derive(Debug, Clone, Default)]
pub struct NewWebhook {
    pub url: String,
    /// Empty: all types.
    pub types: Vec<String>,
    pub sale: Option<SaleId>,
    /// 1 if missing.
    pub max_batch: Option<u32>,
    /// 10 if missing.
    pub per_second: Option<u32>,
}

/// Why an endpoint was not made, changed or shown.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("url {0}")]
    Url(#[from] UrlError),
    #[error("url must have at most {URL_CHARS} characters")]
    LongUrl,
    #[error("{0} is no type of events")]
    UnknownType(String),
    #[error("{field} must be a whole number from {least} to {most}")]
    Range {
        field: &'static str,
        least: u32,
        most: u32,
    },
    #[error("there are {MAX_WEBHOOKS} webhooks already")]
    TooMany,
    #[error("there is no such webhook")]
    Missing,
    /// The events after the given number cannot be sent again.
    #[error(transparent)]
    Events(#[from] FeedError),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The change was not made, or it is not known whether it was.
    #[error(transparent)]
    Change(#[from] AdminError),
}

impl WebhookDesk {
    pub async fn list(&self) -> Result<Vec<Webhook>, WebhookError> {
        Ok(self.webhooks.webhooks().await?)
    }

    pub async fn find(&self, id: WebhookId) -> Result<Webhook, WebhookError> {
        let all = self.webhooks.webhooks().await?;
        let found = all.into_iter().find(|webhook| webhook.id == id);
        found.ok_or(WebhookError::Missing)
    }

    /// Adds an endpoint that gets the events from now on.
    pub async fn add(&self, new: NewWebhook, entry: &ActionEntry) -> Result<Webhook, WebhookError> {
        let webhook = Webhook {
            id: WebhookId(self.clock.new_id()),
            settings: self.checked(new)?,
            secret: new_secret()?,
            previous_secret: None,
            state: WebhookState::default(),
            created_at: self.clock.now().trunc_subsecs(3),
        };
        if !self.webhooks.add_webhook(&webhook, entry).await? {
            return Err(WebhookError::TooMany);
        }
        Ok(webhook)
    }

    pub async fn remove(&self, id: WebhookId, entry: &ActionEntry) -> Result<(), WebhookError> {
        if !self.webhooks.remove_webhook(id, entry).await? {
            return Err(WebhookError::Missing);
        }
        Ok(())
    }

    /// Gives an endpoint a new secret. For `overlap_hours`, deliveries are signed with the previous secret, too; with 0, the
    /// previous secret ends at once.
    pub async fn rotate(
        &self,
        id: WebhookId,
        overlap_hours: u32,
        entry: &ActionEntry,
    ) -> Result<Webhook, WebhookError> {
        in_range("overlapHours", overlap_hours, 0, MAX_OVERLAP_HOURS)?;
        let until = self.clock.now() + TimeDelta::hours(i64::from(overlap_hours));
        let secret = new_secret()?;
        let rotated = self
            .webhooks
            .replace_webhook_secret(id, &secret, until, entry);
        rotated.await?.ok_or(WebhookError::Missing)
    }

    /// Sends the events of a sale after number `after` to an endpoint again, and enables the endpoint. With 0, all events that are
    /// kept are sent again. Any other number is refused if the event right after it is not kept: the endpoint's position would
    /// pass over the missing events, and they would be counted as lost.
    pub async fn replay(
        &self,
        id: WebhookId,
        sale: SaleId,
        after: u64,
        entry: &ActionEntry,
    ) -> Result<Webhook, WebhookError> {
        self.find(id).await?;
        let page = self.events.events_after(sale, after, 1).await?;
        let after = feed::replay_start(&page.ok_or(FeedError::NoSale)?, after)?;
        let replayed = self.webhooks.seek_webhook(id, sale, after, entry);
        replayed.await?.ok_or(WebhookError::Missing)
    }

    /// The last deliveries to an endpoint, the newest first.
    pub async fn deliveries(
        &self,
        id: WebhookId,
        limit: u32,
    ) -> Result<Vec<Delivery>, WebhookError> {
        // An unknown endpoint is an error here. The ledger itself would answer with an empty list.
        self.find(id).await?;
        Ok(self.webhooks.deliveries(id, limit).await?)
    }

    fn checked(&self, new: NewWebhook) -> Result<WebhookSettings, WebhookError> {
        if new.url.chars().count() > URL_CHARS {
            return Err(WebhookError::LongUrl);
        }
        // The URL is stored in the form that the parser gives it, since requests connect to that form.
        let url = outgoing::check_url(&new.url, self.options)?;
        let types = new.types.into_iter().map(|name| {
            EventType::of_name(&name)
                .ok_or_else(|| WebhookError::UnknownType(name.chars().take(64).collect()))
        });
        let mut types: Vec<EventType> = types.collect::<Result<_, _>>()?;
        types.sort_unstable();
        types.dedup();
        let max_batch = new.max_batch.unwrap_or(1);
        let per_second = new.per_second.unwrap_or(10);
        in_range("maxBatch", max_batch, 1, MAX_BATCH)?;
        in_range("perSecond", per_second, 1, MAX_PER_SECOND)?;
        Ok(WebhookSettings {
            url: url.to_string(),
            types,
            sale: new.sale,
            max_batch,
            per_second,
        })
    }
}

fn in_range(field: &'static str, value: u32, least: u32, most: u32) -> Result<(), WebhookError> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(WebhookError::Range { field, least, most })
    }
}
